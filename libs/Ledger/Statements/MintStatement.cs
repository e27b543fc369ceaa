using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>Judges all mints of a batch set-wise and records those that may exist (DESIGN "The ledger", rule 3).</summary>
internal sealed class MintStatement(IReadOnlyList<PendingAct> pending) : ActStatement
{
    private static readonly string Text = $$"""
        {{Head}},
        mint AS MATERIALIZED (
          SELECT * FROM unnest($2::int[], $10::bytea[], $11::text[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[],
                               $17::text[], $18::bytea[], $19::bytea[], $20::text[], $21::text[], $22::text[], $23::bigint[], $27::text[])
            AS m(ord, token_hash, jti, iat, exp, kid, owner_did, controller_did,
                 idempotency_key, request_hash, signed_payload, policy_tier, ledger_policy, challenge_id, control_seq, policy_version)
        ),
        -- Only what can have changed since the view that judged the request: nothing, while control_seq is the same.
        denied AS MATERIALIZED (
          SELECT g.ord, min(b.kind) FILTER (WHERE b.blocked) AS blocked_by, max(b.cut) AS cut
            FROM unnest($24::int[], $25::smallint[], $26::bytea[]) AS g(ord, kind, group_key)
            JOIN mint m USING (ord) CROSS JOIN head h
            JOIN ledger.blocked_groups b ON b.kind = g.kind AND b.group_key = g.group_key
           WHERE m.control_seq IS DISTINCT FROM h.control_seq
           GROUP BY g.ord
        ),
        {{SeenCondition.Cte(28)}},
        judged AS MATERIALIZED (
          SELECT m.*, coalesce(d.cut, 0) AS cut, d.blocked_by, p.seq AS prior_seq,
            CASE
              WHEN p.seq IS NOT NULL THEN {{(int)Verdict.Repeated}}
              WHEN m.challenge_id IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM control.challenges c WHERE c.challenge_id = m.challenge_id AND c.consumed_seq IS NULL AND c.expires_at > h.now)
                THEN {{(int)Verdict.ChallengeUnusable}}
              WHEN m.control_seq = h.control_seq THEN {{(int)Verdict.Recorded}}
              WHEN EXISTS (SELECT 1 FROM stale x WHERE x.ord = m.ord) THEN {{(int)Verdict.Stale}}
              WHEN m.controller_did IS NOT NULL AND EXISTS
                (SELECT 1 FROM control.controllers c
                  WHERE c.controller_did = m.controller_did AND (NOT c.active OR (c.frozen AND coalesce(c.transfer_expires_at, 'infinity') > h.now)))
                THEN {{(int)Verdict.ControllerFrozen}}
              WHEN d.blocked_by IS NOT NULL THEN {{(int)Verdict.Blocked}}
              WHEN NOT EXISTS (SELECT 1 FROM ledger.keys k WHERE k.kid = m.kid AND k.state = {{(short)KeyState.Active}})
                THEN {{(int)Verdict.KeyMayNotSign}}
              WHEN m.ledger_policy IS DISTINCT FROM (SELECT v.version FROM policy.versions v ORDER BY v.seq DESC LIMIT 1)
                THEN {{(int)Verdict.PolicyChanged}}
              WHEN m.iat <= d.cut THEN {{(int)Verdict.BeforeCut}}
              ELSE {{(int)Verdict.Recorded}}
            END AS verdict
          FROM mint m JOIN act a USING (ord) CROSS JOIN head h
          LEFT JOIN denied d USING (ord)
          LEFT JOIN ledger.idempotency p
            ON p.caller = a.caller AND p.idempotency_key = m.idempotency_key AND p.exp > extract(epoch FROM h.now)
        ),
        accepted AS MATERIALIZED (
          SELECT j.*, h.seq + row_number() OVER (ORDER BY j.ord) AS seq FROM judged j CROSS JOIN head h WHERE j.verdict = {{(int)Verdict.Recorded}}
        ),
        {{RecordEvents(EventKind.TokenIssued)}},
        issued AS (
          INSERT INTO ledger.issued (token_hash, jti, seq, iat, exp, kid, owner_did)
          SELECT token_hash, jti, seq, iat, exp, kid, owner_did FROM accepted
        ),
        remembered AS (
          INSERT INTO ledger.idempotency AS p (caller, idempotency_key, request_hash, kid, signed_payload, policy_tier, policy_version, seq, exp)
          SELECT a.caller, x.idempotency_key, x.request_hash, x.kid, x.signed_payload, x.policy_tier, x.policy_version, x.seq, x.exp
            FROM accepted x JOIN act a USING (ord) WHERE x.idempotency_key IS NOT NULL
          ON CONFLICT (caller, idempotency_key) DO UPDATE      -- only an expired one can be there: a live one was judged Repeated
             SET request_hash = excluded.request_hash, kid = excluded.kid, signed_payload = excluded.signed_payload,
                 policy_tier = excluded.policy_tier, policy_version = excluded.policy_version, seq = excluded.seq, exp = excluded.exp
        ),
        consumed AS (
          UPDATE control.challenges c SET consumed_seq = x.seq FROM accepted x WHERE c.challenge_id = x.challenge_id
        ),
        -- Dated ahead of the clock: hardly ever any, and then their groups are looked at.
        early AS MATERIALIZED (
          SELECT x.ord, x.iat FROM accepted x CROSS JOIN head h WHERE x.iat > {{ClockSecond}}
        ),
        ahead AS (
          INSERT INTO ledger.ahead AS p (kind, group_key, iat)
          SELECT g.kind, g.group_key, max(e.iat)
            FROM early e JOIN unnest(CASE WHEN EXISTS (SELECT 1 FROM early) THEN $24::int[] ELSE '{}' END, $25::smallint[], $26::bytea[]) AS g(ord, kind, group_key) USING (ord)
           GROUP BY g.kind, g.group_key
          ON CONFLICT (kind, group_key) DO UPDATE SET iat = excluded.iat WHERE p.iat < excluded.iat
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, max_iat = greatest(max_iat, n.iat), longest_ttl = greatest(longest_ttl, n.ttl)
            FROM (SELECT count(*) AS count, max(least(x.iat, {{ClockSecond}})) AS iat, max(x.exp - x.iat) AS ttl FROM accepted x CROSS JOIN head h) n WHERE n.count > 0
        )
        -- Nothing long: the head is held until this has left. What a repeated request made is read after the commit.
        SELECT j.ord, j.verdict, coalesce(x.seq, j.prior_seq), h.now, h.control_seq, j.cut, j.blocked_by
          FROM judged j CROSS JOIN head h LEFT JOIN accepted x USING (ord)
        """;

