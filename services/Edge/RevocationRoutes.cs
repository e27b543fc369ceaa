using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Tokens;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Edge;

/// <summary>/v1/tokens/revoke and the paged feeds /v1/revocations/stream and events (clawscope-http.md 1.3, 1.4; RFC 7009).</summary>
internal sealed class RevocationRoutes(EdgePeers peers)
{
    private const int DefaultPage = 50, MostPage = 200;

    /// <summary>Whom the contract names for an admin key, whichever it was; the ledger knows better.</summary>
    private const string AdminSubject = "did:system:scope-admin";

    private static readonly EnumDescriptor GroupKinds = TypesReflection.Descriptor.FindTypeByName<EnumDescriptor>(nameof(GroupKind));

    public async Task<Answer> RevokeAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(ToRequest, async () => await peers.Revocation.RevokeTokensAsync(new(), call.Options));
        var revoked = (await peers.Revocation.RevokeTokensAsync(request, call.Options)).Results[0].Revocation;
        return Answer.Ok(json =>
        {
            var isNew = revoked.Status == RevocationStatus.Revoked;
            json.Name("status").Value(isNew ? "revoked" : "already_revoked")
                .Name("token_hash").Value(revoked.TokenHash)
                .Time("revoked_at", revoked.RevokedAt);
            if (isNew) json.Name("event_key").Value(EventKey(revoked.RevokedAt, revoked.TokenHash));
        });
    }

    /// <summary>RFC 7009: 200 and nothing else, also for a token revoked before or never issued; never for a caller who may not revoke.</summary>
    public async Task<Answer> RevokeFormAsync(EdgeCall call)
    {
        string token;
        try
        {
            token = await call.ReadFormAsync("token");
        }
        catch (Refusal)
        {
            // As with JSON, the caller is judged before his body is spoken of.
            await EdgeCall.AdmitAsync(async () => await peers.Revocation.RevokeTokensAsync(new(), call.Options));
            throw;
        }
        await peers.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = token } } }, call.Options);
        return new Answer(StatusCodes.Status200OK, []) { IsIndented = false };
    }

    public async Task<Answer> EventsAsync(EdgeCall call)
    {
        var page = await ReadPageAsync(call, "cursor");
        return Answer.Ok(json => WriteEvents(json, page));
    }

    public async Task<Answer> StreamAsync(EdgeCall call)
    {
        var page = await ReadPageAsync(call, "cursor");
        return Answer.Ok(json =>
        {
            json.Name("stream_version").Value("1").Name("events").BeginArray();
            foreach (var (sequence, (key, record)) in ToEvents(page).Index()) WriteEvent(json, sequence + 1, key, record);
            WriteEnd(json.EndArray(), page.NextPageToken);
        });
    }

    /// <summary>events, cursor, list_complete.</summary>
    internal static void WriteEvents(JsJsonWriter json, ListRevocationsResponse page)
    {
        json.Name("events").BeginArray();
        foreach (var (key, record) in ToEvents(page))
        {
            json.BeginObject().Name("key").Value(key).Name("record").BeginObject();
            WriteRecord(json, record);
            json.EndObject().EndObject();
        }
        WriteEnd(json.EndArray(), page.NextPageToken);
    }

    internal static void WriteEvent(JsJsonWriter json, long sequence, string key, Revocation record)
    {
        json.BeginObject()
            .Name("sequence").Value(sequence)
            .Name("key").Value(key)
            .Name("record").BeginObject();
        WriteRecord(json, record);
        json.EndObject().EndObject();
    }

    /// <param name="nextPage">Empty: there is none.</param>
    internal static void WriteEnd(JsJsonWriter json, string nextPage)
    {
        json.Name("cursor");
        if (nextPage.Length > 0) json.Value(nextPage);
        else json.Null();
        json.Name("list_complete").Value(nextPage.Length == 0);
    }

    /// <param name="cursor">The parameter in which the caller says where he goes on.</param>
    internal async Task<ListRevocationsResponse> ReadPageAsync(EdgeCall call, string cursor) => await peers.Feed.ListRevocationsAsync(
        new ListRevocationsRequest { PageSize = LimitOf(call.Query["limit"].ToString()), PageToken = call.Query[cursor].ToString() }, call.Options);

    // Newest second first, and within a second by key, as the contract's store lists them.
    private static IEnumerable<(string Key, Revocation Record)> ToEvents(ListRevocationsResponse page) =>
        page.Revocations.Select(revocation => (Key: EventKey(revocation), Record: revocation)).OrderBy(entry => entry.Key, StringComparer.Ordinal);

    private static RevokeTokensRequest ToRequest(JsonBody body)
    {
        var target = body.Text("token") is { } token && !JsText.IsBlank(token) ? new RevocationTarget { Token = token }
            : body.Text("token_hash") is { } hash && !JsText.IsBlank(hash) ? new RevocationTarget { TokenHash = hash }
            : throw new Refusal(Reason.InvalidRequest, "token or token_hash is required");
        return new RevokeTokensRequest { Targets = { target }, Reason = body.Text("reason") ?? "" };
    }

    // The contract knows revocations of token hashes alone. What else the feed has is told all the same, with members of its
    // own in place of token_hash: a follower must not take silence for "nothing happened".
    private static void WriteRecord(JsJsonWriter json, Revocation revocation)
    {
        if (revocation.Group is { } group)
        {
            json.Name("group_kind").Value(GroupKinds.FindValueByNumber((int)group.Kind).Name["GROUP_KIND_".Length..].ToLowerInvariant())
                .Name("group_key").Value(NameOf(revocation))
                .Name("blocked").Value(group.Blocked);
        }
        else
        {
            json.Name(revocation.Token.TokenHash.IsEmpty ? "jti" : "token_hash").Value(NameOf(revocation));
        }
        json.Time("revoked_at", revocation.RevokedAt)
            .Optional("reason", revocation.Reason)
            .Optional("revoked_by", revocation.RevokedBy.StartsWith("admin:", StringComparison.Ordinal) ? AdminSubject : revocation.RevokedBy);
    }

    private static string NameOf(Revocation revocation) => revocation switch
    {
        { Group: { } group } => Convert.ToHexStringLower(group.Key.Span),
        { Token.TokenHash: { IsEmpty: false } hash } => Convert.ToHexStringLower(hash.Span),
        _ => revocation.Token.Jti,
    };

    internal static string EventKey(Revocation revocation) => EventKey(revocation.RevokedAt, NameOf(revocation));

    private static string EventKey(Timestamp revokedAt, string name) => $"events:revocations:{9_999_999_999 - revokedAt.Seconds:0000000000}:{name}";

    /// <summary>JavaScript's parseInt: digits as far as they go, whatever follows; then brought into range.</summary>
    internal static int LimitOf(string text, int otherwise = DefaultPage, int most = MostPage)
    {
        var digits = JsText.Trim(text).AsSpan();
        var isNegative = digits is ['-', ..];
        if (digits is ['-' or '+', ..]) digits = digits[1..];
        var end = digits.IndexOfAnyExceptInRange('0', '9');
        if (end >= 0) digits = digits[..end];
        if (digits.IsEmpty) return otherwise;
        if (isNegative) return 1;
        return int.TryParse(digits, out var limit) ? Math.Clamp(limit, 1, most) : most;
    }
}
