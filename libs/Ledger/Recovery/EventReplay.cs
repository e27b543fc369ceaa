using System.Text.Json;
using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Recovery;

/// <summary>
/// Records events again under their own numbers and brings about what they said: revocations, blocks, lifts and cuts, keys, and
/// what is known of issued tokens. Places in the feed come out as they were, because they count the same events in the same order.
/// </summary>
internal sealed class EventReplay(NpgsqlConnection connection, Seq head, RevocationSeq revocationHead)
{
    private static readonly TimeSpan KeepUnknown = TimeSpan.FromDays(366);
    private readonly Guid _batch = Guid.CreateVersion7();
    private readonly SortedDictionary<string, int> _replayed = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, int> _notReapplied = new(StringComparer.Ordinal);
    private int _count;

    public Seq Seq { get; private set; } = head;
    public RevocationSeq RevocationSeq { get; private set; } = revocationHead;

    public IReadOnlyDictionary<string, int> Replayed => _replayed;
    public IReadOnlyDictionary<string, int> NotReapplied => _notReapplied;

    public async Task ApplyAsync(AuditedEvent audited, CancellationToken cancellationToken)
    {
        if (!EventKinds.TryParse(audited.Kind, out var kind))
            throw LedgerRecovery.Refused($"event {audited.Seq} is a {audited.Kind}, which this build does not know: recover with a newer build, or --revoke-all");
        if (_count == 0) await ExecuteAsync("SELECT ledger.extend_events($1 + 16777216)", cancellationToken, audited.Seq.Value);
        await ExecuteAsync("""
            INSERT INTO ledger.events (seq, batch_id, ordinal, kind, recorded_at, token_hash, subject, mission_id, run_id, trace_id, correlation_id, payload)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            """, cancellationToken,
            audited.Seq.Value, _batch, _count++, (short)kind, audited.RecordedAt.UtcDateTime, audited.TokenHash, audited.Subject,
            audited.Correlation.MissionId, audited.Correlation.RunId, audited.Correlation.TraceId, audited.Correlation.CorrelationId, audited.Payload);
        Seq = audited.Seq;
        _replayed[audited.Kind] = _replayed.GetValueOrDefault(audited.Kind) + 1;
        using var payload = JsonDocument.Parse(audited.Payload);
        var facts = payload.RootElement;
        switch (kind)
        {
            case EventKind.TokenIssued: await IssueAsync(audited, facts, cancellationToken); break;
            case EventKind.TokenRevoked: await RevokeAsync(audited, facts, cancellationToken); break;
            case EventKind.GroupBlocked: await SetGroupAsync(audited, facts, blocked: true, cancellationToken); break;
            case EventKind.BlockLifted: await SetGroupAsync(audited, facts, blocked: false, cancellationToken); break;
            case EventKind.GroupCut: await SetGroupAsync(audited, facts, blocked: null, cancellationToken); break;
            case EventKind.KeyChanged: await SetKeysAsync(audited, facts, cancellationToken); break;
            case EventKind.IdentityExported: break;         // says that something was read
            // What the control plane and policies say is not all in the event.
            default: _notReapplied[audited.Kind] = _notReapplied.GetValueOrDefault(audited.Kind) + 1; break;
        }
    }

    /// <summary>Moves the head to the last of them.</summary>
    public Task FinishAsync(CancellationToken cancellationToken) =>
        ExecuteAsync("UPDATE ledger.head SET seq = $1, revocation_seq = $2", cancellationToken, Seq.Value, RevocationSeq.Value);

    private async Task IssueAsync(AuditedEvent audited, JsonElement facts, CancellationToken cancellationToken)
    {
        var (iat, exp) = (facts.GetProperty("iat").GetInt64(), facts.GetProperty("exp").GetInt64());
        await ExecuteAsync("""
            INSERT INTO ledger.issued (token_hash, jti, seq, iat, exp, kid, owner_did) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
            """, cancellationToken,
            audited.TokenHash, facts.GetProperty("jti").GetString(), audited.Seq.Value, iat, exp, facts.GetProperty("kid").GetString(), Text(facts, "owner_did"));
        await ExecuteAsync("UPDATE ledger.head SET max_iat = greatest(max_iat, $1), longest_ttl = greatest(longest_ttl, $2)", cancellationToken, iat, exp - iat);
    }