    private readonly IReadOnlyList<(int Ordinal, MintAct Act)> _mints = [.. pending.Select(p => (p.Ordinal, (MintAct)p.Act))];

    protected override string Sql => Text;
    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        Add(command, NpgsqlDbType.Bytea, _mints.Select(m => m.Act.TokenHash.ToArray()));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.Claims.Jti));
        Add(command, NpgsqlDbType.Bigint, _mints.Select(m => m.Act.Claims.IssuedAt));
        Add(command, NpgsqlDbType.Bigint, _mints.Select(m => m.Act.Claims.ExpiresAt));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.KeyId.ToString()));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.Claims.OwnerDid?.ToString()));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.Claims.ControllerDid?.ToString()));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.IdempotencyKey));
        Add(command, NpgsqlDbType.Bytea, _mints.Select(m => m.Act.RequestHash));
        Add(command, NpgsqlDbType.Bytea, _mints.Select(m => m.Act.SignedPayload));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.PolicyTier));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.LedgerPolicyVersion));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.ChallengeId));
        Add(command, NpgsqlDbType.Bigint, _mints.Select(m => m.Act.JudgedAtControlSeq));
        var groups = _mints.SelectMany(m => m.Act.Groups.Select(g => (m.Ordinal, Group: g))).ToList();
        Add(command, NpgsqlDbType.Integer, groups.Select(g => g.Ordinal));
        Add(command, NpgsqlDbType.Smallint, groups.Select(g => (short)g.Group.Kind));
        Add(command, NpgsqlDbType.Bytea, groups.Select(g => g.Group.Hash));
        Add(command, NpgsqlDbType.Text, _mints.Select(m => m.Act.PolicyVersion));
        SeenCondition.AddParameters(command, _mints.SelectMany(m => m.Act.Seen.Select(s => (m.Ordinal, s))));
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = (Verdict)reader.GetInt32(1),
        Epoch = epoch,
        Seq = new Seq(reader.IsDBNull(2) ? 0 : reader.GetInt64(2)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(3),
        ControlSeq = reader.GetInt64(4),
        Cut = reader.GetInt64(5),
        BlockedBy = reader.IsDBNull(6) ? null : (RevocationKind)reader.GetInt16(6),
    };
}
