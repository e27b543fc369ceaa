namespace ClawBureau.Testing;

/// <summary>The append path broken on purpose, for negative controls: what a writer sends instead of each of its statements.</summary>
public static class BrokenAppend
{
    /// <summary>The head is locked by the statement that judges, which keeps the snapshot it had before it waited for it.</summary>
    public static string JudgeInOneStatement(string sql) => Unlocked(sql).Replace("AS now FROM ledger.head", "AS now FROM ledger.head FOR UPDATE", StringComparison.Ordinal);

    /// <summary>Numbers come from sequences, nobody waits for anybody, and the head is what committed last. Needs <see cref="Sequences"/>.</summary>
    public static string NumberBySequence(string sql) => Unlocked(sql)
        .Replace("h.seq + row_number() OVER (ORDER BY j.ord)", "nextval('ledger.act_numbers')", StringComparison.Ordinal)
        .Replace("h.revocation_seq + row_number() OVER (ORDER BY j.ord)", "nextval('ledger.revocation_numbers')", StringComparison.Ordinal)
        .Replace("WHERE n.count > 0", "WHERE false", StringComparison.Ordinal);

    /// <summary>For an administrator, before the first such writer starts.</summary>
    public const string Sequences = """
        CREATE SEQUENCE ledger.act_numbers;
        CREATE SEQUENCE ledger.revocation_numbers;
        SELECT setval('ledger.act_numbers', seq) FROM ledger.head WHERE seq > 0;
        GRANT USAGE ON SEQUENCE ledger.act_numbers, ledger.revocation_numbers TO claw_issuer;
        CREATE FUNCTION ledger.advance_head() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          UPDATE ledger.head SET seq = greatest(seq, (SELECT max(e.seq) FROM ledger.events e WHERE e.batch_id = NEW.batch_id)),
            revocation_seq = greatest(revocation_seq, (SELECT max(r.revocation_seq) FROM ledger.events e JOIN ledger.revocations r USING (seq) WHERE e.batch_id = NEW.batch_id));
          RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER advance_head AFTER INSERT ON ledger.batches DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.advance_head();
        """;

    private static string Unlocked(string sql) =>
        sql.Contains("INSERT INTO ledger.batches", StringComparison.Ordinal)
            ? "INSERT INTO ledger.batches (batch_id, abandoned, first_seq, recorded_at) SELECT $1, false, seq + 1, clock_timestamp() FROM ledger.head WHERE $2::uuid IS NOT NULL AND $3::bigint >= 0"
            : sql.Replace(" FROM ledger.head FOR UPDATE", " FROM ledger.head", StringComparison.Ordinal);
}
