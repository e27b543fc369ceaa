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
          SELECT t.*, CASE WHEN t.owner_rows IS NOT NULL THEN t.owner_scope END AS charged_to
            FROM unnest($2::int[], $10::bytea[], $11::text[], $12::timestamptz[], $13::text[], $14::text[], $15::int[])
              AS t(ord, token_hash, jti, keep_until, reason, owner_scope, owner_rows)
        ),
        {{CountOwnersRows}},
        -- Whichever of hash and jti was given, the ledger adds the other when it issued the token.
        known AS MATERIALIZED (
          SELECT t.ord, t.reason, t.owner_scope, t.owner_rows, t.charged_to, coalesce(i.owner_did, j.owner_did) AS owner_did,
                 coalesce(t.token_hash, j.token_hash) AS token_hash, coalesce(t.jti, i.jti) AS jti,
                 coalesce(to_timestamp(coalesce(i.exp, j.exp)), greatest(t.keep_until, h.now + (h.longest_ttl + 86400) * interval '1 second')) AS expires_at
            FROM target t CROSS JOIN head h
            LEFT JOIN ledger.issued i ON i.token_hash = t.token_hash
            LEFT JOIN ledger.issued j ON j.jti = t.jti AND t.token_hash IS NULL
        ),
        found AS MATERIALIZED (
          SELECT k.*, coalesce(a.seq, b.seq) AS prior_seq, coalesce(a.revocation_seq, b.revocation_seq) AS prior_revocation_seq,
                 coalesce(a.revoked_at, b.revoked_at) AS prior_at, k.owner_scope IS NULL OR k.owner_did IS NOT DISTINCT FROM k.owner_scope AS in_scope
            FROM known k
            LEFT JOIN ledger.revoked_tokens a ON a.token_hash = k.token_hash
            LEFT JOIN ledger.revoked_tokens b ON b.jti = k.jti
        ),
        judged AS MATERIALIZED (
          SELECT f.*,
            CASE
              WHEN NOT f.in_scope THEN {{(int)Verdict.NotIssuedHere}}        -- another owner's is told from an unknown one by nothing
              WHEN f.prior_seq IS NOT NULL THEN {{(int)Verdict.Repeated}}
              WHEN c.rows + count(*) FILTER (WHERE f.in_scope AND f.prior_seq IS NULL) OVER (PARTITION BY f.charged_to ORDER BY f.ord) > f.owner_rows
                THEN {{(int)Verdict.OwnerLimitReached}}
              ELSE {{(int)Verdict.Recorded}}
            END AS verdict
          FROM found f LEFT JOIN charged c USING (charged_to)
        ),
        accepted AS MATERIALIZED (
          SELECT j.*, h.seq + row_number() OVER (ORDER BY j.ord) AS seq, h.revocation_seq + row_number() OVER (ORDER BY j.ord) AS revocation_seq
            FROM judged j CROSS JOIN head h WHERE j.verdict = {{(int)Verdict.Recorded}}
        ),
        {{RecordEvents(EventKind.TokenRevoked)}},
        live AS (
          INSERT INTO ledger.revoked_tokens (revocation_seq, seq, token_hash, jti, expires_at, revoked_at, revoked_by, reason, charged_to)
          SELECT x.revocation_seq, x.seq, x.token_hash, x.jti, x.expires_at, h.now, a.caller, x.reason, x.charged_to FROM accepted x JOIN act a USING (ord), head h
        ),
        fed AS (
          INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, token_hash, jti, expires_at, revoked_at, reason, owner_did, revoked_by)
          SELECT x.revocation_seq, x.seq, {{(short)RevocationKind.Token}}, 1, x.token_hash, x.jti, x.expires_at, h.now, x.reason, x.owner_did, a.caller
            FROM accepted x JOIN act a USING (ord), head h
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, revocation_seq = revocation_seq + n.count
            FROM (SELECT count(*) AS count FROM accepted) n WHERE n.count > 0
        )
        SELECT j.ord, coalesce(x.seq, j.prior_seq, 0), coalesce(x.revocation_seq, j.prior_revocation_seq, 0), coalesce(j.prior_at, h.now),
               h.control_seq, j.token_hash, j.verdict
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
        Add(command, NpgsqlDbType.Text, _targets.Select(t => t.OwnerScope));
        Add(command, NpgsqlDbType.Integer, _targets.Select(t => t.OwnerRows));
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = (Verdict)reader.GetInt32(6),
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(1)),
        RevocationSeq = new RevocationSeq(reader.GetInt64(2)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(3),
        ControlSeq = reader.GetInt64(4),
        TokenHash = reader.IsDBNull(5) ? null : TokenHash.FromBytes(reader.GetFieldValue<byte[]>(5)),
    };
}
