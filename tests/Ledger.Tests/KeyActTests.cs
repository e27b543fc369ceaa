using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

/// <summary>Keys are stated in one event, while the states it was worked out from still stand.</summary>
public sealed class KeyActTests
{
    private static readonly KeyId Other = KeyId.Parse("9f5ef94aaeb7425d");

    [Fact]
    public async Task A_change_that_rests_on_older_states_is_refused_and_writes_nothing()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var seen = await SeqAsync(ledger);
        Assert.Equal(Verdict.Recorded, (await StateAsync(ledger, new() { JudgedAtKeysSeq = seen }, Key(Other, KeyState.Next))).Verdict);
        Assert.Equal(Verdict.KeysMoved, (await StateAsync(ledger, new() { JudgedAtKeysSeq = seen }, Key(Acts.Kid, KeyState.VerifyOnly))).Verdict);
        Assert.Equal(1L, await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.keys WHERE state = 1"));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task Of_many_replicas_that_find_the_same_change_due_one_makes_it()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var another = await ledger.StartWriterAsync();
        var seen = await SeqAsync(ledger);
        var verdicts = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i => (await (i % 2 == 0 ? ledger.Writer : another).AppendAsync(
            Act(new() { JudgedAtKeysSeq = seen }, Key(Acts.Kid, KeyState.VerifyOnly), Key(Other, KeyState.Active)), CancellationToken.None)).Verdict));
        Assert.Equal(1, verdicts.Count(verdict => verdict == Verdict.Recorded));
        Assert.All(verdicts, verdict => Assert.True(verdict is Verdict.Recorded or Verdict.KeysMoved));
        Assert.Equal(2L, await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 5"));
        Assert.Equal(Other.ToString(), await ledger.ScalarAsync<string>("SELECT kid FROM ledger.keys WHERE state = 1"));
    }

    [Fact]
    public async Task A_cut_off_before_the_end_of_a_token_there_is_is_refused()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var mint = Acts.Mint();
        await ledger.Writer.AppendAsync(mint, CancellationToken.None);
        long exp = mint.Claims.ExpiresAt;
        KeyEntry[] replaced = [Key(Acts.Kid, KeyState.VerifyOnly) with { NotAfter = exp - 1 }, Key(Other, KeyState.Active)];
        Assert.Equal(Verdict.KeysMoved, (await StateAsync(ledger, new() { LongestExp = exp - 1 }, replaced)).Verdict);
        Assert.Equal(Verdict.Recorded, (await StateAsync(ledger, new() { LongestExp = exp }, replaced)).Verdict);
    }

    [Fact]
    public async Task A_mint_of_the_same_batch_is_judged_by_the_keys_as_they_stand_after_it()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var head = await ledger.HoldHeadAsync();
        var first = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var mint = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        var rotated = ledger.Writer.AppendAsync(Act(new(), Key(Acts.Kid, KeyState.VerifyOnly), Key(Other, KeyState.Active)), CancellationToken.None);
        await head.CommitAsync();
        Assert.Equal((Verdict.Recorded, Verdict.Recorded, Verdict.KeyMayNotSign), ((await first).Verdict, (await rotated).Verdict, (await mint).Verdict));
    }

    [Fact]
    public async Task A_revoked_key_is_retired_and_its_tokens_blocked_by_one_event()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var revoked = await StateAsync(ledger, new() { Revoked = Acts.Kid, Reason = "leaked" }, Key(Acts.Kid, KeyState.Retired) with { IsRevoked = true });
        Assert.Equal((Verdict.Recorded, 1L), (revoked.Verdict, revoked.RevocationSeq.Value));
        Assert.Equal(revoked.Seq.Value, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.revocations WHERE kind = 9 AND effect = 1 AND reason = 'leaked'"));
        var group = GroupKey.Of(RevocationKind.KeyId, "", Acts.Kid.ToString());
        Assert.Equal(Convert.ToHexStringLower(group.Hash), await ledger.ScalarAsync<string>("SELECT encode(group_key, 'hex') FROM ledger.blocked_groups WHERE blocked"));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));

        // Blocked before by hand: no second row in the feed.
        await ledger.Writer.AppendAsync(Acts.Block(GroupKey.Of(RevocationKind.KeyId, "", Other.ToString())), CancellationToken.None);
        var second = await StateAsync(ledger, new() { Revoked = Other }, Key(Other, KeyState.Retired) with { IsRevoked = true });
        Assert.Equal((Verdict.Recorded, 2L, 2L), (second.Verdict, second.RevocationSeq.Value, await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.revocations")));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_retired_key_never_comes_back()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await StateAsync(ledger, new(), Key(Acts.Kid, KeyState.Retired));
        foreach (var state in (KeyState[])[KeyState.Next, KeyState.Active, KeyState.VerifyOnly])
            Assert.Equal(Verdict.KeysMoved, (await StateAsync(ledger, new(), Key(Acts.Kid, state))).Verdict);
        Assert.Equal(Verdict.Repeated, (await StateAsync(ledger, new(), Key(Acts.Kid, KeyState.Retired))).Verdict);
    }

    private sealed record Terms
    {
        public Seq? JudgedAtKeysSeq { get; init; }
        public long? LongestExp { get; init; }
        public KeyId? Revoked { get; init; }
        public string? Reason { get; init; }
    }

    private static KeyEntry Key(KeyId keyId, KeyState state) => new() { KeyId = keyId, PublicKey = new byte[32], State = state };

    private static KeyAct Act(Terms terms, params KeyEntry[] keys) => new()
    {
        Caller = "service:issuer",
        Correlation = Correlation.None,
        Keys = keys,
        JudgedAtKeysSeq = terms.JudgedAtKeysSeq,
        LongestExp = terms.LongestExp,
        Revoked = terms.Revoked,
        Reason = terms.Reason,
    };

    private static Task<ActOutcome> StateAsync(LedgerFixture ledger, Terms terms, params KeyEntry[] keys) => ledger.Writer.AppendAsync(Act(terms, keys), CancellationToken.None);

    private static async Task<Seq> SeqAsync(LedgerFixture ledger) => new(await ledger.ScalarAsync<long>("SELECT max(seq) FROM ledger.keys"));
}
