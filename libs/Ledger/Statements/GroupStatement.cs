using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>Blocks groups, or lifts their blocks and leaves cuts. One row a group, whatever the number of its tokens.</summary>
internal sealed class GroupStatement(IReadOnlyList<PendingAct> pending, bool lift) : ActStatement
{
    private static readonly string Blocking = $"""
        WHEN f.blocked THEN {(int)Verdict.Repeated}
              WHEN c.rows + count(*) FILTER (WHERE f.prior_seq IS NULL) OVER (PARTITION BY f.charged_to ORDER BY f.ord) > f.owner_rows
                THEN {(int)Verdict.OwnerLimitReached}
        """;

    private static readonly string Lifting = $"""
        WHEN f.prior_seq IS NULL THEN {(int)Verdict.NotBlocked}
              WHEN NOT f.blocked THEN {(int)Verdict.Repeated}
              WHEN f.by_owner AND f.prior_charged_to IS NULL THEN {(int)Verdict.OperatorsBlock}
        """;

    private static readonly string BlockText = TextOf(EventKind.GroupBlocked, lift: false);
    private static readonly string LiftText = TextOf(EventKind.BlockLifted, lift: true);

    private static string TextOf(EventKind kind, bool lift) => $$"""
        {{Head}},
        target AS MATERIALIZED (
          SELECT t.*, CASE WHEN t.owner_rows IS NOT NULL THEN t.owner_did END AS charged_to
            FROM unnest($2::int[], $10::smallint[], $11::bytea[], $12::text[], $13::text[], $14::int[], $15::boolean[])
              AS t(ord, kind, group_key, reason, owner_did, owner_rows, by_owner)
        ),
        {{CountOwnersRows}},
        found AS MATERIALIZED (
          SELECT t.*, coalesce(g.blocked, false) AS blocked, coalesce(g.cut, 0) AS prior_cut, g.seq AS prior_seq,
                 g.revocation_seq AS prior_revocation_seq, g.changed_at AS prior_at, g.charged_to AS prior_charged_to, w.iat AS ahead
            FROM target t LEFT JOIN ledger.blocked_groups g USING (kind, group_key) LEFT JOIN ledger.ahead w USING (kind, group_key)
        ),
        judged AS MATERIALIZED (
          SELECT f.*,
            CASE
              {{(lift ? Lifting : Blocking)}}
              ELSE {{(int)Verdict.Recorded}}
            END AS verdict
          FROM found f LEFT JOIN charged c USING (charged_to)
        ),
        accepted AS MATERIALIZED (
          SELECT j.*, NULL::bytea AS token_hash, h.seq + row_number() OVER (ORDER BY j.ord) AS seq,
                 h.revocation_seq + row_number() OVER (ORDER BY j.ord) AS revocation_seq,
                 {{(lift ? $"greatest(h.max_iat, {ClockSecond}, j.ahead, j.prior_cut)" : "j.prior_cut")}} AS cut
            FROM judged j CROSS JOIN head h WHERE j.verdict = {{(int)Verdict.Recorded}}
        ),
        {{RecordEvents(kind)}},
        live AS (
          INSERT INTO ledger.blocked_groups AS g (kind, group_key, blocked, cut, revocation_seq, seq, changed_at, charged_to)
          SELECT x.kind, x.group_key, {{(lift ? "false" : "true")}}, x.cut, x.revocation_seq, x.seq, h.now, {{(lift ? "x.prior_charged_to" : "x.charged_to")}} FROM accepted x, head h
          ON CONFLICT (kind, group_key) DO UPDATE
             SET blocked = excluded.blocked, cut = excluded.cut, revocation_seq = excluded.revocation_seq, seq = excluded.seq, changed_at = excluded.changed_at,
                 charged_to = excluded.charged_to
        ),
        fed AS (
          INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, group_key, cut, revoked_at, reason, owner_did, revoked_by)
          SELECT x.revocation_seq, x.seq, x.kind, {{(lift ? 2 : 1)}}, x.group_key, nullif(x.cut, 0), h.now, x.reason, x.owner_did, a.caller
            FROM accepted x JOIN act a USING (ord), head h
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, revocation_seq = revocation_seq + n.count, control_seq = control_seq + n.count
            FROM (SELECT count(*) AS count FROM accepted) n WHERE n.count > 0
        )
        SELECT j.ord, coalesce(x.seq, j.prior_seq, 0), coalesce(x.revocation_seq, j.prior_revocation_seq, 0), coalesce(CASE WHEN x.seq IS NULL THEN j.prior_at END, h.now),
               h.control_seq + (SELECT count(*) FROM accepted), coalesce(x.cut, j.prior_cut), j.verdict
          FROM judged j CROSS JOIN head h LEFT JOIN accepted x USING (ord)
        """;

    protected override string Sql => lift ? LiftText : BlockText;
    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        var targets = pending.Select(p => p.Act switch
        {
            BlockGroupAct b => (b.Group, b.Reason, b.OwnerDid, b.OwnerRows, IsOwners: b.OwnerRows is not null),
            LiftBlockAct l => (l.Group, l.Reason, l.OwnerDid, OwnerRows: null, l.IsOwners),
            var act => throw new InvalidOperationException($"{act.GetType().Name} is about no group"),
        }).ToList();
        Add(command, NpgsqlDbType.Smallint, targets.Select(t => (short)t.Group.Kind));
        Add(command, NpgsqlDbType.Bytea, targets.Select(t => t.Group.Hash));
        Add(command, NpgsqlDbType.Text, targets.Select(t => t.Reason));
        Add(command, NpgsqlDbType.Text, targets.Select(t => t.OwnerDid));
        Add(command, NpgsqlDbType.Integer, targets.Select(t => t.OwnerRows));
        Add(command, NpgsqlDbType.Boolean, targets.Select(t => t.IsOwners));
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = (Verdict)reader.GetInt32(6),
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(1)),
        RevocationSeq = new RevocationSeq(reader.GetInt64(2)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(3),
        ControlSeq = reader.GetInt64(4),
        Cut = reader.GetInt64(5),
    };
}
