using System.Collections.Concurrent;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>What callers were told is done, and the check that the ledger knows of all of it (L1, L2).</summary>
internal sealed class Acknowledged
{
    private readonly ConcurrentDictionary<string, IssueTokenResponse> _issued = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<TokenRevocation> _revoked = new();
    private readonly ConcurrentQueue<string> _contradictions = new();

    public IReadOnlyCollection<IssueTokenResponse> Issued => [.. _issued.Values];
    public IReadOnlyCollection<TokenRevocation> Revoked => _revoked;

    /// <summary>Keeps an answer; a second one under the same key must be the first one again.</summary>
    public void Add(string idempotencyKey, IssueTokenResponse answer)
    {
        var first = _issued.GetOrAdd(idempotencyKey, answer);
        if (first.Token != answer.Token || first.Seq != answer.Seq)
            _contradictions.Enqueue($"key {idempotencyKey} was answered with seq {first.Seq} and with seq {answer.Seq}");
    }

    public void Add(TokenRevocation answer) => _revoked.Enqueue(answer);

    /// <summary>Every violation as a sentence; none: nothing acknowledged was lost and seq has no hole.</summary>
    public async Task<IReadOnlyList<string>> FindViolationsAsync(NpgsqlConnection ledger)
    {
        var found = new List<string>(_contradictions);
        foreach (var (name, sql) in LedgerChecks)
        {
            await using var command = new NpgsqlCommand(sql, ledger);
            await FindAsync(name, command, found);
        }

        var issued = _issued.Values.ToList();
        await using (var command = new NpgsqlCommand(
            """
            SELECT a.seq FROM unnest($1::bigint[], $2::bytea[]) AS a(seq, token_hash)
              LEFT JOIN ledger.issued i ON i.token_hash = a.token_hash AND i.seq = a.seq
              LEFT JOIN ledger.events e ON e.token_hash = a.token_hash AND e.seq = a.seq AND e.kind = 1
             WHERE i.seq IS NULL OR e.seq IS NULL
            """, ledger)
        { Parameters = { new() { Value = issued.Select(i => i.Seq).ToArray() }, new() { Value = issued.Select(i => Convert.FromHexString(i.TokenHash)).ToArray() } } })
        {
            await FindAsync("an acknowledged issue is lost: seq", command, found);
        }

        var revoked = _revoked.ToList();
        await using (var command = new NpgsqlCommand(
            """
            SELECT a.seq FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS a(seq, token_hash, revocation_seq)
              LEFT JOIN ledger.revoked_tokens r ON r.token_hash = a.token_hash AND r.seq = a.seq AND r.revocation_seq = a.revocation_seq
              LEFT JOIN ledger.events e ON e.token_hash = a.token_hash AND e.seq = a.seq AND e.kind = 2
             WHERE r.seq IS NULL OR e.seq IS NULL
            """, ledger)
        {
            Parameters =
            {
                new() { Value = revoked.Select(r => r.Seq).ToArray() },
                new() { Value = revoked.Select(r => Convert.FromHexString(r.TokenHash)).ToArray() },
                new() { Value = revoked.Select(r => r.RevocationSeq).ToArray() },
            },
        })
        {
            await FindAsync("an acknowledged revocation is lost: seq", command, found);
        }
        return found;
    }

    private static async Task FindAsync(string name, NpgsqlCommand command, List<string> found)
    {
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync()) found.Add($"{name}: {reader.GetValue(0)}");
    }

    /// <summary>What must hold of any ledger; the ledger's own tests have more of it.</summary>
    private static readonly (string Name, string Sql)[] LedgerChecks =
    [
        ("the head is not the number of events", "SELECT h.seq FROM ledger.head h WHERE h.seq <> (SELECT count(*) FROM ledger.events)"),
        ("a hole before seq", "SELECT seq FROM (SELECT seq, lag(seq, 1, 0::bigint) OVER (ORDER BY seq) AS before FROM ledger.events) s WHERE before <> seq - 1"),
        ("the feed's head is not the number of its rows", "SELECT h.revocation_seq FROM ledger.head h WHERE h.revocation_seq <> (SELECT count(*) FROM ledger.revocations)"),
        ("a hole in the feed before", "SELECT revocation_seq FROM (SELECT revocation_seq, lag(revocation_seq, 1, 0::bigint) OVER (ORDER BY revocation_seq) AS before FROM ledger.revocations) s WHERE before <> revocation_seq - 1"),
        ("a token without its event", "SELECT i.seq FROM ledger.issued i LEFT JOIN ledger.events e ON e.seq = i.seq AND e.kind = 1 AND e.token_hash = i.token_hash WHERE e.seq IS NULL"),
        ("a second token under a key: seq", "SELECT i.seq FROM ledger.issued i LEFT JOIN ledger.idempotency k ON k.seq = i.seq WHERE k.seq IS NULL"),
    ];
}
