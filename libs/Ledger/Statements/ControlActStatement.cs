using System.Text.Json;
using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// Records mutations of the control plane, each with all the rows it writes and the cuts it leaves. An act and its cuts are
/// neighbours in the ledger: the act first.
/// </summary>
internal sealed class ControlActStatement(IReadOnlyList<PendingAct> pending) : ActStatement
{
    // Far from any act's own ordinal: a lost batch is looked up by those.
    private const int FirstCutOrdinal = 1_000_000;

    private static readonly JsonSerializerOptions RowJson = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private static readonly string Text = $$"""
        {{Head}},
        stated AS MATERIALIZED (
          SELECT * FROM unnest($2::int[], $10::smallint[], $11::text[]) AS s(ord, kind, challenge_id)
        ),
        {{SeenCondition.Cte(12)}},
        blocked AS MATERIALIZED (
          SELECT n.ord, min(b.kind) AS kind FROM unnest($16::int[], $17::smallint[], $18::bytea[]) AS n(ord, kind, group_key)
            JOIN ledger.blocked_groups b ON b.kind = n.kind AND b.group_key = n.group_key AND b.blocked
           GROUP BY n.ord
        ),
        judged AS MATERIALIZED (
          SELECT s.*, b.kind AS blocked_by, CASE
              WHEN EXISTS (SELECT 1 FROM stale x WHERE x.ord = s.ord) THEN {{(int)Verdict.Stale}}
              WHEN s.challenge_id IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM control.challenges c WHERE c.challenge_id = s.challenge_id AND c.consumed_seq IS NULL AND c.expires_at > h.now)
                THEN {{(int)Verdict.ChallengeUnusable}}
              WHEN b.kind IS NOT NULL THEN {{(int)Verdict.Blocked}}
              ELSE {{(int)Verdict.Recorded}}
            END AS verdict
            FROM stated s CROSS JOIN head h LEFT JOIN blocked b USING (ord)
        ),
        cut AS MATERIALIZED (
          SELECT c.*, coalesce(g.blocked, false) AS blocked,
                 CASE WHEN c.source_key IS NULL THEN greatest(h.max_iat, {{ClockSecond}}, w.iat, coalesce(g.cut, 0)) ELSE f.cut END AS cut
            FROM unnest($19::int[], $20::int[], $21::smallint[], $22::bytea[], $23::smallint[], $24::bytea[], $25::bytea[]) AS c(ord, n, kind, group_key, source_kind, source_key, payload)
            JOIN judged j USING (ord) CROSS JOIN head h
            LEFT JOIN ledger.blocked_groups g ON g.kind = c.kind AND g.group_key = c.group_key
            LEFT JOIN ledger.ahead w ON w.kind = c.kind AND w.group_key = c.group_key
            LEFT JOIN ledger.blocked_groups f ON f.kind = c.source_kind AND f.group_key = c.source_key
           WHERE j.verdict = {{(int)Verdict.Recorded}} AND (c.source_key IS NULL OR f.cut > coalesce(g.cut, 0))
        ),
        numbered AS MATERIALIZED (
          SELECT e.ord, e.n, h.seq + row_number() OVER (ORDER BY e.ord, e.n) AS seq
            FROM (SELECT ord, 0 AS n FROM judged WHERE verdict = {{(int)Verdict.Recorded}} UNION ALL SELECT ord, n FROM cut) e CROSS JOIN head h
        ),
        accepted AS MATERIALIZED (
          SELECT j.*, n.seq FROM judged j JOIN numbered n USING (ord) WHERE n.n = 0
        ),
        due AS MATERIALIZED (
          SELECT c.*, n.seq, row_number() OVER (ORDER BY n.seq) AS place, h.revocation_seq + row_number() OVER (ORDER BY n.seq) AS revocation_seq FROM cut c JOIN numbered n USING (ord, n) CROSS JOIN head h
        ),
        recorded AS (
          INSERT INTO ledger.events (seq, batch_id, ordinal, kind, recorded_at, subject, mission_id, run_id, trace_id, correlation_id, payload)
          SELECT e.seq, $1, e.ordinal, e.kind, h.now, a.subject, a.mission_id, a.run_id, a.trace_id, a.correlation_id, e.payload
            FROM (SELECT x.ord, x.seq, x.ord AS ordinal, x.kind, NULL::bytea AS cut_payload FROM accepted x
                  UNION ALL SELECT d.ord, d.seq, {{FirstCutOrdinal}} + d.place::int, {{(short)EventKind.GroupCut}}, d.payload FROM due d) y
            JOIN act a USING (ord) CROSS JOIN head h
            CROSS JOIN LATERAL (SELECT y.seq, y.ordinal, y.kind, coalesce(y.cut_payload, a.payload) AS payload) e
        ),
        consumed AS (
          UPDATE control.challenges c SET consumed_seq = x.seq FROM accepted x WHERE c.challenge_id = x.challenge_id
        ),
        {{Upsert("bindings", 26, "did", "active, bound_at, challenge_id, revoked_at, revoked_reason, seq, version")}},
        {{Upsert("controllers", 27, "controller_did", """
            owner_did, active, frozen, policy_hash, seq, changed_at, registered_at, last_challenge_id, allowed_sensitive_scopes, policy_updated_at, transfer_to_owner_did,
            transfer_requested_at, transfer_expires_at, transferred_at, transferred_from_owner_did, rotated_from_did, rotation_confirmed_at, consented, version
            """)}},
        {{Upsert("agents", 28, "controller_did, agent_did", """
            owner_did, active, registered_at, last_challenge_id, policy_hash, rotated_from_did, rotation_confirmed_at, consented, seq
            """)}},
        {{Upsert("aliases", 29, "role, controller_did, from_did", "to_did, owner_did, active, confirmed_at, seq, version")}},
        {{Upsert("imports", 30, "bundle_hash", "controller_did, owner_did, imported_at, expires_at, seq, version")}},
        live AS (
          INSERT INTO ledger.blocked_groups AS g (kind, group_key, blocked, cut, revocation_seq, seq, changed_at)
          SELECT d.kind, d.group_key, d.blocked, d.cut, d.revocation_seq, d.seq, h.now FROM due d, head h
          ON CONFLICT (kind, group_key) DO UPDATE
             SET cut = excluded.cut, revocation_seq = excluded.revocation_seq, seq = excluded.seq, changed_at = excluded.changed_at
        ),
        fed AS (
          INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, group_key, cut, revoked_at)
          SELECT d.revocation_seq, d.seq, d.kind, CASE WHEN d.blocked THEN 1 ELSE 2 END, d.group_key, d.cut, h.now FROM due d, head h
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, revocation_seq = revocation_seq + n.cuts, control_seq = control_seq + n.acts
            FROM (SELECT (SELECT count(*) FROM numbered) AS count, (SELECT count(*) FROM due) AS cuts, (SELECT count(*) FROM accepted) AS acts) n
           WHERE n.count > 0
        )
        SELECT j.ord, j.verdict, coalesce(x.seq, 0), h.revocation_seq + (SELECT count(*) FROM due), h.now, h.control_seq + (SELECT count(*) FROM accepted), j.blocked_by
          FROM judged j CROSS JOIN head h LEFT JOIN accepted x USING (ord)
        """;

