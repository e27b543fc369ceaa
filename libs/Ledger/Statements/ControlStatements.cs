using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// Acts that state something new about a key, a controller or the policy: recorded when it differs from what stands,
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

internal sealed class ControllerStatement(IReadOnlyList<PendingAct> pending) : ControlStatement(pending)
{
    private static readonly string Text = TextOf(EventKind.ControllerChanged,
        "SELECT * FROM unnest($2::int[], $10::text[], $11::text[], $12::boolean[], $13::boolean[], $14::text[]) AS s(ord, controller_did, owner_did, active, frozen, policy_hash)",
        """
        NOT EXISTS (SELECT 1 FROM control.controllers c WHERE c.controller_did = s.controller_did AND c.owner_did = s.owner_did
                       AND c.active = s.active AND c.frozen = s.frozen AND c.policy_hash IS NOT DISTINCT FROM s.policy_hash)
        """,
        """
        INSERT INTO control.controllers AS c (controller_did, owner_did, active, frozen, policy_hash, seq, changed_at)
        SELECT x.controller_did, x.owner_did, x.active, x.frozen, x.policy_hash, x.seq, h.now FROM accepted x, head h
        ON CONFLICT (controller_did) DO UPDATE SET owner_did = excluded.owner_did, active = excluded.active, frozen = excluded.frozen,
           policy_hash = excluded.policy_hash, seq = excluded.seq, changed_at = excluded.changed_at
        """);

    protected override string Sql => Text;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        var controllers = Pending.Select(p => (ControllerAct)p.Act).ToList();
        Add(command, NpgsqlDbType.Text, controllers.Select(c => c.ControllerDid));
        Add(command, NpgsqlDbType.Text, controllers.Select(c => c.OwnerDid));
        Add(command, NpgsqlDbType.Boolean, controllers.Select(c => c.Active));
        Add(command, NpgsqlDbType.Boolean, controllers.Select(c => c.Frozen));
        Add(command, NpgsqlDbType.Text, controllers.Select(c => c.PolicyHash));
    }
}

internal sealed class PolicyStatement(IReadOnlyList<PendingAct> pending) : ControlStatement(pending)
{
    private static readonly string Text = TextOf(EventKind.PolicyPut,
        "SELECT * FROM unnest($2::int[], $10::text[], $11::bytea[]) AS s(ord, version, document)",
        "NOT EXISTS (SELECT 1 FROM policy.versions v WHERE v.version = s.version)",
        """
        INSERT INTO policy.versions (version, seq, document, policy_hash, put_by, put_at)
        SELECT x.version, x.seq, x.document, sha256(x.document), a.caller, h.now FROM accepted x JOIN act a USING (ord), head h
        """);

    protected override string Sql => Text;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        var policies = Pending.Select(p => (PolicyAct)p.Act).ToList();
        Add(command, NpgsqlDbType.Text, policies.Select(p => p.Version));
        Add(command, NpgsqlDbType.Bytea, policies.Select(p => p.Document));
    }
}
