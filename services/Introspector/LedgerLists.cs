using System.Security.Cryptography;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;
using Npgsql;

namespace ClawBureau.Introspector;

/// <summary>Pages from the ledger's index, as of a read that proves it is the primary's.</summary>
public sealed class LedgerLists(LedgerFollower follower, LedgerReader ledger) : IRevocationLists
{
    private const int DefaultPage = 50;
    private const int MostPage = 1000;

    public async Task<ListRevocationsResponse> ListAsync(ListRevocationsRequest request, ServerCallContext context)
    {
        var filter = ToFilter(request) with { OwnerDid = context.GetCaller().OwnerScopeWithin(request.OwnerScope) };
        var cursor = ReadPageToken(request);
        // The read index proves that the database is the primary and that nothing acknowledged before this call is missing.
        var revision = (await follower.ReadIndexAsync(context.CancellationToken)).Revision;
        var place = RequireServable(request, cursor, revision);
        var rows = await ReadAsync(filter with { Through = revision.RevocationSeq, After = place }, context.CancellationToken);
        // After the rows were read: what left the ledger meanwhile is missed, never left out in silence.
        if (filter.OldestFirst && place is { } from && from.Value + 1 < (await follower.ReadOldestAsync(context.CancellationToken)).Value)
            throw new Refusal(Reason.FeedCursorTooOld);

        var page = rows.Take(filter.PageSize).ToList();
        var mayReadAudit = MayReadAudit(context.GetCaller());
        var response = new ListRevocationsResponse { Revision = Mapping.ToRevision(revision) };
        response.Revocations.Add(page.Select(row =>
        {
            var entry = Mapping.ToRevocation(row.Row);
            if (mayReadAudit) entry.RevokedBy = row.RevokedBy ?? "";
            return entry;
        }));
        if (rows.Count > page.Count) response.NextPageToken = new PageToken(revision.Epoch, page[^1].Row.RevocationSeq, FilterHash(request)).ToString();
        return response;
    }

    /// <exception cref="Refusal">INVALID_REQUEST, INVALID_TOKEN_HASH.</exception>
    private static RevocationFilter ToFilter(ListRevocationsRequest request)
    {
        if (request.PageSize is < 0 or > MostPage) throw Refusal.OfField(Reason.InvalidRequest, "page_size", $"page_size must be 1 to {MostPage}");
        if (request.HasAfterRevocationSeq && request.AfterRevocationSeq < 0)
            throw Refusal.OfField(Reason.InvalidRequest, "after_revocation_seq", "after_revocation_seq must not be negative");
        if (request.HasAfterRevocationSeq != request.Epoch.Length > 0)
            throw Refusal.OfField(Reason.InvalidRequest, "epoch", "a cursor is epoch and after_revocation_seq together");
        TokenHash hash = default;
        if (request.TokenHash.Length > 0 && !TokenHash.TryParse(request.TokenHash, out hash)) throw new Refusal(Reason.InvalidTokenHash);
        return new RevocationFilter
        {
            PageSize = request.PageSize == 0 ? DefaultPage : request.PageSize,
            OldestFirst = request.HasAfterRevocationSeq,
            TokenHash = request.TokenHash.Length > 0 ? hash : null,
            Since = ToTime(request.Since, "since"),
            Until = ToTime(request.Until, "until"),
        };
    }

    private static DateTimeOffset? ToTime(Google.Protobuf.WellKnownTypes.Timestamp? time, string field)
    {
        try
        {
            return time?.ToDateTimeOffset();
        }
        catch (InvalidOperationException)
        {
            throw Refusal.OfField(Reason.InvalidRequest, field, $"{field} is no time");
        }
    }

    private static PageToken? ReadPageToken(ListRevocationsRequest request)
    {
        if (request.PageToken.Length == 0) return null;
        return PageToken.TryParse(request.PageToken, out var token) && token.FilterHash == FilterHash(request) ? token : throw new Refusal(Reason.PageTokenInvalid);
    }

    /// <summary>Where the page begins: behind the page before it, or behind the caller's cursor, or at the newest.</summary>
    /// <exception cref="Refusal">FEED_CURSOR_*: the caller has to start over.</exception>
    private static RevocationSeq? RequireServable(ListRevocationsRequest request, PageToken? page, Revision now)
    {
        if (page is not null) return page.Epoch == now.Epoch ? page.Last : throw new Refusal(Reason.FeedCursorForeignEpoch);
        if (!request.HasAfterRevocationSeq) return null;
        if (!Guid.TryParse(request.Epoch, out var epoch)) throw Refusal.OfField(Reason.InvalidRequest, "epoch", "epoch must be a UUID");
        if (epoch != now.Epoch) throw new Refusal(Reason.FeedCursorForeignEpoch);
        return request.AfterRevocationSeq <= now.RevocationSeq.Value ? new RevocationSeq(request.AfterRevocationSeq) : throw new Refusal(Reason.FeedCursorFuture);
    }

    private async Task<IReadOnlyList<ListedRevocation>> ReadAsync(RevocationFilter filter, CancellationToken cancellationToken)
    {
        try
        {
            return await ledger.ListRevocationsAsync(filter, cancellationToken);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    // Who revoked is told to those who may read the audit log, and to operators.
    private static bool MayReadAudit(Caller caller) => caller switch
    {
        Caller.AdminKey key => key.HasScope("audit:read"),
        Caller.Service service => service.ServiceName == "operator",
        Caller.Token => true,           // that is what let him in
        _ => false,
    };

    // A page token continues the list it was made for, and no other.
    private static string FilterHash(ListRevocationsRequest request)
    {
        var filter = request.Clone();
        filter.PageToken = "";
        filter.PageSize = 0;
        return Convert.ToHexStringLower(SHA256.HashData(filter.ToByteArray()).AsSpan(0, 8));
    }

    private sealed record PageToken(Guid Epoch, RevocationSeq Last, string FilterHash)
    {
        public static bool TryParse(string text, out PageToken token)
        {
            token = new PageToken(Guid.Empty, default, "");
            Span<byte> decoded = stackalloc byte[128];
            if (text.Length > 128 || !Base64UrlText.TryDecode(text, decoded, out var length)) return false;
            var parts = System.Text.Encoding.UTF8.GetString(decoded[..length]).Split('.');
            if (parts.Length != 3 || !Guid.TryParse(parts[0], out var epoch) || !long.TryParse(parts[1], out var last) || last <= 0) return false;
            token = new PageToken(epoch, new RevocationSeq(last), parts[2]);
            return true;
        }

        public override string ToString() => Base64UrlText.Encode(System.Text.Encoding.UTF8.GetBytes($"{Epoch:N}.{Last}.{FilterHash}"));
    }
}
