using ClawBureau.Ledger.Reading;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

/// <summary>An owner's list costs what is the owner's, however much others revoked.</summary>
public sealed class OwnersListTests
{
    [Fact]
    public async Task An_owners_few_revocations_are_found_by_their_index_among_many_of_others()
    {
        const int others = 20_000;
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.ExecuteAsync($"""
            INSERT INTO ledger.revocations (revocation_seq, seq, kind, effect, token_hash, expires_at, revoked_at, owner_did)
            SELECT g, g + 1, 1, 1, sha256(g::text::bytea), clock_timestamp(), clock_timestamp(), CASE WHEN g <= 3 THEN 'did:key:zFew' ELSE 'did:key:zMany' || g END
              FROM generate_series(1, {others}) g
            """);
        await ledger.ExecuteAsync($"UPDATE ledger.head SET seq = {others} + 1, revocation_seq = {others}");
        await ledger.ExecuteAsync("ANALYZE ledger.revocations");
        await using var introspector = LedgerDatabase.ForReading(ledger.Database.Introspector);
        var reader = new LedgerReader(introspector);
        long before = await ReadAsync("pg_stat_user_tables", "seq_tup_read") + await ReadAsync("pg_stat_user_indexes", "idx_tup_read");

        for (int i = 0; i < 20; i++)        // more often than a statement is planned anew
        {
            foreach (bool oldestFirst in (bool[])[false, true])
            {
                var page = await reader.ListRevocationsAsync(new RevocationFilter { PageSize = 50, OldestFirst = oldestFirst, Through = new RevocationSeq(others), OwnerDid = "did:key:zFew" }, CancellationToken.None);
                Assert.Equal(oldestFirst ? [1, 2, 3] : [3, 2, 1], page.Select(r => r.Row.RevocationSeq.Value));
            }
        }

        await introspector.DisposeAsync();      // what a session read is counted at the latest when it ends
        await Eventually.HoldsAsync("the lists are counted", async () => await ReadAsync("pg_stat_user_indexes", "idx_scan", "revocations_owner_did") >= 40);
        Assert.InRange(await ReadAsync("pg_stat_user_tables", "seq_tup_read") + await ReadAsync("pg_stat_user_indexes", "idx_tup_read") - before, 0, 1_000);

        async Task<long> ReadAsync(string view, string column, string? index = null) => await ledger.ScalarAsync<long>(
            $"SELECT coalesce(sum({column}), 0)::bigint FROM {view} WHERE schemaname = 'ledger' AND relname = 'revocations' {(index is null ? "" : $"AND indexrelname = '{index}'")}");
    }
}
