using System.Security.Cryptography;
using System.Text;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;
using Npgsql;

namespace ClawBureau.AuditSink;

/// <summary>clawbureau.audit.v1 on the wire.</summary>
public sealed class AuditEndpoint(AuditLog log, EntryReader entries, AuditDatabase database) : AuditService.AuditServiceBase
{
    /// <summary>The scope of an admin key that opens payloads, beside the one that opens the list.</summary>
    private const string PayloadScope = "audit:payload";
    private const string Operator = "operator";

    public override async Task<AppendEventsResponse> AppendEvents(AppendEventsRequest request, ServerCallContext context)
    {
        if (context.GetCaller() is not Caller.Service service || !SourceName.BelongsTo(request.Source, service)) throw new Refusal(Reason.AuditSourceUnknown);
        return Mapping.ToResponse(await log.AppendAsync(Mapping.ToRun(request), context.CancellationToken));
    }

    public override async Task<GetSourceCursorResponse> GetSourceCursor(GetSourceCursorRequest request, ServerCallContext context)
    {
        bool isOwn = context.GetCaller() switch
        {
            Caller.AdminKey => true,
            Caller.Service service => service.ServiceName == Operator || SourceName.BelongsTo(request.Source, service),
            _ => false,
        };
        if (!isOwn || !SourceName.IsValid(request.Source)) throw new Refusal(Reason.AuditSourceUnknown);
        return await ReadAsync(async () =>
        {
            // A volatile source draws an epoch at each start: the latest is the one it may still be in.
            await using var command = database.Reading.CreateCommand(
                "SELECT epoch, last_seq, last_leaf FROM audit.cursors WHERE source = $1 AND NOT closed ORDER BY opened_at DESC LIMIT 1");
            command.Parameters.Add(new() { Value = request.Source });
            await using var reader = await command.ExecuteReaderAsync(context.CancellationToken);
            if (!await reader.ReadAsync(context.CancellationToken)) return new GetSourceCursorResponse { Source = request.Source };
            return new GetSourceCursorResponse
            {
                Source = request.Source,
                Epoch = reader.GetGuid(0).ToString(),
                LastSeq = reader.GetInt64(1),
                LastLeafHash = ByteString.CopyFrom(reader.GetFieldValue<byte[]>(2)),
            };
        });
    }

    public override async Task<ListEventsResponse> ListEvents(ListEventsRequest request, ServerCallContext context)
    {
        var filter = Mapping.ToFilter(request.Filter);
        filter = filter with { OwnerDid = context.GetCaller().OwnerScopeWithin(filter.OwnerDid ?? "") };
        int pageSize = Mapping.ToPageSize(request.PageSize);
        var after = ReadPageToken(request);
        var page = await ReadAsync(() => entries.ListAsync(filter, request.Ascending, after, pageSize, context.CancellationToken));
        bool withPayload = MayReadPayloads(context.GetCaller());
        return new ListEventsResponse
        {
            Entries = { page.Entries.Select(e => Mapping.ToEntry(e, withPayload)) },
            NextPageToken = page.Last is { } last ? Base64UrlText.Encode(Encoding.UTF8.GetBytes($"{last}.{HashOf(request)}")) : "",
            IndexedThrough = page.IndexedThrough,
        };
    }

    private static bool MayReadPayloads(Caller caller) => caller switch
    {
        Caller.AdminKey key => key.HasScope(PayloadScope),
        Caller.Service service => service.ServiceName == Operator,
        Caller.Token => true,           // of what is its owner's, which is all it is shown
        _ => false,
    };

    private static async Task<T> ReadAsync<T>(Func<Task<T>> read)
    {
        try
        {
            return await read();
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.AuditUnavailable, inner: e);
        }
    }

    /// <summary>The index of the last entry of the page before; null for the first page.</summary>
    private static long? ReadPageToken(ListEventsRequest request)
    {
        if (request.PageToken.Length == 0) return null;
        Span<byte> decoded = stackalloc byte[64];
        if (request.PageToken.Length > 64 || !Base64UrlText.TryDecode(request.PageToken, decoded, out int length)) throw new Refusal(Reason.PageTokenInvalid);
        var parts = Encoding.UTF8.GetString(decoded[..length]).Split('.');
        return parts.Length == 2 && long.TryParse(parts[0], out long last) && last >= 0 && parts[1] == HashOf(request) ? last : throw new Refusal(Reason.PageTokenInvalid);
    }

    // A page token continues the list it was made for, and no other.
    private static string HashOf(ListEventsRequest request)
    {
        var list = request.Clone();
        (list.PageToken, list.PageSize) = ("", 0);
        return Convert.ToHexStringLower(SHA256.HashData(list.ToByteArray()).AsSpan(0, 8));
    }
}
