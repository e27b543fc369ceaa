using ClawBureau.Ledger.Reading;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

public sealed class ConditionTests
{
    private const string Controller = "did:key:zController";

    [Fact]
    public async Task A_retry_under_an_idempotency_key_gets_what_the_first_request_made()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var first = Acts.Mint(idempotencyKey: "k1");
        var recorded = await ledger.Writer.AppendAsync(first, CancellationToken.None);
        var again = await ledger.Writer.AppendAsync(Acts.Mint(idempotencyKey: "k1"), CancellationToken.None);

        Assert.Equal((Verdict.Repeated, recorded.Seq), (again.Verdict, again.Seq));
        Assert.Equal(first.RequestHash, again.PriorMint!.RequestHash);
        Assert.Equal(first.SignedPayload, again.PriorMint.SignedPayload);
        Assert.Equal(2, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));
    }

    [Fact]
    public async Task Another_caller_may_use_the_same_idempotency_key()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.Writer.AppendAsync(Acts.Mint(idempotencyKey: "k1"), CancellationToken.None);
        var other = await ledger.Writer.AppendAsync(Acts.Mint(idempotencyKey: "k1") with { Caller = "admin:other" }, CancellationToken.None);
        Assert.Equal(Verdict.Recorded, other.Verdict);
    }

    [Fact]
    public async Task An_idempotency_key_is_free_again_when_its_token_has_expired()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var past = DateTimeOffset.UtcNow.AddHours(-2).ToUnixTimeSeconds();
        await ledger.Writer.AppendAsync(Acts.Mint(idempotencyKey: "k1", issuedAt: past), CancellationToken.None);
        var later = await ledger.Writer.AppendAsync(Acts.Mint(idempotencyKey: "k1", request: "another"), CancellationToken.None);
        Assert.Equal(Verdict.Recorded, later.Verdict);
    }

    [Fact]
    public async Task One_of_many_concurrent_requests_under_an_idempotency_key_mints()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var second = await ledger.StartWriterAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(i =>
            (i % 2 == 0 ? ledger.Writer : second).AppendAsync(Acts.Mint(idempotencyKey: "storm"), CancellationToken.None)));

        Assert.Single(answers, a => a.Verdict == Verdict.Recorded);
        Assert.Single(answers.Select(a => a.Seq).Distinct());
    }

    [Fact]
    public async Task A_token_is_revoked_by_hash_or_by_jti_and_stays_so()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var (byHash, byJti) = (Acts.Mint(), Acts.Mint());
        await ledger.Writer.AppendAsync(byHash, CancellationToken.None);
        await ledger.Writer.AppendAsync(byJti, CancellationToken.None);

        var first = await ledger.Writer.AppendAsync(Acts.Revoke(byHash.TokenHash), CancellationToken.None);
        var second = await ledger.Writer.AppendAsync(Acts.Revoke(jti: byJti.Claims.Jti), CancellationToken.None);
        var crosswise = await ledger.Writer.AppendAsync(Acts.Revoke(jti: byHash.Claims.Jti), CancellationToken.None);

        Assert.Equal((Verdict.Recorded, new RevocationSeq(1)), (first.Verdict, first.RevocationSeq));
        Assert.Equal((Verdict.Recorded, byJti.TokenHash), (second.Verdict, second.TokenHash!.Value));
        Assert.Equal((Verdict.Repeated, first.Seq, first.RevocationSeq, first.RecordedAt), (crosswise.Verdict, crosswise.Seq, crosswise.RevocationSeq, crosswise.RecordedAt));
        // The revocation is kept as long as the token could live, not as long as the caller guessed.
        Assert.Equal(byHash.Claims.ExpiresAt, await ledger.ScalarAsync<long>("SELECT extract(epoch FROM expires_at)::bigint FROM ledger.revoked_tokens WHERE revocation_seq = 1"));
    }

    [Fact]
    public async Task A_hash_and_the_jti_of_one_token_in_one_batch_revoke_it_once()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var mint = Acts.Mint();
        await ledger.Writer.AppendAsync(mint, CancellationToken.None);
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var both = new[] { Acts.Revoke(mint.TokenHash), Acts.Revoke(jti: mint.Claims.Jti) }.Select(a => ledger.Writer.AppendAsync(a, CancellationToken.None)).ToList();
        await held.CommitAsync();
        await running;

        var answers = await Task.WhenAll(both);
        Assert.Equal([Verdict.Recorded, Verdict.Repeated], answers.Select(a => a.Verdict).Order());
        Assert.Single(answers.Select(a => a.Seq).Distinct());
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_blocked_group_mints_nothing_until_lifted_and_then_only_after_the_cut()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var mission = GroupKey.Of(RevocationKind.Mission, "", "mission-1");
        var blocked = await ledger.Writer.AppendAsync(Acts.Block(mission), CancellationToken.None);
        Assert.Equal((Verdict.Recorded, new RevocationSeq(1)), (blocked.Verdict, blocked.RevocationSeq));
        Assert.Equal(Verdict.Repeated, (await ledger.Writer.AppendAsync(Acts.Block(mission), CancellationToken.None)).Verdict);

        Assert.Equal(Verdict.Blocked, (await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission]), CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);

        await ledger.Writer.AppendAsync(Acts.Lift(mission), CancellationToken.None);

        // An issuer whose clock ran ahead has issued a token "in the future": the cut covers it. One of another group it does not.
        long ahead = DateTimeOffset.UtcNow.AddSeconds(20).ToUnixTimeSeconds();
        await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission, GroupKey.Of(RevocationKind.Everything, "", "")], issuedAt: ahead), CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Mint(issuedAt: ahead + 60), CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Block(mission), CancellationToken.None);
        var lifted = await ledger.Writer.AppendAsync(Acts.Lift(mission), CancellationToken.None);
        Assert.Equal(ahead, lifted.Cut);

        var early = await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission], issuedAt: ahead), CancellationToken.None);
        Assert.Equal((Verdict.BeforeCut, ahead), (early.Verdict, early.Cut));
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission], issuedAt: ahead + 1), CancellationToken.None)).Verdict);
    }

    [Fact]
    public async Task A_cut_covers_what_was_issued_before_the_database_s_clock_was_set_back()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var mission = GroupKey.Of(RevocationKind.Mission, "", "mission-1");
        // The token was of its second, by a clock that ran an hour ahead until now.
        long then = DateTimeOffset.UtcNow.AddHours(1).ToUnixTimeSeconds();
        await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission]), CancellationToken.None);
        await ledger.ExecuteAsync($"UPDATE ledger.head SET max_iat = {then}");
        await ledger.Writer.AppendAsync(Acts.Block(mission), CancellationToken.None);
        Assert.Equal(then, (await ledger.Writer.AppendAsync(Acts.Lift(mission), CancellationToken.None)).Cut);
        Assert.Equal(Verdict.BeforeCut, (await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission]), CancellationToken.None)).Verdict);
    }

    [Fact]
    public async Task A_cut_of_the_control_plane_covers_what_was_issued_ahead_of_the_clock()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var (mine, other) = (GroupKey.Of(RevocationKind.Controller, "", Controller), GroupKey.Of(RevocationKind.Controller, "", "did:key:zOther"));
        long ahead = DateTimeOffset.UtcNow.AddSeconds(20).ToUnixTimeSeconds();
        await ledger.Writer.AppendAsync(Acts.Mint(groups: [mine], issuedAt: ahead), CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Controller(Controller, frozen: false) with { Cuts = [new CutOrder(mine), new CutOrder(other)] }, CancellationToken.None);
        Assert.Equal(ahead, await ledger.ScalarAsync<long>($"SELECT cut FROM ledger.blocked_groups WHERE group_key = '\\x{Convert.ToHexStringLower(mine.Hash)}'"));
        Assert.InRange(await ledger.ScalarAsync<long>($"SELECT cut FROM ledger.blocked_groups WHERE group_key = '\\x{Convert.ToHexStringLower(other.Hash)}'"), ahead - 22, ahead - 10);
    }

    [Fact]
    public async Task A_frozen_controller_mints_nothing()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.Writer.AppendAsync(Acts.Controller(Controller, frozen: true), CancellationToken.None);
        Assert.Equal(Verdict.ControllerFrozen, (await ledger.Writer.AppendAsync(Acts.Mint(controller: Controller), CancellationToken.None)).Verdict);
        await ledger.Writer.AppendAsync(Acts.Controller(Controller, frozen: false), CancellationToken.None);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(controller: Controller), CancellationToken.None)).Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task Only_an_active_key_may_sign()
    {
        await using var ledger = await LedgerFixture.StartAsync(withKey: false);
        Assert.Equal(Verdict.KeyMayNotSign, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
        await ledger.Writer.AppendAsync(Acts.Key(), CancellationToken.None);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Repeated, (await ledger.Writer.AppendAsync(Acts.Key(), CancellationToken.None)).Verdict);
        await ledger.Writer.AppendAsync(Acts.Key(KeyState.VerifyOnly), CancellationToken.None);
        Assert.Equal(Verdict.KeyMayNotSign, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
    }

    [Fact]
    public async Task A_mint_judged_by_an_older_policy_is_sent_back()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        foreach (var version in (string[])["1", "2"])
            await ledger.Writer.AppendAsync(new PolicyAct { Caller = "admin:test", Correlation = Correlation.None, Version = version, Document = "{}"u8.ToArray() }, CancellationToken.None);

        Assert.Equal(Verdict.PolicyChanged, (await ledger.Writer.AppendAsync(Acts.Mint() with { LedgerPolicyVersion = "1" }, CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Mint() with { LedgerPolicyVersion = "2" }, CancellationToken.None)).Verdict);
        // Judged by a configuration, which no longer holds once the ledger has a policy.
        Assert.Equal(Verdict.PolicyChanged, (await ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)).Verdict);
    }

    [Fact]
    public async Task A_policy_is_put_once_over_the_one_expected_and_under_a_name_of_its_own()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        Assert.Equal(Verdict.PolicyChanged, (await PutAsync("1", "{}", expected: "0")).Verdict);
        var first = await PutAsync("1", "{}", expected: "");
        Assert.Equal((Verdict.Recorded, 1L), (first.Verdict, first.ControlSeq - (await PutAsync("1", "{}", expected: "0")).ControlSeq + 1));
        // A repetition is answered with the first one's numbers, whatever it expected then.
        var again = await PutAsync("1", "{}", expected: "");
        Assert.Equal((Verdict.Repeated, first.Seq, first.RecordedAt), (again.Verdict, again.Seq, again.RecordedAt));

        Assert.Equal(Verdict.VersionTaken, (await PutAsync("1", "{ }")).Verdict);
        Assert.Equal(Verdict.PolicyChanged, (await PutAsync("2", "{}", expected: "")).Verdict);
        Assert.Equal(Verdict.Recorded, (await PutAsync("2", "{}", expected: "1")).Verdict);
        Assert.Equal(Verdict.VersionTaken, (await PutAsync("1", "{}")).Verdict);     // no longer the latest: to go back, it needs a new name

        // Of many at once that expect the same, one is recorded.
        var racing = await Task.WhenAll(Enumerable.Range(3, 8).Select(i => PutAsync($"{i}", "{}", expected: "2")));
        Assert.Equal((1, 7), (racing.Count(o => o.Verdict == Verdict.Recorded), racing.Count(o => o.Verdict == Verdict.PolicyChanged)));

        Task<ActOutcome> PutAsync(string version, string document, string? expected = null) => ledger.Writer.AppendAsync(new PolicyAct
        {
            Caller = "admin:test",
            Correlation = Correlation.None,
            Version = version,
            Document = System.Text.Encoding.UTF8.GetBytes(document),
            ExpectedVersion = expected,
            Reason = "test",
        }, CancellationToken.None);
    }

    [Fact]
    public async Task A_challenge_is_consumed_once_and_not_by_a_refused_mint()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.ExecuteAsync("INSERT INTO control.challenges VALUES ('c1', 'exchange', 'did:key:zOwner', 'sign me', now(), now() + interval '5 min', NULL)");
        var everything = GroupKey.Of(RevocationKind.Everything, "", "");
        await ledger.Writer.AppendAsync(Acts.Block(everything), CancellationToken.None);
        Assert.Equal(Verdict.Blocked, (await ledger.Writer.AppendAsync(Acts.Mint() with { ChallengeId = "c1" }, CancellationToken.None)).Verdict);
        var lifted = await ledger.Writer.AppendAsync(Acts.Lift(everything), CancellationToken.None);

        var answers = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ =>
            ledger.Writer.AppendAsync(Acts.Mint(issuedAt: lifted.Cut + 1) with { ChallengeId = "c1" }, CancellationToken.None)));
        Assert.Single(answers, a => a.Verdict == Verdict.Recorded);
        Assert.Equal(4, answers.Count(a => a.Verdict == Verdict.ChallengeUnusable));
    }

    [Fact]
    public async Task A_view_of_the_current_control_seq_spares_the_judging_and_an_older_one_does_not()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var mission = GroupKey.Of(RevocationKind.Mission, "", "m");
        await using var reading = LedgerDatabase.ForReading(ledger.Database.Issuer);
        var before = await ControlView.ReadAsync(reading, CancellationToken.None);
        var mint = Acts.Mint(groups: [mission]) with { JudgedAtControlSeq = before.ControlSeq };
        Assert.False(before.IsBlocked(mission));
        Assert.True(before.MaySign(Acts.Kid));
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(mint, CancellationToken.None)).Verdict);

        await ledger.Writer.AppendAsync(Acts.Block(mission), CancellationToken.None);
        Assert.Equal(Verdict.Blocked, (await ledger.Writer.AppendAsync(Acts.Mint(groups: [mission]) with { JudgedAtControlSeq = before.ControlSeq }, CancellationToken.None)).Verdict);
        var after = await ControlView.ReadAsync(reading, CancellationToken.None);
        Assert.True(after.IsBlocked(mission));
        Assert.True(after.ControlSeq > before.ControlSeq);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_mint_that_waits_behind_a_freeze_is_refused_unless_lock_and_judgement_are_one_statement(bool judgeUnderLock)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.Writer.AppendAsync(Acts.Controller(Controller, frozen: false), CancellationToken.None);
        var writer = await ledger.StartWriterAsync(rewrite: judgeUnderLock ? null : BrokenAppend.JudgeInOneStatement);

        // Another Issuer's freeze, written by hand so that it can be held open: event, projection, head, then commit.
        await using var freeze = await ledger.HoldHeadAsync();
        var mint = writer.AppendAsync(Acts.Mint(controller: Controller), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        await freeze.ExecuteAsync("""
            INSERT INTO ledger.events (seq, batch_id, ordinal, kind, recorded_at, subject, payload)
              SELECT seq + 1, gen_random_uuid(), 0, 7, clock_timestamp(), 'did:key:zController', '{"frozen":true}' FROM ledger.head;
            UPDATE control.controllers SET frozen = true;
            UPDATE ledger.head SET seq = seq + 1, control_seq = control_seq + 1;
            """);
        await freeze.CommitAsync();

        var verdict = (await mint).Verdict;
        var violations = await LedgerChecks.FindViolationsAsync(ledger);
        if (judgeUnderLock)
        {
            Assert.Equal(Verdict.ControllerFrozen, verdict);
            Assert.Empty(violations);
        }
        else
        {
            // The negative control: the combined statement keeps the snapshot from before its wait, and the checker sees it.
            Assert.Equal(Verdict.Recorded, verdict);
            Assert.Contains(violations, v => v.StartsWith("minted under a frozen controller", StringComparison.Ordinal));
        }
    }
}
