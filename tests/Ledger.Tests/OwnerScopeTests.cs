using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Tests;

/// <summary>Owners take back what is theirs, within a bound; operators what they like.</summary>
public sealed class OwnerScopeTests
{
    private const string Owner = "did:key:zOwner", Other = "did:key:zOther";

    [Fact]
    public async Task An_owner_revokes_its_own_tokens_and_is_told_nothing_of_others()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var (own, others, unowned) = (await MintAsync(ledger, Owner), await MintAsync(ledger, Other), await MintAsync(ledger, null));
        foreach (var target in (RevokeTokenAct[])[Acts.Revoke(others.TokenHash), Acts.Revoke(jti: others.Claims.Jti), Acts.Revoke(unowned.TokenHash), Acts.Revoke(TokenHash.Of("unknown")), Acts.Revoke(jti: "unknown")])
            Assert.Equal(Verdict.NotIssuedHere, (await ByOwnerAsync(ledger, target)).Verdict);
        await ledger.Writer.AppendAsync(Acts.Revoke(others.TokenHash), CancellationToken.None);
        Assert.Equal(Verdict.NotIssuedHere, (await ByOwnerAsync(ledger, Acts.Revoke(others.TokenHash))).Verdict);

        var first = await ByOwnerAsync(ledger, Acts.Revoke(own.TokenHash));
        var again = await ByOwnerAsync(ledger, Acts.Revoke(jti: own.Claims.Jti));
        Assert.Equal((Verdict.Recorded, Verdict.Repeated, first.Seq), (first.Verdict, again.Verdict, again.Seq));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task What_an_operator_revokes_within_an_owners_scope_is_held_to_that_scope_and_not_counted()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var (own, others) = (await MintAsync(ledger, Owner), await MintAsync(ledger, Other));
        Assert.Equal(Verdict.NotIssuedHere, (await ledger.Writer.AppendAsync(Acts.Revoke(others.TokenHash) with { OwnerScope = Owner }, CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Revoke(own.TokenHash) with { OwnerScope = Owner }, CancellationToken.None)).Verdict);
        Assert.Equal(0, await ledger.ScalarAsync<long>("SELECT count(charged_to) FROM ledger.revoked_tokens"));
    }

    [Fact]
    public async Task An_owners_live_rows_are_bounded_also_within_one_batch_and_operators_are_not()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var tokens = new List<MintAct>();
        for (int i = 0; i < 8; i++) tokens.Add(await MintAsync(ledger, Owner));
        await using var held = await ledger.HoldHeadAsync();
        var running = ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None);
        await ledger.WaitForWaitersAsync(1);
        var acts = tokens.Select(t => ByOwnerAsync(ledger, Acts.Revoke(t.TokenHash), most: 5)).ToList();
        await held.CommitAsync();
        await running;
        Assert.Equal((5, 3), ((await Task.WhenAll(acts)).Count(a => a.Verdict == Verdict.Recorded), (await Task.WhenAll(acts)).Count(a => a.Verdict == Verdict.OwnerLimitReached)));

        var blocked = Acts.Block(Scoped("m1")) with { OwnerDid = Owner, OwnerRows = 5 };
        Assert.Equal(Verdict.OwnerLimitReached, (await ledger.Writer.AppendAsync(blocked, CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(blocked with { OwnerRows = 6 }, CancellationToken.None)).Verdict);
        Assert.Equal(Verdict.Repeated, (await ByOwnerAsync(ledger, Acts.Revoke(tokens[0].TokenHash), most: 5)).Verdict);
        Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Block(Scoped("m2")) with { OwnerDid = Other, OwnerRows = 1 }, CancellationToken.None)).Verdict);
        foreach (var token in tokens.Skip(5))
            Assert.Equal(Verdict.Recorded, (await ledger.Writer.AppendAsync(Acts.Revoke(token.TokenHash), CancellationToken.None)).Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task An_owner_lifts_what_it_blocked_and_not_what_an_operator_did()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        async Task<Verdict> BlockAsync(bool byOwner) => (await ledger.Writer.AppendAsync(
            Acts.Block(Scoped("m")) with { OwnerDid = Owner, OwnerRows = byOwner ? 10 : null }, CancellationToken.None)).Verdict;
        async Task<Verdict> LiftAsync(bool byOwner) => (await ledger.Writer.AppendAsync(
            Acts.Lift(Scoped("m")) with { OwnerDid = Owner, IsOwners = byOwner }, CancellationToken.None)).Verdict;

        Assert.Equal(Verdict.NotBlocked, await LiftAsync(byOwner: true));
        Assert.Equal((Verdict.Recorded, Verdict.Recorded, Verdict.Repeated), (await BlockAsync(byOwner: true), await LiftAsync(byOwner: true), await LiftAsync(byOwner: true)));
        Assert.Equal((Verdict.Recorded, Verdict.OperatorsBlock, Verdict.Recorded), (await BlockAsync(byOwner: false), await LiftAsync(byOwner: true), await LiftAsync(byOwner: false)));
        Assert.Equal((Verdict.Recorded, Verdict.Recorded), (await BlockAsync(byOwner: true), await LiftAsync(byOwner: false)));
    }

    [Fact]
    public async Task An_owners_list_has_its_tokens_its_groups_and_the_block_of_itself()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var (own, others) = (await MintAsync(ledger, Owner), await MintAsync(ledger, Other));
        Act[] concerning =
        [
            Acts.Revoke(own.TokenHash) with { Caller = "admin:ops" },
            Acts.Block(Scoped("m")) with { OwnerDid = Owner, Caller = "did:key:zAgent" },
            Acts.Block(GroupKey.Of(RevocationKind.Owner, "", Owner)) with { OwnerDid = Owner },
        ];
        Act[] notConcerning = [Acts.Revoke(others.TokenHash), Acts.Revoke(TokenHash.Of("unknown")), Acts.Block(GroupKey.Of(RevocationKind.Mission, "", "m"))];
        foreach (var act in concerning.Concat(notConcerning)) await ledger.Writer.AppendAsync(act, CancellationToken.None);

        await using var reading = LedgerDatabase.ForReading(ledger.Database.Introspector);
        var rows = await new LedgerReader(reading).ListRevocationsAsync(
            new RevocationFilter { PageSize = 10, OldestFirst = true, Through = new RevocationSeq(6), OwnerDid = Owner }, CancellationToken.None);
        Assert.Equal([(1L, "admin:ops"), (2L, "did:key:zAgent"), (3L, "admin:test")], rows.Select(r => (r.Row.RevocationSeq.Value, r.RevokedBy)));
    }

    [Fact]
    public async Task A_hash_nobody_issued_is_kept_for_the_longest_life_a_token_ever_could_have_and_a_day()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var reading = LedgerDatabase.ForReading(ledger.Database.Issuer);
        var reader = new LedgerReader(reading);
        const string days = "SELECT round(extract(epoch FROM expires_at - revoked_at) / 86400)::int FROM ledger.revoked_tokens ORDER BY seq DESC LIMIT 1";

        await ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("a")), CancellationToken.None);
        Assert.Equal(30, await ledger.ScalarAsync<int>(days));                  // what its revoker said
        await reader.RaiseLongestTtlAsync(90 * 86400, CancellationToken.None);
        await reader.RaiseLongestTtlAsync(3600, CancellationToken.None);        // a shorter policy afterwards changes nothing
        await ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("b")), CancellationToken.None);
        Assert.Equal(91, await ledger.ScalarAsync<int>(days));

        var longLived = Acts.Mint();
        longLived = longLived with { Claims = longLived.Claims with { ExpiresAt = longLived.Claims.IssuedAt + 200 * 86400 } };
        await ledger.Writer.AppendAsync(longLived, CancellationToken.None);
        await ledger.Writer.AppendAsync(Acts.Revoke(TokenHash.Of("c")), CancellationToken.None);
        Assert.Equal(201, await ledger.ScalarAsync<int>(days));
    }

    private static GroupKey Scoped(string mission) => GroupKey.Of(RevocationKind.Mission, Owner, mission);

    private static Task<ActOutcome> ByOwnerAsync(LedgerFixture ledger, RevokeTokenAct act, int most = 100) =>
        ledger.Writer.AppendAsync(act with { OwnerScope = Owner, OwnerRows = most }, CancellationToken.None);

    private static async Task<MintAct> MintAsync(LedgerFixture ledger, string? owner)
    {
        var mint = Acts.Mint();
        mint = mint with { Claims = mint.Claims with { OwnerDid = owner is null ? null : Did.Parse(owner) } };
        await ledger.Writer.AppendAsync(mint, CancellationToken.None);
        return mint;
    }
}
