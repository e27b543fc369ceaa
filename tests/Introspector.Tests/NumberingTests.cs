using ClawBureau.Ledger;
using ClawBureau.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ClawBureau.Introspector.Tests;

/// <summary>An Introspector counts by numbers that are dense and in commit order; nothing else makes its answers right (L1, L3).</summary>
public sealed class NumberingTests
{
    /// <summary>
    /// A revocation that has its number waits, a later one comes, the Introspector reads, and then the first is answered. Numbers from a
    /// sequence, to a follower that takes them as they come, are the negative control: the check must see it fail.
    /// </summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public async Task No_answered_revocation_is_passed_over_unless_a_sequence_numbers_them(bool bySequence, int violations)
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked, add: services => services.AddSingleton(s =>
            new FeedRing(s.GetRequiredService<IntrospectorOptions>(), s.GetRequiredService<Watches>()) { PassesOverGaps = bySequence }));
        if (bySequence) await introspector.ExecuteAsync(BrokenAppend.Sequences);
        await using var slow = await StartWriterAsync(introspector, bySequence);
        await using var quick = await StartWriterAsync(introspector, bySequence);
        var (first, late, early) = (introspector.Sign(), introspector.Sign(), introspector.Sign());
        Assert.True((await introspector.IntrospectAsync(late)).Active);

        await slow.RevokeAsync(first.TokenHash);
        await using var connection = await introspector.Admin.OpenConnectionAsync();
        await using var held = await connection.BeginTransactionAsync();
        await using (var hold = connection.CreateCommand())
        {
            hold.CommandText = $"INSERT INTO ledger.revoked_tokens (revocation_seq, seq, token_hash, expires_at, revoked_at, revoked_by) VALUES (1000, 1000, '\\x{late.TokenHash}', now(), now(), 'test')";
            await hold.ExecuteNonQueryAsync();
        }
        var revokingLate = slow.RevokeAsync(late.TokenHash);
        await WaitForWaitersAsync(introspector, 1);
        var revokingEarly = quick.RevokeAsync(early.TokenHash);
        if (bySequence) await revokingEarly;
        else await WaitForWaitersAsync(introspector, 2);
        Assert.Equal(bySequence, (await introspector.IntrospectAsync(early)).Revoked);
        await held.RollbackAsync();
        await revokingLate;

        var log = new FreshnessLog();
        log.Revoked(0);
        long started = FreshnessLog.Now();
        log.Answered(0, started, (await introspector.IntrospectAsync(late)).Active);
        await revokingEarly;
        Assert.True((await introspector.IntrospectAsync(early)).Revoked);

        Assert.Equal(violations, log.FindViolations().Count);
        Assert.Equal(1, log.AnswersAfterRevoke);
        Assert.Equal(3 - violations, introspector.Live.Count);
        Assert.Equal(3, await introspector.ScalarAsync<long>("SELECT count(*) FROM ledger.revocations"));
    }

    private static Task WaitForWaitersAsync(IntrospectorFixture introspector, int count) => Eventually.HoldsAsync($"{count} wait", async () =>
        await introspector.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") >= count);

    private static async Task<RunningWriter> StartWriterAsync(IntrospectorFixture introspector, bool bySequence)
    {
        var source = LedgerDatabase.ForWriting(introspector.Database.Issuer);
        var writer = new LedgerWriter(source, new LedgerOptions(), NullLogger<LedgerWriter>.Instance) { Rewrite = bySequence ? BrokenAppend.NumberBySequence : null };
        await writer.StartAsync(CancellationToken.None);
        return new RunningWriter(writer, source);
    }

    private sealed record RunningWriter(LedgerWriter Writer, Npgsql.NpgsqlDataSource Source) : IAsyncDisposable
    {
        public Task<ActOutcome> RevokeAsync(Tokens.TokenHash hash) => Writer.AppendAsync(
            new RevokeTokenAct { Caller = "admin:test", Correlation = Correlation.None, TokenHash = hash, KeepUntil = DateTimeOffset.UtcNow.AddDays(30) }, CancellationToken.None);

        public async ValueTask DisposeAsync()
        {
            await Writer.StopAsync(CancellationToken.None);
            Writer.Dispose();
            await Source.DisposeAsync();
        }
    }
}
