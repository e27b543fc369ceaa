using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Tests;

/// <summary>How long what denies is kept, and that nothing leaves while it could still change an answer.</summary>
public sealed class RetentionTests
{
    private const int Day = 86_400;

    [Theory]
    [InlineData(40, 1, 41)]         // the longest lifetime there ever was, and a day
    [InlineData(40, 90, 90)]        // at least what is configured
    [InlineData(0, 30, 30)]
    [InlineData(30, 30, 31)]
    public async Task A_revocation_of_a_token_nobody_issued_outlives_any_that_could_have_been_issued(int longestDays, int configuredDays, int keptDays)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.ExecuteAsync($"UPDATE ledger.head SET longest_ttl = {longestDays * Day}");
        var keep = DateTimeOffset.UtcNow.AddDays(configuredDays);
        await ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("never issued")) with { KeepUntil = keep }, CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Revoke(jti: $"{Guid.NewGuid()}") with { KeepUntil = keep }, CancellationToken.None);
        var mint = Acts.Mint();
        await ledger.Writer.AppendAsync(mint, CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Revoke(mint.TokenHash) with { KeepUntil = keep }, CancellationToken.None);

        foreach (var table in (string[])["revoked_tokens", "revocations"])
        {
            var days = await ledger.ScalarAsync<double[]>($"SELECT array_agg(extract(epoch FROM expires_at - revoked_at)::float8 / {Day} ORDER BY revocation_seq) FROM ledger.{table}");
            Assert.InRange(days[0], keptDays - 0.001, keptDays + 0.001);
            Assert.InRange(days[1], keptDays - 0.001, keptDays + 0.001);
            Assert.InRange(days[2], 0.0, 601.0 / Day);      // one that is known, until it expires
        }
    }

    [Fact]
    public async Task A_longer_lifetime_counts_from_the_first_token_that_has_it_and_never_less_again()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        foreach (int days in (int[])[50, 1])
        {
            var mint = Acts.Mint();
            await ledger.Writer.AppendAsync(mint with { Claims = mint.Claims with { ExpiresAt = now + days * Day } }, CancellationToken.None);
        }
        await ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("never issued")), CancellationToken.None);
        Assert.InRange(await ledger.ScalarAsync<double>($"SELECT extract(epoch FROM expires_at - revoked_at)::float8 / {Day} FROM ledger.revoked_tokens"), 50.99, 51.01);
    }

    [Fact]
    public async Task What_has_expired_leaves_a_day_later_and_groups_never()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var tokens = new List<MintAct>();
        for (int i = 0; i < 4; i++)
        {
            tokens.Add(Acts.Mint(idempotencyKey: $"key-{i}"));
            await ledger.Writer.AppendAsync(tokens[i], CancellationToken.None);
            await ledger.Writer.AppendAsync(Acts.Revoke(tokens[i].TokenHash), CancellationToken.None);
        }
        await ledger.Writer.AppendAsync(Acts.Block(GroupKey.Of(RevocationKind.Mission, "", "old")), CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Lift(GroupKey.Of(RevocationKind.Mission, "", "old")), CancellationToken.None);
        // By how many seconds each of them is beyond its expiry; the last one is not.
        foreach (var (token, age) in tokens.Zip((int[])[Day + 5, Day - 60, 60, -600]))
        {
            var hash = Convert.ToHexStringLower(token.TokenHash.ToArray());
            await ledger.ExecuteAsync($"UPDATE ledger.issued SET exp = extract(epoch FROM clock_timestamp())::bigint - {age} WHERE token_hash = '\\x{hash}'");
            await ledger.ExecuteAsync($"UPDATE ledger.idempotency SET exp = extract(epoch FROM clock_timestamp())::bigint - {age} WHERE idempotency_key = '{token.IdempotencyKey}'");
            await ledger.ExecuteAsync($"UPDATE ledger.revoked_tokens SET expires_at = clock_timestamp() - interval '{age} seconds' WHERE token_hash = '\\x{hash}'");
        }
        await ledger.ExecuteAsync("UPDATE ledger.blocked_groups SET changed_at = changed_at - interval '10 years'");
        await ledger.ExecuteAsync("UPDATE ledger.batches SET recorded_at = recorded_at - interval '2 hours' WHERE first_seq = 1");

        Assert.Equal(1 + 1 + 3 + 1, await PruneAsync(ledger, 100));     // token, revocation, keys, batch

        Assert.Equal(Hashes(tokens.Skip(1)), await ledger.ScalarAsync<string[]>("SELECT array_agg(encode(token_hash, 'hex') ORDER BY seq) FROM ledger.issued"));
        Assert.Equal(Hashes(tokens.Skip(1)), await ledger.ScalarAsync<string[]>("SELECT array_agg(encode(token_hash, 'hex') ORDER BY seq) FROM ledger.revoked_tokens"));
        Assert.Equal(["key-3"], await ledger.ScalarAsync<string[]>("SELECT array_agg(idempotency_key) FROM ledger.idempotency"));
        Assert.Equal(1L, await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.blocked_groups"));
        // The acts themselves, and what followers count by, are all there.
        Assert.Equal((await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"), await ledger.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head")),
            (await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.events"), await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.revocations")));
        // Whoever asks meanwhile is told the same: within the day, and after it, when no verifier takes the token for good.
        Assert.Equal(Verdict.Repeated, (await ledger.Writer.AppendAsync(Acts.Revoke(tokens[1].TokenHash), CancellationToken.None)).Verdict);
        Assert.Equal(0, await PruneAsync(ledger, 100));
    }

    [Fact]
    public async Task Much_leaves_in_small_bites_oldest_first()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await Task.WhenAll(Enumerable.Range(0, 25).Select(i => ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of($"{i}")), CancellationToken.None)));
        await ledger.ExecuteAsync("UPDATE ledger.revoked_tokens SET expires_at = clock_timestamp() - interval '3 days' - revocation_seq * interval '1 minute'");
        Assert.Equal(10, await PruneAsync(ledger, 10));
        Assert.Equal(15L, await ledger.ScalarAsync<long>("SELECT max(revocation_seq) FROM ledger.revoked_tokens"));
        Assert.Equal((10, 5, 0), (await PruneAsync(ledger, 10), await PruneAsync(ledger, 10), await PruneAsync(ledger, 10)));
    }

    private static string[] Hashes(IEnumerable<MintAct> tokens) => [.. tokens.Select(t => t.TokenHash.ToString())];

    /// <summary>As an Issuer does it.</summary>
    private static async Task<long> PruneAsync(LedgerFixture ledger, int bite)
    {
        await using var issuer = NpgsqlDataSource.Create(ledger.Database.Issuer);
        await using var command = issuer.CreateCommand("SELECT ledger.prune($1)");
        command.Parameters.Add(new() { Value = bite });
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
