using Npgsql;

namespace ClawBureau.Ledger.Tests;

/// <summary>What must hold of a ledger whatever happened to it (L1, L9): each violation as a sentence.</summary>
internal static class LedgerChecks
{
    public static async Task<IReadOnlyList<string>> FindViolationsAsync(LedgerFixture ledger)
    {
        var found = new List<string>();
        await using var connection = await ledger.Admin.OpenConnectionAsync();
        foreach (var (name, sql) in Checks)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await using var reader = await command.ExecuteReaderAsync();
            while (await reader.ReadAsync()) found.Add($"{name}: {reader.GetValue(0)}");
        }
        return found;
    }

    private static readonly (string Name, string Sql)[] Checks =
    [
        ("the head is not the number of events", "SELECT h.seq FROM ledger.head h WHERE h.seq <> (SELECT count(*) FROM ledger.events)"),
        ("a hole before seq", "SELECT seq FROM (SELECT seq, lag(seq, 1, 0::bigint) OVER (ORDER BY seq) AS before FROM ledger.events) s WHERE before <> seq - 1"),
        ("the feed's head is not the number of its rows", "SELECT h.revocation_seq FROM ledger.head h WHERE h.revocation_seq <> (SELECT count(*) FROM ledger.revocations)"),
        ("a hole in the feed before", "SELECT revocation_seq FROM (SELECT revocation_seq, lag(revocation_seq, 1, 0::bigint) OVER (ORDER BY revocation_seq) AS before FROM ledger.revocations) s WHERE before <> revocation_seq - 1"),
        ("the feed is not in the ledger's order at", "SELECT revocation_seq FROM (SELECT revocation_seq, seq, lag(seq, 1, 0::bigint) OVER (ORDER BY revocation_seq) AS before FROM ledger.revocations) s WHERE before >= seq"),
        ("an event was recorded before the one in front of it", "SELECT seq FROM (SELECT seq, recorded_at, lag(recorded_at) OVER (ORDER BY seq) AS before FROM ledger.events) s WHERE before > recorded_at"),
        ("a token without its event", "SELECT i.seq FROM ledger.issued i LEFT JOIN ledger.events e ON e.seq = i.seq AND e.kind = 1 AND e.token_hash = i.token_hash WHERE e.seq IS NULL"),
        ("a batch with holes", "SELECT batch_id FROM ledger.events GROUP BY batch_id HAVING max(seq) - min(seq) + 1 <> count(*)"),
        ("minted under a frozen controller at seq", """
            SELECT m.seq FROM ledger.events m
              CROSS JOIN LATERAL (SELECT convert_from(m.payload, 'UTF8')::jsonb AS claims) p
              CROSS JOIN LATERAL (
                SELECT convert_from(c.payload, 'UTF8')::jsonb AS state FROM ledger.events c
                 WHERE c.seq < m.seq AND c.subject = p.claims->>'controller_did' AND convert_from(c.payload, 'UTF8')::jsonb ? 'frozen' ORDER BY c.seq DESC LIMIT 1) s
             WHERE m.kind = 1 AND (s.state->>'frozen')::boolean
            """),
    ];
}