    private readonly IReadOnlyList<(int Ordinal, ControlAct Act)> _acts = [.. pending.Select(p => (p.Ordinal, (ControlAct)p.Act))];

    protected override string Sql => Text;
    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        Add(command, NpgsqlDbType.Smallint, _acts.Select(a => (short)a.Act.What));
        Add(command, NpgsqlDbType.Text, _acts.Select(a => a.Act.ChallengeId));
        SeenCondition.AddParameters(command, _acts.SelectMany(a => a.Act.Seen.Select(s => (a.Ordinal, s))));
        var open = _acts.SelectMany(a => a.Act.MustNotBeBlocked.Select(g => (a.Ordinal, Group: g))).ToList();
        Add(command, NpgsqlDbType.Integer, open.Select(g => g.Ordinal));
        Add(command, NpgsqlDbType.Smallint, open.Select(g => (short)g.Group.Kind));
        Add(command, NpgsqlDbType.Bytea, open.Select(g => g.Group.Hash));
        var cuts = _acts.SelectMany(a => a.Act.Cuts.Select((c, n) => (a.Ordinal, N: n + 1, a.Act, Cut: c))).ToList();
        Add(command, NpgsqlDbType.Integer, cuts.Select(c => c.Ordinal));
        Add(command, NpgsqlDbType.Integer, cuts.Select(c => c.N));
        Add(command, NpgsqlDbType.Smallint, cuts.Select(c => (short)c.Cut.Group.Kind));
        Add(command, NpgsqlDbType.Bytea, cuts.Select(c => c.Cut.Group.Hash));
        Add(command, NpgsqlDbType.Smallint, cuts.Select(c => (short?)c.Cut.From?.Kind));
        Add(command, NpgsqlDbType.Bytea, cuts.Select(c => c.Cut.From?.Hash));
        Add(command, NpgsqlDbType.Bytea, cuts.Select(c => EventPayload.OfCut(c.Act, c.Cut.Group)));
        AddRows(command, a => a.Bindings);
        AddRows(command, a => a.Controllers);
        AddRows(command, a => a.Agents);
        AddRows(command, a => a.Aliases);
        AddRows(command, a => a.Imports);
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = (Verdict)reader.GetInt32(1),
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(2)),
        RevocationSeq = new RevocationSeq(reader.GetInt64(3)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(4),
        ControlSeq = reader.GetInt64(5),
        BlockedBy = reader.IsDBNull(6) ? null : (RevocationKind)reader.GetInt16(6),
    };

    private void AddRows<T>(NpgsqlBatchCommand command, Func<ControlAct, IReadOnlyList<T>> rows) => command.Parameters.Add(new()
    {
        Value = JsonSerializer.Serialize(_acts.SelectMany(a => rows(a.Act).Select(row => new { Ord = a.Ordinal, Row = row })), RowJson),
        NpgsqlDbType = NpgsqlDbType.Jsonb,
    });

    /// <summary>A CTE that writes the rows of the accepted acts into a table of schema control, names of columns as in the model.</summary>
    private static string Upsert(string table, int parameter, string key, string columns)
    {
        var names = columns.Split(',', StringSplitOptions.TrimEntries);
        return $"""
            written_{table} AS (
              INSERT INTO control.{table} AS t ({key}, {columns})
              SELECT {string.Join(", ", key.Split(',', StringSplitOptions.TrimEntries).Concat(names).Select(c => "v." + c))}
                FROM jsonb_to_recordset(${parameter}) AS r(ord int, "row" jsonb) JOIN accepted x USING (ord)
                CROSS JOIN LATERAL jsonb_populate_record(NULL::control.{table},
                  r."row" || jsonb_build_object('seq', coalesce(nullif((r."row"->>'seq')::bigint, 0), x.seq), 'version', x.seq)) AS v
              ON CONFLICT ({key}) DO UPDATE SET {string.Join(", ", names.Select(c => $"{c} = excluded.{c}"))}
            )
            """;
    }
}
