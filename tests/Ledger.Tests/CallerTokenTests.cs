using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

/// <summary>What a caller's own token may do once it is taken back: nothing, whatever was judged before (DESIGN "Callers").</summary>
public sealed class CallerTokenTests
{
    public static TheoryData<string> WaysToTakeBack => ["hash", "jti", "subject", "lifted", "key"];

    [Theory]
    [MemberData(nameof(WaysToTakeBack))]
    public async Task No_act_is_recorded_for_a_caller_whose_token_was_taken_back(string how)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var caller = Acts.Mint(subject: "did:key:zCaller");
        await ledger.Writer.AppendAsync(caller, CancellationToken.None);
        var token = Acts.Token(caller);
        Act[] ActsOf() =>
        [
            Acts.Mint() with { CallerToken = token },
            Acts.Revoke(TokenHash.Of($"{Guid.NewGuid()}")) with { CallerToken = token },
            Acts.Block(GroupKey.Of(RevocationKind.Mission, "", $"{Guid.NewGuid()}")) with { CallerToken = token },
            Acts.Lift(GroupKey.Of(RevocationKind.Mission, "", $"{Guid.NewGuid()}")) with { CallerToken = token },
            Acts.Controller($"did:key:z{Guid.NewGuid():N}", frozen: true) with { CallerToken = token },
            new PolicyAct { Caller = "x", Correlation = Correlation.None, Version = $"{Guid.NewGuid()}", Document = "{}"u8.ToArray(), CallerToken = token },
        ];
        foreach (var act in ActsOf())
            Assert.Contains((await ledger.Writer.AppendAsync(act, CancellationToken.None)).Verdict, new[] { Verdict.Recorded, Verdict.NotBlocked });

