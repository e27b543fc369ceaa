using System.Text.Json;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Edge;

/// <summary>
/// /v1/audit/issuance and /v1/audit/bundle (clawscope-http.md 1.4), from the audit log, which has an act a moment after the ledger. Who may
/// not read payloads learns which tokens were issued, and of their claims what entries are found by.
/// </summary>
internal sealed class AuditRoutes(EdgePeers peers, RevocationRoutes revocations, TimeProvider time)
{
    private const string Issued = "token.issued";

    /// <summary>What a record has of an event's payload, in the contract's order.</summary>
    private static readonly string[] Members =
    [
        "sub", "aud", "scope", "iat", "exp", "kid", "policy_version", "policy_tier", "owner_ref", "owner_did", "controller_did", "agent_did", "policy_hash_b64u",
        "control_plane_policy_hash_b64u", "token_scope_hash_b64u", "payment_account_did", "spend_cap", "mission_id", "delegation_id", "delegator_did", "delegate_did",
        "delegation_policy_hash_b64u", "delegation_spend_cap_minor", "delegation_expires_at", "token_lane", "jti",
    ];

    public async Task<Answer> IssuanceAsync(EdgeCall call)
    {
        var page = await ReadPageAsync(call, "cursor");
        return Answer.Ok(json => WriteEvents(json, page));
    }

    public async Task<Answer> BundleAsync(EdgeCall call)
    {
        var issuance = await ReadPageAsync(call, "cursor_issuance");
        var revoked = await revocations.ReadPageAsync(call, "cursor_revocations");
        return Answer.Ok(json =>
        {
            json.Name("generated_at").Value(ClaimsJson.IsoOf(Timestamp.FromDateTimeOffset(time.GetUtcNow()))).Name("issuance").BeginObject();
            WriteEvents(json, issuance);
            json.EndObject().Name("revocations").BeginObject();
            RevocationRoutes.WriteEvents(json, revoked);
            json.EndObject();
        });
    }

    private async Task<ListEventsResponse> ReadPageAsync(EdgeCall call, string cursor) => await peers.Audit.ListEventsAsync(new ListEventsRequest
    {
        Filter = new EventFilter { Source = "ledger", Kinds = { Issued } },
        PageSize = RevocationRoutes.LimitOf(call.Query["limit"].ToString()),
        PageToken = call.Query[cursor].ToString(),
    }, call.Options);

    /// <summary>events, cursor, list_complete.</summary>
    private static void WriteEvents(JsJsonWriter json, ListEventsResponse page)
    {
        json.Name("events").BeginArray();
        // Newest second first, and within a second by key, as the contract's store lists them.
        foreach (var (key, entry) in page.Entries.Select(entry => (Key: KeyOf(entry), Entry: entry)).OrderBy(e => e.Key, StringComparer.Ordinal))
        {
            json.BeginObject().Name("key").Value(key).Name("record").BeginObject();
            WriteRecord(json, entry);
            json.EndObject().EndObject();
        }
        RevocationRoutes.WriteEnd(json.EndArray(), page.NextPageToken);
    }

    private static void WriteRecord(JsJsonWriter json, Entry entry)
    {
        json.Name("token_hash").Value(HashOf(entry)).Time("issued_at", entry.RecordedAt);
        if (entry.Payload.IsEmpty)
        {
            json.Optional("sub", entry.Keys.Subject).Optional("owner_did", entry.Keys.OwnerDid).Optional("mission_id", entry.Keys.MissionId);
            return;
        }
        using var payload = JsonDocument.Parse(entry.Payload.Memory);
        foreach (var name in Members)
        {
            if (payload.RootElement.TryGetProperty(name, out var value)) Write(json.Name(name), name, value);
        }
    }

    private static void Write(JsJsonWriter json, string name, JsonElement value)
    {
        switch (value.ValueKind)
        {
            // The event does not tell a list of one from the one.
            case JsonValueKind.Array when name == "aud" && value.GetArrayLength() == 1: json.Value(value[0].GetString()!); break;
            case JsonValueKind.Array: json.Value(value.EnumerateArray().Select(item => item.GetString()!)); break;
            case JsonValueKind.Number when name == "spend_cap": json.Value(value.GetDouble()); break;
            case JsonValueKind.Number: json.Value(value.GetInt64()); break;
            default: json.Value(value.GetString()!); break;
        }
    }

    private static string KeyOf(Entry entry) => $"events:issuance:{9_999_999_999 - entry.RecordedAt.Seconds:0000000000}:{HashOf(entry)}";

    private static string HashOf(Entry entry) => Convert.ToHexStringLower(entry.Keys.TokenHash.Span);
}