    private async Task RevokeAsync(AuditedEvent audited, JsonElement facts, CancellationToken cancellationToken)
    {
        NextRevocation();
        var hash = Text(facts, "token_hash") is { } hex ? Convert.FromHexString(hex) : audited.TokenHash;
        // As the statement of the act does it: whichever of hash and jti was given, the ledger adds the other where it knows the token.
        await ExecuteAsync("""
            WITH target AS (
              SELECT coalesce($1::bytea, i.token_hash) AS token_hash, coalesce($2::text, k.jti) AS jti, coalesce(i.owner_did, k.owner_did) AS owner_did,
                     coalesce(to_timestamp(coalesce(i.exp, k.exp)), $3::timestamptz) AS expires_at
                FROM (SELECT 1) one
                LEFT JOIN ledger.issued k ON k.token_hash = $1::bytea
                LEFT JOIN ledger.issued i ON i.jti = $2::text AND $1::bytea IS NULL
            ),
            live AS (
              INSERT INTO ledger.revoked_tokens (revocation_seq, seq, token_hash, jti, expires_at, revoked_at, revoked_by, reason)
              SELECT $4, $5, token_hash, jti, expires_at, $6::timestamptz, $7::text, $8::text FROM target ON CONFLICT DO NOTHING
            )
            INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, token_hash, jti, expires_at, revoked_at, reason, owner_did, revoked_by)
            SELECT $4, $5, 1, 1, token_hash, jti, expires_at, $6::timestamptz, $8::text, owner_did, $7::text FROM target
            """, cancellationToken,
            hash, Text(facts, "jti"), (audited.RecordedAt + KeepUnknown).UtcDateTime, RevocationSeq.Value, audited.Seq.Value, audited.RecordedAt.UtcDateTime,
            Text(facts, "by") ?? "unknown", Text(facts, "reason"));
    }

    /// <param name="blocked">Null: as it stood; the event left a cut.</param>
    private async Task SetGroupAsync(AuditedEvent audited, JsonElement facts, bool? blocked, CancellationToken cancellationToken)
    {
        if (!Enum.TryParse<RevocationKind>(facts.GetProperty("group_kind").GetString(), ignoreCase: true, out var kind))
            throw LedgerRecovery.Refused($"event {audited.Seq} is about a kind of group that this build does not know: recover with a newer build, or --revoke-all");
        await SetGroupAsync(audited, kind, Convert.FromHexString(facts.GetProperty("group_key").GetString()!), blocked, facts, cancellationToken);
    }

    private async Task SetGroupAsync(AuditedEvent audited, RevocationKind kind, byte[] group, bool? blocked, JsonElement facts, CancellationToken cancellationToken)
    {
        NextRevocation();
        // A block leaves the cut as it is; a lift and a cut move it to now, which was then, and beyond every iat known by then.
        // Whether an owner was charged for the row is not in the event: it counts as an operator's, which denies no less.
        await ExecuteAsync("""
            WITH state AS (
              SELECT coalesce($3::boolean, g.blocked, false) AS blocked,
                     CASE WHEN $3::boolean THEN coalesce(g.cut, 0) ELSE greatest(h.max_iat, ceil(extract(epoch FROM $6::timestamptz))::bigint, w.iat, coalesce(g.cut, 0)) END AS cut
                FROM ledger.head h LEFT JOIN ledger.blocked_groups g ON g.kind = $1 AND g.group_key = $2 LEFT JOIN ledger.ahead w ON w.kind = $1 AND w.group_key = $2
            ),
            live AS (
              INSERT INTO ledger.blocked_groups AS g (kind, group_key, blocked, cut, revocation_seq, seq, changed_at)
              SELECT $1, $2, blocked, cut, $4, $5, $6::timestamptz FROM state
              ON CONFLICT (kind, group_key) DO UPDATE
                 SET blocked = excluded.blocked, cut = excluded.cut, revocation_seq = excluded.revocation_seq, seq = excluded.seq, changed_at = excluded.changed_at
            )
            INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, group_key, cut, revoked_at, reason, owner_did, revoked_by)
            SELECT $4, $5, $1, CASE WHEN blocked THEN 1 ELSE 2 END, $2, nullif(cut, 0), $6::timestamptz, $7::text, $8::text, $9::text FROM state
            """, cancellationToken,
            (short)kind, group, blocked, RevocationSeq.Value, audited.Seq.Value, audited.RecordedAt.UtcDateTime, Text(facts, "reason"), Text(facts, "owner_did"), Text(facts, "by"));
    }

