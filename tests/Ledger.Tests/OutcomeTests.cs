using ClawBureau.Testing;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Tests;

/// <summary>L2: "done" only after commit, and a lost answer is looked up, never guessed.</summary>
public sealed class OutcomeTests
{
    [Fact]
    public async Task An_answer_lost_after_commit_is_found_again()
    {
        PostgresProxy? wire = null;
        await using var ledger = await LedgerFixture.StartAsync(through: s => (wire = new PostgresProxy(s)).ConnectionString);
        var revoked = TokenHash.Of("revoked before");
        var first = await ledger.Writer.AppendAsync(Acts.Revoke(revoked), CancellationToken.None);

        // The first batch waits behind the held head, the second gathers behind it; the second one's answer is lost.
        await using var held = await ledger.HoldHeadAsync();
        var lost = wire!.LoseAnswer(passing: 1);
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var acts = new Act[] { Acts.Mint(idempotencyKey: "lost"), Acts.Revoke(TokenHash.Of("y")), Acts.Revoke(revoked), Acts.Mint() };
        var answers = acts.Select(a => ledger.Writer.AppendAsync(a, CancellationToken.None)).ToList();
        await held.CommitAsync();
        await running;
        await lost;

        var outcomes = await Task.WhenAll(answers);
        Assert.Equal([Verdict.Recorded, Verdict.Recorded, Verdict.Repeated, Verdict.Recorded], outcomes.Select(o => o.Verdict));
        Assert.Equal((first.Seq, first.RecordedAt), (outcomes[2].Seq, outcomes[2].RecordedAt));
        Assert.Equal(4, outcomes.Select(o => o.Seq).Distinct().Count());
        Assert.Equal(new RevocationSeq(2), outcomes[1].RevocationSeq);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task An_answer_the_driver_cannot_read_is_looked_up_like_a_lost_one()
    {
        PostgresProxy? wire = null;
        await using var ledger = await LedgerFixture.StartAsync(new LedgerOptions { BatchTimeout = TimeSpan.FromSeconds(1) }, through: s => (wire = new PostgresProxy(s)).ConnectionString);
        wire!.GarbleNextAnswer();
        var answer = await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20));

        Assert.Equal(Verdict.Recorded, answer.Verdict);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task A_batch_whose_backend_dies_is_told_as_not_written()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var held = await ledger.HoldHeadAsync();
        var waiting = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        await ledger.ExecuteAsync("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()");
        await held.CommitAsync();

        var refusal = await Assert.ThrowsAsync<Refusal>(() => waiting);
        Assert.Equal(Reason.LedgerUnavailable, refusal.Reason);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_batch_given_up_can_never_commit_later()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var late = new LedgerBatch([new PendingAct(Acts.Mint())]);
        await ledger.ExecuteAsync($"INSERT INTO ledger.batches SELECT '{late.Id}', true, seq + 1, clock_timestamp() FROM ledger.head");

        await using var source = LedgerDatabase.ForWriting(ledger.Database.Issuer);
        await using var connection = await source.OpenConnectionAsync();
        var refused = await Assert.ThrowsAsync<PostgresException>(() => late.ExecuteAsync(connection, default, rewrite: null, CancellationToken.None));
        Assert.Equal(PostgresErrorCodes.UniqueViolation, refused.SqlState);
        Assert.Equal(1, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));
    }

    [Fact]
    public async Task While_the_database_is_away_acts_are_refused_at_once_and_it_serves_again_by_itself()
    {
        PostgresProxy? wire = null;
        await using var ledger = await LedgerFixture.StartAsync(new LedgerOptions { ResolveWithin = TimeSpan.FromMilliseconds(200) }, through: s => (wire = new PostgresProxy(s)).ConnectionString);
        await wire!.CutAsync();
        // The first one may have been on the wire when it was cut; from the second on nothing is ever sent.
        var first = await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None));
        Assert.Contains(first.Reason, new[] { Reason.LedgerUnavailable, Reason.LedgerOutcomeUnknown });
        var second = await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None));
        Assert.Equal(Reason.LedgerUnavailable, second.Reason);

        wire.Mend();
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task Acts_accepted_before_a_stop_are_written_and_later_ones_refused()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var writer = await ledger.StartWriterAsync();
        await writer.AppendAsync(Acts.Mint(), CancellationToken.None);      // its loop runs
        var accepted = Enumerable.Range(0, 50).Select(_ => writer.AppendAsync(Acts.Mint(), CancellationToken.None)).ToList();
        await writer.StopAsync(CancellationToken.None);

        Assert.All(await Task.WhenAll(accepted), a => Assert.Equal(Verdict.Recorded, a.Verdict));
        var refusal = await Assert.ThrowsAsync<Refusal>(() => writer.AppendAsync(Acts.Mint(), CancellationToken.None));
        Assert.Equal(Reason.LedgerUnavailable, refusal.Reason);
    }

    [Fact]
    public async Task Acts_of_a_writer_that_never_came_to_run_are_refused_when_it_stops()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var source = LedgerDatabase.ForWriting(ledger.Database.Issuer);
        using var writer = new LedgerWriter(source, new LedgerOptions(), Microsoft.Extensions.Logging.Abstractions.NullLogger<LedgerWriter>.Instance);
        var accepted = Enumerable.Range(0, 3).Select(_ => writer.AppendAsync(Acts.Revoke(TokenHash.Of("same")), CancellationToken.None)).ToList();
        await writer.StopAsync(CancellationToken.None);

        foreach (var act in accepted)
            Assert.Equal(Reason.LedgerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => act.WaitAsync(TimeSpan.FromSeconds(10)))).Reason);
    }
}
