using ClawBureau.Ledger.Reading;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

/// <summary>A writer that stands still in the middle of a batch keeps the head from nobody (rule 5).</summary>
public sealed class PausedTests
{
    [Theory]
    [InlineData(BatchStep.NotSent)]
    [InlineData(BatchStep.HeadTaken)]
    [InlineData(BatchStep.NotCommitted)]
    [InlineData(BatchStep.AnswerUnread)]
    public async Task Another_writer_goes_on_and_the_one_that_stood_still_learns_what_became_of_its_acts(BatchStep step)
    {
        StepWire? wire = null;
        await using var ledger = await LedgerFixture.StartAsync();
        var paused = await ledger.StartWriterAsync(through: s => (wire = new StepWire(s)).ConnectionString);
        await paused.AppendAsync(Acts.Mint(), CancellationToken.None);

        var standing = wire!.StopAt(step);
        var act = Acts.Mint(idempotencyKey: "stood still");
        var answer = paused.AppendAsync(act, CancellationToken.None);
        var goOn = await standing;
        if (step is BatchStep.HeadTaken or BatchStep.NotCommitted) await WaitUntilHeadIsHeldAsync(ledger);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
        goOn();

        // What was not recorded may be asked for again, under the same key.
        var outcome = await answer.ContinueWith(a => a.IsCompletedSuccessfully ? a.Result.Verdict : ((Refusal)a.Exception!.InnerException!).Reason is Reason.LedgerUnavailable ? (Verdict?)null : throw a.Exception, TaskScheduler.Default);
        Assert.Equal(step is BatchStep.HeadTaken or BatchStep.NotCommitted ? null : Verdict.Recorded, outcome);
        var again = await paused.AppendAsync(act with { Claims = act.Claims with { Jti = "another" }, TokenHash = TokenHash.Of("another") }, CancellationToken.None);
        Assert.Equal(outcome is null ? Verdict.Recorded : Verdict.Repeated, again.Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task While_every_writer_stands_still_the_beat_of_the_ledger_goes_on()
    {
        StepWire? wire = null;
        await using var ledger = await LedgerFixture.StartAsync(through: s => (wire = new StepWire(s)).ConnectionString);
        var standing = wire!.StopAt(BatchStep.HeadTaken);
        var answer = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        var goOn = await standing;
        await WaitUntilHeadIsHeldAsync(ledger);

        // What an Introspector does before it reads.
        await using var introspector = LedgerDatabase.ForReading(ledger.Database.Introspector);
        await using var reader = new LedgerReader(introspector);
        long beat = await ledger.ScalarAsync<long>("SELECT beat FROM ledger.head");
        await Eventually.HoldsAsync("the beat goes on", async () =>
        {
            await reader.AdvanceBeatAsync(CancellationToken.None);
            return await ledger.ScalarAsync<long>("SELECT beat FROM ledger.head") > beat;
        });
        goOn();
        Assert.Equal(Reason.LedgerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => answer)).Reason);
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task A_session_that_waits_for_somebody_else_is_not_ended_for_holding_the_head()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var hash = TokenHash.Of("revoked by hand");
        await using var held = await ledger.HoldAsync($"INSERT INTO ledger.revoked_tokens (revocation_seq, seq, token_hash, expires_at, revoked_at, revoked_by) VALUES (1000, 1000, '\\x{hash}', now(), now(), 'test')");
        var waiting = ledger.Writer.AppendAsync(Acts.Revoke(hash), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        await Eventually.HoldsAsync("it has the head for longer than a batch may", () => ledger.ScalarAsync<bool>("SELECT coalesce(max(clock_timestamp() - query_start) > interval '600 ms', false) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"));
        Assert.Equal(0, await ledger.ScalarAsync<int>("SELECT ledger.free_head()"));
        await held.DisposeAsync();
        Assert.Equal(Verdict.Recorded, (await waiting).Verdict);
    }

    [Fact]
    public async Task What_repeated_requests_made_is_not_sent_while_the_head_is_held()
    {
        StepWire? wire = null;
        await using var ledger = await LedgerFixture.StartAsync(through: s => (wire = new StepWire(s)).ConnectionString);
        const int Requests = 200, Payload = 30_000;
        var mints = Enumerable.Range(0, Requests).Select(i => Acts.Mint(idempotencyKey: $"k{i}") with { SignedPayload = new byte[Payload] }).ToList();
        await Task.WhenAll(mints.Select(m => ledger.Writer.AppendAsync(m, CancellationToken.None)));

        var outcomes = await Task.WhenAll(mints.Select(m => ledger.Writer.AppendAsync(m, CancellationToken.None)));
        Assert.All(outcomes, o => Assert.Equal((Verdict.Repeated, Payload), (o.Verdict, o.PriorMint!.SignedPayload.Length)));
        // A socket takes this much though nobody reads it.
        Assert.InRange(wire!.LongestAnswer, 1, 64 * 1024);
        await wire.DisposeAsync();
    }

    private static Task WaitUntilHeadIsHeldAsync(LedgerFixture ledger) => Eventually.HoldsAsync("the head is held", () => ledger.ScalarAsync<bool>("""
        SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE a.datname = current_database() AND l.relation = 'ledger.head'::regclass AND l.mode = 'RowShareLock' AND a.wait_event = 'ClientRead'
        """));
}
