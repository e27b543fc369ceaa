using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// Acts that state something new about a key: recorded when it differs from what stands,
/// and each moves control_seq, because each can deny a mint.
/// </summary>
internal abstract class ControlStatement(IReadOnlyList<PendingAct> pending) : ActStatement
{
    /// <param name="kind">The event's kind.</param>
    /// <param name="stated">A CTE `stated` with ord and the act's own columns.</param>
    /// <param name="differs">Condition over `stated s`: true where the act says something new.</param>
    /// <param name="write">A CTE that writes the projection from `accepted`.</param>
    protected static string TextOf(EventKind kind, string stated, string differs, string write) => $$"""
        {{Head}},
        stated AS MATERIALIZED ({{stated}}),
        accepted AS MATERIALIZED (
          SELECT s.*, NULL::bytea AS token_hash, h.seq + row_number() OVER (ORDER BY s.ord) AS seq FROM stated s CROSS JOIN head h WHERE {{differs}}
        ),
        {{RecordEvents(kind)}},
        written AS ({{write}}),
        advanced AS (
          UPDATE ledger.head SET seq = seq + n.count, control_seq = control_seq + n.count
            FROM (SELECT count(*) AS count FROM accepted) n WHERE n.count > 0
        )
        SELECT s.ord, coalesce(x.seq, 0), h.now, h.control_seq + (SELECT count(*) FROM accepted), x.seq IS NULL
          FROM stated s CROSS JOIN head h LEFT JOIN accepted x USING (ord)
        """;

    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = reader.GetBoolean(4) ? Verdict.Repeated : Verdict.Recorded,
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(1)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(2),
        ControlSeq = reader.GetInt64(3),
    };
}

internal sealed class KeyStatement(IReadOnlyList<PendingAct> pending) : ControlStatement(pending)
{
    private static readonly string Text = TextOf(EventKind.KeyChanged,
        "SELECT * FROM unnest($2::int[], $10::text[], $11::bytea[], $12::smallint[], $13::bigint[], $14::boolean[]) AS s(ord, kid, public_key, state, not_after, is_foreign)",
        """
        NOT EXISTS (SELECT 1 FROM ledger.keys k WHERE k.kid = s.kid AND k.state = s.state
                       AND k.not_after IS NOT DISTINCT FROM s.not_after AND k.is_foreign = s.is_foreign)
        """,
        """
        INSERT INTO ledger.keys AS k (kid, public_key, state, not_after, is_foreign, seq)
        SELECT kid, public_key, state, not_after, is_foreign, seq FROM accepted
        ON CONFLICT (kid) DO UPDATE SET state = excluded.state, not_after = excluded.not_after, is_foreign = excluded.is_foreign, seq = excluded.seq
        """);

    protected override string Sql => Text;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        var keys = Pending.Select(p => (KeyAct)p.Act).ToList();
        Add(command, NpgsqlDbType.Text, keys.Select(k => k.KeyId.ToString()));
        Add(command, NpgsqlDbType.Bytea, keys.Select(k => k.PublicKey));
        Add(command, NpgsqlDbType.Smallint, keys.Select(k => (short)k.State));
        Add(command, NpgsqlDbType.Bigint, keys.Select(k => k.NotAfter?.ToUnixTimeSeconds()));
        Add(command, NpgsqlDbType.Boolean, keys.Select(k => k.IsForeign));
    }
}
