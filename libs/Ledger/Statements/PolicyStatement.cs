using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// Puts a policy, if it is new and the current one is the one expected. A batch holds one such act at most. It moves control_seq,
/// because it can deny a mint.
/// </summary>
internal sealed class PolicyStatement(IReadOnlyList<PendingAct> pending) : ActStatement
{
    private static readonly string Text = $$"""
        {{Head}},
        stated AS MATERIALIZED (
          SELECT * FROM unnest($2::int[], $10::text[], $11::bytea[], $12::text[], $13::text[]) AS s(ord, version, document, expected, reason)
        ),
        standing AS MATERIALIZED (SELECT version, seq, put_at, document FROM policy.versions ORDER BY seq DESC LIMIT 1),
        judged AS MATERIALIZED (
          SELECT s.*, c.seq AS prior_seq, c.put_at AS prior_at, NULL::bytea AS token_hash,
            CASE
              WHEN c.version = s.version AND c.document = s.document THEN {{(int)Verdict.Repeated}}
              WHEN s.expected <> coalesce(c.version, '') THEN {{(int)Verdict.PolicyChanged}}
              WHEN EXISTS (SELECT 1 FROM policy.versions v WHERE v.version = s.version) THEN {{(int)Verdict.VersionTaken}}
              ELSE {{(int)Verdict.Recorded}}
            END AS verdict
          FROM stated s LEFT JOIN standing c ON true
        ),
        accepted AS MATERIALIZED (
          SELECT j.*, h.seq + row_number() OVER (ORDER BY j.ord) AS seq FROM judged j CROSS JOIN head h WHERE j.verdict = {{(int)Verdict.Recorded}}
        ),
        {{RecordEvents(EventKind.PolicyPut)}},
        written AS (
          INSERT INTO policy.versions (version, seq, document, policy_hash, put_by, put_at, reason)
          SELECT x.version, x.seq, x.document, sha256(x.document), a.caller, h.now, x.reason FROM accepted x JOIN act a USING (ord), head h
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, control_seq = control_seq + n.count
            FROM (SELECT count(*) AS count FROM accepted) n WHERE n.count > 0
        )
        SELECT j.ord, j.verdict, coalesce(x.seq, j.prior_seq, 0), CASE WHEN x.seq IS NULL THEN coalesce(j.prior_at, h.now) ELSE h.now END,
               h.control_seq + (SELECT count(*) FROM accepted)
          FROM judged j CROSS JOIN head h LEFT JOIN accepted x USING (ord)
        """;

    protected override string Sql => Text;
    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        var policies = Pending.Select(p => (PolicyAct)p.Act).ToList();
        Add(command, NpgsqlDbType.Text, policies.Select(p => p.Version));
        Add(command, NpgsqlDbType.Bytea, policies.Select(p => p.Document));
        Add(command, NpgsqlDbType.Text, policies.Select(p => p.ExpectedVersion));
        Add(command, NpgsqlDbType.Text, policies.Select(p => p.Reason));
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = (Verdict)reader.GetInt32(1),
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(2)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(3),
        ControlSeq = reader.GetInt64(4),
    };
}