    private async Task SetKeysAsync(AuditedEvent audited, JsonElement facts, CancellationToken cancellationToken)
    {
        // The active one last: the row it replaces has made room in the index by then.
        foreach (var key in facts.GetProperty("keys").EnumerateArray().OrderBy(k => k.GetProperty("state").GetString() == KeyState.Active.ToText()))
        {
            var states = Enum.GetValues<KeyState>().Where(s => s.ToText() == key.GetProperty("state").GetString()).ToList();
            var publicKey = new byte[32];
            if (states.Count != 1 || !Base64UrlText.TryDecode(key.GetProperty("public_key").GetString(), publicKey, out int length) || length != publicKey.Length)
                throw LedgerRecovery.Refused($"event {audited.Seq} states a key in a way that this build does not know: recover with a newer build, or --revoke-all");
            await ExecuteAsync("""
                INSERT INTO ledger.keys AS k (kid, public_key, state, not_after, is_foreign, can_sign, revoked, activates_at, overlap, seq, published_at)
                VALUES ($1, $2, $3, $4::bigint, $5, $6, $7, $8::bigint, $9::bigint, $10, $11)
                ON CONFLICT (kid) DO UPDATE SET state = excluded.state, not_after = excluded.not_after, is_foreign = excluded.is_foreign, can_sign = excluded.can_sign,
                   revoked = excluded.revoked, activates_at = excluded.activates_at, overlap = excluded.overlap, seq = excluded.seq
                """, cancellationToken,
                key.GetProperty("kid").GetString(), publicKey, (short)states[0], Number(key, "not_after"), key.GetProperty("foreign").GetBoolean(), key.GetProperty("can_sign").GetBoolean(),
                key.GetProperty("revoked").GetBoolean(), Number(key, "activates_at"), Number(key, "overlap"), audited.Seq.Value, audited.RecordedAt.ToUnixTimeSeconds());
        }
        // With a key that others may know goes what it signed, unless that was blocked before.
        if (Text(facts, "revoked_kid") is not { } kid) return;
        var group = GroupKey.Of(RevocationKind.KeyId, "", kid);
        await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT 1 FROM ledger.blocked_groups WHERE kind = $1 AND group_key = $2 AND blocked)", connection)
        { Parameters = { new() { Value = (short)RevocationKind.KeyId }, new() { Value = group.Hash } } };
        if (await command.ExecuteScalarAsync(cancellationToken) is false) await SetGroupAsync(audited, RevocationKind.KeyId, group.Hash, blocked: true, facts, cancellationToken);
    }

    private void NextRevocation() => RevocationSeq = new RevocationSeq(RevocationSeq.Value + 1);

    private static long? Number(JsonElement facts, string name) => facts.TryGetProperty(name, out var value) ? value.GetInt64() : null;

    private static string? Text(JsonElement facts, string name) => facts.TryGetProperty(name, out var value) ? value.GetString() : null;

    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken, params object?[] values)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var value in values) command.Parameters.Add(ToParameter(value));
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    // What is null has no type of its own; the statements say it where it matters.
    private static NpgsqlParameter ToParameter(object? value) => value is null ? new() { Value = DBNull.Value, NpgsqlDbType = NpgsqlDbType.Unknown } : new() { Value = value };
}