        await TakeBackAsync(ledger, how, caller);
        long seq = await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head");
        foreach (var act in ActsOf())
            Assert.Equal(Reason.TokenRevoked, (await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(act, CancellationToken.None))).Reason);
        Assert.Equal(seq, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_revoked_caller_is_not_handed_its_earlier_token_again()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var caller = Acts.Mint();
        await ledger.Writer.AppendAsync(caller, CancellationToken.None);
        MintAct Request() => Acts.Mint(idempotencyKey: "k1") with { CallerToken = Acts.Token(caller) };
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Request(), CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Repeated, (await ledger.Writer.AppendAsync(Request(), CancellationToken.None)).Verdict);

        await ledger.Writer.AppendAsync(Acts.Revoke(caller.TokenHash), CancellationToken.None);
        Assert.Equal(Reason.TokenRevoked, (await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Request(), CancellationToken.None))).Reason);
    }

    [Fact]
    public async Task A_token_of_a_key_that_never_signed_here_acts_as_little_as_a_revoked_one()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var foreign = KeyId.Parse("0c1b8946b8068fe3");
        await ledger.Writer.AppendAsync(Acts.Key(KeyState.VerifyOnly, foreign, foreign: true), CancellationToken.None);
        var token = Acts.Token(Acts.Mint()) with { KeyId = foreign };
        Assert.Equal(Reason.TokenRevoked, (await Assert.ThrowsAsync<Refusal>(() => ledger.Writer.AppendAsync(Acts.Mint() with { CallerToken = token }, CancellationToken.None))).Reason);
    }

    /// <summary>Everything gathers behind a held head: the caller's acts, those of others, and the revocation of the caller's token in their middle.</summary>
    [Theory]
    [InlineData("hash")]
    [InlineData("subject")]
    public async Task Acts_queued_before_the_callers_revocation_stand_later_ones_do_not_and_others_never_notice(string how)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var caller = Acts.Mint(subject: "did:key:zCaller");
        await ledger.Writer.AppendAsync(caller, CancellationToken.None);
        Task<ActOutcome> Revoke(string what) => ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of(what)) with { CallerToken = Acts.Token(caller) }, CancellationToken.None);
        Task<ActOutcome> Other(string what) => ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of(what)), CancellationToken.None);

        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var before = Enumerable.Range(0, 20).Select(i => Revoke($"before {i}")).ToList();
        var others = Enumerable.Range(0, 10).Select(i => Other($"other {i}")).ToList();
        var takingBack = TakeBackAsync(ledger, how, caller);
        var after = Enumerable.Range(0, 20).Select(i => Revoke($"after {i}")).ToList();
        others.AddRange(Enumerable.Range(10, 10).Select(i => Other($"other {i}")));
        await held.CommitAsync();
        await running;
        await takingBack;

        Assert.All(await Task.WhenAll(before), a => Assert.Equal(Verdict.Recorded, a.Verdict));
        Assert.All(await Task.WhenAll(others), a => Assert.Equal(Verdict.Recorded, a.Verdict));
        foreach (var act in after) Assert.Equal(Reason.TokenRevoked, (await Assert.ThrowsAsync<Refusal>(() => act)).Reason);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task Acts_of_one_caller_share_a_commit()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var caller = Acts.Mint();
        await ledger.Writer.AppendAsync(caller, CancellationToken.None);
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        long before = ledger.Writer.Commits;
        var acts = Enumerable.Range(0, 200).Select(i => ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of($"{i}")) with { CallerToken = Acts.Token(caller) }, CancellationToken.None)).ToList();
        await held.CommitAsync();
        await Task.WhenAll(acts.Append(running));
        Assert.Equal(before + 2, ledger.Writer.Commits);
    }

    [Fact]
    public async Task Holders_of_tokens_never_fill_the_queue_of_operators()
    {
        await using var ledger = await LedgerFixture.StartAsync(new LedgerOptions { ReservedQueue = 8 });
        var caller = Acts.Mint();
        await ledger.Writer.AppendAsync(caller, CancellationToken.None);
        Task<ActOutcome> Revoke(int i, ActingToken? token) => ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of($"{i}")) with { CallerToken = token }, CancellationToken.None);
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var queued = Enumerable.Range(0, 6).Select(i => Revoke(i, Acts.Token(caller))).ToList();
        Assert.Equal(Reason.LedgerOverloaded, (await Assert.ThrowsAsync<Refusal>(() => Revoke(6, Acts.Token(caller)))).Reason);
        queued.AddRange(Enumerable.Range(7, 2).Select(i => Revoke(i, null)));
        await held.CommitAsync();
        await running;
        Assert.All(await Task.WhenAll(queued), a => Assert.Equal(Verdict.Recorded, a.Verdict));
    }

    [Fact]
    public async Task Who_acted_stands_in_the_event_with_the_hash_of_his_token()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var caller = Acts.Mint();
        await ledger.Writer.AppendAsync(caller, CancellationToken.None);
        var outcome = await ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("x")) with { Caller = "did:key:zAgent", CallerToken = Acts.Token(caller) }, CancellationToken.None);
        Assert.Equal($"did:key:zAgent {caller.TokenHash}", await ledger.ScalarAsync<string>(
            $"SELECT concat_ws(' ', p->>'by', p->>'by_token') FROM (SELECT convert_from(payload, 'UTF8')::jsonb AS p FROM ledger.events WHERE seq = {outcome.Seq}) e"));
    }

    private static async Task TakeBackAsync(LedgerFixture ledger, string how, MintAct caller)
    {
        var subject = GroupKey.Of(RevocationKind.Subject, "", caller.Claims.Sub);
        Act act = how switch
        {
            "hash" => Acts.Revoke(caller.TokenHash),
            "jti" => Acts.Revoke(jti: caller.Claims.Jti),
            "key" => Acts.Key(KeyState.Retired),
            _ => Acts.Block(subject),
        };
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(act, CancellationToken.None)).Verdict);
        if (how == "lifted") Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Lift(subject), CancellationToken.None)).Verdict);
    }
}
