using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>Revokes tokens by hash or jti; what is revoked already is answered with its first numbers.</summary>
internal sealed class RevokeTokenStatement(IReadOnlyList<PendingAct> pending) : ActStatement
{
    private static readonly string Text = $$"""
        {{Head}},
        target AS MATERIALIZED (
          SELECT * FROM unnest($2::int[], $10::bytea[], $11::text[], $12::timestamptz[], $13::text[]) AS t(ord, token_hash, jti, keep_until, reason)
        ),
        -- Whichever of hash and jti was given, the ledger adds the other when it issued the token.
        known AS MATERIALIZED (
          SELECT t.ord, t.reason, coalesce(t.token_hash, j.token_hash) AS token_hash, coalesce(t.jti, i.jti) AS jti,
                 coalesce(to_timestamp(coalesce(i.exp, j.exp)), t.keep_until) AS expires_at
            FROM target t
            LEFT JOIN ledger.issued i ON i.token_hash = t.token_hash
            LEFT JOIN ledger.issued j ON j.jti = t.jti AND t.token_hash IS NULL
        ),
        judged AS MATERIALIZED (
          SELECT k.*, coalesce(a.seq, b.seq) AS prior_seq, coalesce(a.revocation_seq, b.revocation_seq) AS prior_revocation_seq,
                 coalesce(a.revoked_at, b.revoked_at) AS prior_at
            FROM known k
            LEFT JOIN ledger.revoked_tokens a ON a.token_hash = k.token_hash
            LEFT JOIN ledger.revoked_tokens b ON b.jti = k.jti
        ),
        accepted AS MATERIALIZED (
          SELECT j.*, h.seq + row_number() OVER (ORDER BY j.ord) AS seq, h.revocation_seq + row_number() OVER (ORDER BY j.ord) AS revocation_seq
            FROM judged j CROSS JOIN head h WHERE j.prior_seq IS NULL
        ),
        {{RecordEvents(EventKind.TokenRevoked)}},
        live AS (
          INSERT INTO ledger.revoked_tokens (revocation_seq, seq, token_hash, jti, expires_at, revoked_at, revoked_by, reason)
          SELECT x.revocation_seq, x.seq, x.token_hash, x.jti, x.expires_at, h.now, a.caller, x.reason FROM accepted x JOIN act a USING (ord), head h
        ),
        fed AS (
          INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, token_hash, jti, expires_at, revoked_at, reason)
          SELECT x.revocation_seq, x.seq, {{(short)RevocationKind.Token}}, 1, x.token_hash, x.jti, x.expires_at, h.now, x.reason FROM accepted x, head h
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, revocation_seq = revocation_seq + n.count
            FROM (SELECT count(*) AS count FROM accepted) n WHERE n.count > 0
        )
        SELECT j.ord, coalesce(x.seq, j.prior_seq), coalesce(x.revocation_seq, j.prior_revocation_seq), coalesce(j.prior_at, h.now),
               h.control_seq, j.token_hash, x.seq IS NULL
          FROM judged j CROSS JOIN head h LEFT JOIN accepted x USING (ord)
        """;

    private readonly IReadOnlyList<RevokeTokenAct> _targets = [.. pending.Select(p => (RevokeTokenAct)p.Act)];

    protected override string Sql => Text;
    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        Add(command, NpgsqlDbType.Bytea, _targets.Select(t => t.TokenHash?.ToArray()));
        Add(command, NpgsqlDbType.Text, _targets.Select(t => t.Jti));
        Add(command, NpgsqlDbType.TimestampTz, _targets.Select(t => t.KeepUntil.UtcDateTime));
        Add(command, NpgsqlDbType.Text, _targets.Select(t => t.Reason));
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = reader.GetBoolean(6) ? Verdict.Repeated : Verdict.Recorded,
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(1)),
        RevocationSeq = new RevocationSeq(reader.GetInt64(2)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(3),
        ControlSeq = reader.GetInt64(4),
        TokenHash = reader.IsDBNull(5) ? null : TokenHash.FromBytes(reader.GetFieldValue<byte[]>(5)),
    };
}
