using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// States keys, all in one event, while the states they were worked out from still stand; and revokes the tokens of one of them
/// in the same act. A batch holds one such act (its conflict key is the key set as a whole).
/// </summary>
internal sealed class KeyStatement(IReadOnlyList<PendingAct> pending) : ActStatement
{
    private static readonly string Text = $$"""
        {{Head}},
        stated AS MATERIALIZED (
          SELECT * FROM unnest($10::text[], $11::bytea[], $12::smallint[], $13::bigint[], $14::boolean[], $15::boolean[], $16::boolean[], $17::bigint[], $18::bigint[], $19::int[])
            AS s(kid, public_key, state, not_after, is_foreign, can_sign, revoked, activates_at, overlap, place)
        ),
        judged AS MATERIALIZED (
          SELECT a.ord,
            CASE
              WHEN $20::bigint <> coalesce((SELECT max(k.seq) FROM ledger.keys k), 0)
                OR $21::bigint < (SELECT max(i.exp) FROM ledger.issued i)
                OR EXISTS (SELECT 1 FROM stated s JOIN ledger.keys k USING (kid) WHERE k.state = {{(short)KeyState.Retired}} AND s.state <> k.state)
                THEN {{(int)Verdict.KeysMoved}}
              WHEN NOT EXISTS (SELECT 1 FROM stated s LEFT JOIN ledger.keys k USING (kid)
                     WHERE (s.state, s.not_after, s.is_foreign, s.can_sign, s.revoked, s.activates_at, s.overlap, s.place)
                       IS DISTINCT FROM (k.state, k.not_after, k.is_foreign, k.can_sign, k.revoked, k.activates_at, k.overlap, k.place))
                THEN {{(int)Verdict.Repeated}}
              ELSE {{(int)Verdict.Recorded}}
            END AS verdict
          FROM act a
        ),
        accepted AS MATERIALIZED (
          SELECT j.ord, NULL::bytea AS token_hash, h.seq + 1 AS seq FROM judged j CROSS JOIN head h WHERE j.verdict = {{(int)Verdict.Recorded}}
        ),
        {{RecordEvents(EventKind.KeyChanged)}},
        -- The active one last: the row it replaces has made room in the index by then.
        written AS (
          INSERT INTO ledger.keys AS k (kid, public_key, state, not_after, is_foreign, can_sign, revoked, activates_at, overlap, place, seq, published_at)
          SELECT s.kid, s.public_key, s.state, s.not_after, s.is_foreign, s.can_sign, s.revoked, s.activates_at, s.overlap, s.place, x.seq, floor(extract(epoch FROM h.now))::bigint
            FROM accepted x CROSS JOIN head h CROSS JOIN stated s ORDER BY s.state = {{(short)KeyState.Active}}
          ON CONFLICT (kid) DO UPDATE SET state = excluded.state, not_after = excluded.not_after, is_foreign = excluded.is_foreign, can_sign = excluded.can_sign,
             revoked = excluded.revoked, activates_at = excluded.activates_at, overlap = excluded.overlap, place = excluded.place, seq = excluded.seq
        ),
        doomed AS MATERIALIZED (
          SELECT x.ord, x.seq, h.revocation_seq + 1 AS revocation_seq, coalesce(g.cut, 0) AS cut
            FROM accepted x CROSS JOIN head h
            LEFT JOIN ledger.blocked_groups g ON g.kind = {{(short)RevocationKind.KeyId}} AND g.group_key = $22::bytea
           WHERE $22::bytea IS NOT NULL AND g.blocked IS NOT TRUE
        ),
        live AS (
          INSERT INTO ledger.blocked_groups AS g (kind, group_key, blocked, cut, revocation_seq, seq, changed_at)
          SELECT {{(short)RevocationKind.KeyId}}, $22::bytea, true, d.cut, d.revocation_seq, d.seq, h.now FROM doomed d, head h
          ON CONFLICT (kind, group_key) DO UPDATE
             SET blocked = excluded.blocked, cut = excluded.cut, revocation_seq = excluded.revocation_seq, seq = excluded.seq, changed_at = excluded.changed_at
        ),
        fed AS (
          INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, group_key, cut, revoked_at, reason)
          SELECT d.revocation_seq, d.seq, {{(short)RevocationKind.KeyId}}, 1, $22::bytea, nullif(d.cut, 0), h.now, $23::text FROM doomed d, head h
        ),
        advanced AS (
          UPDATE ledger.head SET seq = seq + 1, control_seq = control_seq + 1, revocation_seq = revocation_seq + (SELECT count(*) FROM doomed)
           WHERE EXISTS (SELECT 1 FROM accepted)
        )
        SELECT j.ord, j.verdict, coalesce(x.seq, (SELECT max(k.seq) FROM ledger.keys k), 0),
               coalesce(d.revocation_seq, (SELECT g.revocation_seq FROM ledger.blocked_groups g WHERE g.kind = {{(short)RevocationKind.KeyId}} AND g.group_key = $22::bytea AND g.blocked), 0),
               h.now, h.control_seq + (SELECT count(*) FROM accepted)
          FROM judged j CROSS JOIN head h LEFT JOIN accepted x USING (ord) LEFT JOIN doomed d USING (ord)
        """;

    protected override string Sql => Text;
    protected override IReadOnlyList<PendingAct> Pending => pending;

    protected override void AddParameters(NpgsqlBatchCommand command)
    {
        var act = (KeyAct)pending.Single().Act;
        Add(command, NpgsqlDbType.Text, act.Keys.Select(k => k.KeyId.ToString()));
        Add(command, NpgsqlDbType.Bytea, act.Keys.Select(k => k.PublicKey));
        Add(command, NpgsqlDbType.Smallint, act.Keys.Select(k => (short)k.State));
        Add(command, NpgsqlDbType.Bigint, act.Keys.Select(k => k.NotAfter));
        Add(command, NpgsqlDbType.Boolean, act.Keys.Select(k => k.IsForeign));
        Add(command, NpgsqlDbType.Boolean, act.Keys.Select(k => k.CanSign));
        Add(command, NpgsqlDbType.Boolean, act.Keys.Select(k => k.IsRevoked));
        Add(command, NpgsqlDbType.Bigint, act.Keys.Select(k => k.ActivatesAt));
        Add(command, NpgsqlDbType.Bigint, act.Keys.Select(k => k.Overlap));
        Add(command, NpgsqlDbType.Integer, act.Keys.Select(k => k.Place));
        AddOne(NpgsqlDbType.Bigint, act.JudgedAtKeysSeq?.Value);
        AddOne(NpgsqlDbType.Bigint, act.LongestExp);
        AddOne(NpgsqlDbType.Bytea, act.Revoked is { } kid ? GroupKey.Of(RevocationKind.KeyId, "", kid.ToString()).Hash : null);
        AddOne(NpgsqlDbType.Text, act.Reason);

        void AddOne(NpgsqlDbType type, object? value) => command.Parameters.Add(new() { NpgsqlDbType = type, Value = value ?? DBNull.Value });
    }

    protected override ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch) => new()
    {
        Verdict = (Verdict)reader.GetInt32(1),
        Epoch = epoch,
        Seq = new Seq(reader.GetInt64(2)),
        RevocationSeq = new RevocationSeq(reader.GetInt64(3)),
        RecordedAt = reader.GetFieldValue<DateTimeOffset>(4),
        ControlSeq = reader.GetInt64(5),
    };
}
