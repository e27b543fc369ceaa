using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

public sealed class AppendTests
{
    [Fact]
    public async Task Acts_of_two_writers_are_numbered_densely_and_in_commit_order()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var second = await ledger.StartWriterAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 400).SelectMany(i => new[]
        {
            ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None),
            second.AppendAsync(Acts.Revoke(TokenHash.Of($"never issued {i}")), CancellationToken.None),
        }));

        Assert.All(answers, a => Assert.Equal(Verdict.Recorded, a.Verdict));
        Assert.Equal(Enumerable.Range(2, 800).Select(n => (long)n), answers.Select(a => a.Seq.Value).Order());
        Assert.Equal(Enumerable.Range(1, 400).Select(n => (long)n), answers.Select(a => a.RevocationSeq.Value).Where(n => n > 0).Order());
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task Concurrent_issues_share_commits()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        long before = await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.batches");

        await Task.WhenAll(Enumerable.Range(0, 640).Select(_ => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)));

        Assert.Equal(641, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));
        Assert.InRange(await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.batches") - before, 1, 200);
    }

    [Fact]
    public async Task Every_event_keeps_mission_run_trace_and_correlation()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var answer = await ledger.Writer.AppendAsync(Acts.Mint(mission: "agent:main:dm:whatsapp:+15551234567"), CancellationToken.None);

        Assert.Equal("agent:main:dm:whatsapp:+15551234567|run-1|trc_1|cor-1|did:key:zAgent", await ledger.ScalarAsync<string>(
            $"SELECT concat_ws('|', mission_id, run_id, trace_id, correlation_id, subject) FROM ledger.events WHERE seq = {answer.Seq}"));
    }

    [Fact]
    public async Task An_act_that_the_audit_log_would_not_take_is_refused_before_it_is_queued()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var refusal = await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("x")) with { Reason = new string('x', 33_000) }, CancellationToken.None));
        Assert.Equal((Reason.FieldTooLong, "32768"), (refusal.Reason, refusal.Metadata["limit"]));
    }

    [Fact]
    public async Task Text_PostgreSQL_cannot_hold_is_refused_and_harms_no_other_act()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var held = await ledger.HoldHeadAsync();
        var good = ledger.Writer.AppendAsync(Acts.Mint(mission: "good"), CancellationToken.None);

        foreach (var bad in (string[])["a\0b", "a\ud800b", "\udc00"])
        {
            var refusal = await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Acts.Mint(mission: bad), CancellationToken.None));
            Assert.Equal(Reason.TextNotStorable, refusal.Reason);
        }
        await held.CommitAsync();
        Assert.Equal(Verdict.Recorded, (await good).Verdict);
    }

    [Fact]
    public async Task One_act_the_database_refuses_never_takes_its_batch_along()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var first = Acts.Mint();
        await ledger.Writer.AppendAsync(first, CancellationToken.None);

        // A jti that is there already breaks a unique index: class 23, and everything queued behind the held head shares its batch.
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var good = Enumerable.Range(0, 20).Select(_ => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).ToList();
        var bad = ledger.Writer.AppendAsync(Acts.Mint(jti: first.Claims.Jti), CancellationToken.None);
        await held.CommitAsync();

        await Assert.ThrowsAsync<Npgsql.PostgresException>(() => bad);
        Assert.All(await Task.WhenAll(good.Append(running)), a => Assert.Equal(Verdict.Recorded, a.Verdict));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_cancelled_request_is_recorded_all_the_same()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var held = await ledger.HoldHeadAsync();
        using var impatient = new CancellationTokenSource();
        var act = Acts.Mint();
        var waiting = ledger.Writer.AppendAsync(act, impatient.Token);
        await ledger.WaitForWaitersAsync(1);
        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await held.CommitAsync();

        await ledger.Writer.AppendAsync(Acts.Revoke(act.TokenHash), CancellationToken.None);
        Assert.Equal(1, await ledger.ScalarAsync<long>($"SELECT count(*) FROM ledger.issued WHERE jti = '{act.Claims.Jti}'"));
    }

    [Fact]
    public async Task Overload_refuses_mints_and_never_revocations()
    {
        await using var ledger = await LedgerFixture.StartAsync(new LedgerOptions { MintQueue = 8, BatchSize = 4 });
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var queued = Enumerable.Range(0, 8).Select(_ => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).ToList();

        var refusal = await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None));
        Assert.Equal(Reason.LedgerOverloaded, refusal.Reason);
        var revoked = ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("x")), CancellationToken.None);
        await held.CommitAsync();

        var mints = await Task.WhenAll(queued.Append(running));
        Assert.True((await revoked).Seq < mints.Max(m => m.Seq), "a revocation goes before mints that waited longer");
    }

    [Fact]
    public async Task Acts_under_one_conflict_key_never_share_a_batch_and_keep_their_order()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var hash = TokenHash.Of("twice");
        var first = ledger.Writer.AppendAsync(Acts.Revoke(hash), CancellationToken.None);
        var again = ledger.Writer.AppendAsync(Acts.Revoke(hash), CancellationToken.None);
        await held.CommitAsync();
        await running;

        Assert.Equal(Verdict.Recorded, (await first).Verdict);
        Assert.Equal(Verdict.Repeated, (await again).Verdict);
        Assert.Equal((await first).Seq, (await again).Seq);
    }
}
