using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Tests;

/// <summary>What is decided from memory, when somebody is asked, and when nobody may say yes (L3).</summary>
public sealed class VerifyTests
{
    [Fact]
    public async Task A_good_token_is_found_good_from_memory_and_nobody_is_asked()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        for (int i = 0; i < 1000; i++)
        {
            Assert.True(client.Verifier.TryVerify(token.Compact, TokenRequirements.None, out var verification));
            Assert.True(verification.IsValid);
            Assert.Equal((token.TokenHash, "did:key:zAgent", client.Key.KeyId), (verification.TokenHash, verification.Claims.Sub, verification.KeyId));
            Assert.Equal(VerificationSource.Offline, verification.Confidence.Source);
        }
        Assert.True((await client.VerifyAsync(token.Compact)).IsValid);
        Assert.Equal((0, 0), (client.Asked, client.Introspection.Calls));
    }

    [Fact]
    public async Task A_token_that_was_verified_before_costs_no_allocation()
    {
        await using var client = await ClientFixture.StartAsync();
        client.Feed.SetGroup(GroupKey.Of(RevocationKind.Mission, "", "another mission"), blocked: true);
        await client.AppliedAsync(1);
        var token = client.Sign().Compact;
        var requirements = new TokenRequirements { AudienceAny = ["clawproxy.example"], ScopeAll = ["clawproxy:call"] };
        for (int i = 0; i < 1000; i++) Assert.True(client.Verifier.TryVerify(token, requirements, out _));     // and compiled for good

        long least = long.MaxValue;
        for (int round = 0; round < 20 && least > 0; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++) client.Verifier.TryVerify(token, requirements, out _);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);
    }

    [Fact]
    public async Task A_revoked_token_and_one_of_a_blocked_group_are_dead_as_soon_as_the_feed_says_so()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        Assert.True((await client.VerifyAsync(token.Compact)).IsValid);
        var revoked = client.Feed.RevokeToken(token.TokenHash);
        await client.AppliedAsync(1);
        var verification = await client.VerifyAsync(token.Compact);
        Assert.Equal((Reason.TokenRevoked, true, revoked.RevokedAt.ToDateTimeOffset()), (verification.Reason, verification.IsRevoked, verification.RevokedAt));
        Assert.Equal(Reason.TokenRevoked, Assert.Throws<Refusal>(() => verification.Require()).Reason);

        var other = client.Sign();
        foreach (var group in new[]
        {
            GroupKey.Of(RevocationKind.Mission, "did:key:zOwner", "agent:main"), GroupKey.Of(RevocationKind.KeyId, "", client.Key.KeyId.ToString()),
            GroupKey.Of(RevocationKind.Everything, "", ""), GroupKey.Of(RevocationKind.Subject, "", "did:key:zAgent"),
        })
        {
            client.Feed.SetGroup(group, blocked: true);
            await client.AppliedAsync(client.Feed.Head);
            Assert.Equal((Reason.TokenRevoked, group.Kind), ((await client.VerifyAsync(other.Compact)).Reason, (await client.VerifyAsync(other.Compact)).RevokedByGroup));
            client.Feed.SetGroup(group, blocked: false, cut: other.Claims.IssuedAt - 1);
            await client.AppliedAsync(client.Feed.Head);
            Assert.True((await client.VerifyAsync(other.Compact)).IsValid);
        }
        client.Feed.SetGroup(GroupKey.Of(RevocationKind.Everything, "", ""), blocked: false, cut: other.Claims.IssuedAt);
        await client.AppliedAsync(client.Feed.Head);
        Assert.True((await client.VerifyAsync(other.Compact)).IsRevoked);
        Assert.Equal(0, client.Asked);
    }

    [Fact]
    public async Task What_is_asked_of_a_token_must_be_in_it()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign(claims => claims with { Audience = Audience.Of(["a", "b"]), Scope = ["x:read", "y:*", "control:token:revoke"] }).Compact;
        var legacy = client.Sign(claims => claims with { Lane = TokenLane.Legacy }).Compact;
        (string What, string Token, TokenRequirements Asked, Reason Answer, string? Field)[] cases =
        [
            ("nothing", token, TokenRequirements.None, Reason.Unspecified, null),
            ("all audiences", token, new() { AudienceAll = ["a", "b"] }, Reason.Unspecified, null),
            ("one audience too many", token, new() { AudienceAll = ["a", "c"] }, Reason.TokenBadAudience, "audience_all"),
            ("any audience", token, new() { AudienceAny = ["c", "b"] }, Reason.Unspecified, null),
            ("no audience", token, new() { AudienceAny = ["c", "d"] }, Reason.TokenBadAudience, "audience_any"),
            ("all scopes", token, new() { ScopeAll = ["x:read", "y:anything"] }, Reason.Unspecified, null),
            ("one scope too many", token, new() { ScopeAll = ["x:read", "x:write"] }, Reason.TokenInsufficientScope, "scope_all"),
            ("any scope", token, new() { ScopeAny = ["z", "x:read"] }, Reason.Unspecified, null),
            ("no scope", token, new() { ScopeAny = ["z", "X:READ"] }, Reason.TokenInsufficientScope, "scope_any"),
            ("a transition", token, new() { Transitions = ["token.revoke"] }, Reason.Unspecified, null),
            ("a transition without its scope", token, new() { Transitions = ["key.rotate"] }, Reason.TokenControlTransitionForbidden, "transitions"),
            ("a transition in the legacy lane", legacy, new() { Transitions = ["token.revoke"] }, Reason.TokenControlTransitionForbidden, "transitions"),
        ];
        foreach (var (what, one, asked, answer, field) in cases)
        {
            var verification = await client.VerifyAsync(one, asked);
            Assert.Equal((what, answer, field, answer == Reason.Unspecified), (what, verification.Reason, verification.Field, verification.IsValid));
        }
        Assert.Equal(Reason.TransitionUnknown, Assert.Throws<Refusal>(() => new TokenRequirements { Transitions = ["toString"] }).Reason);
    }

    [Fact]
    public async Task A_token_of_a_foreign_key_is_good_only_for_whoever_says_so()
    {
        await using var client = await ClientFixture.StartAsync();
        using var foreign = TestKeys.KeyOf(77);
        client.Source.Keys = new([new VerificationKey(foreign.PublicKey, KeyState.VerifyOnly, isForeign: true)]);
        await client.Keys.RefreshAsync(CancellationToken.None);
        var token = client.Sign(key: foreign).Compact;
        Assert.Equal(Reason.TokenForeign, (await client.VerifyAsync(token)).Reason);
        Assert.True((await client.VerifyAsync(token, new() { AllowForeign = true })).IsForeign);
    }

    [Fact]
    public async Task While_the_lease_lasts_nobody_is_needed_and_after_it_nobody_is_believed_but_the_Introspector()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign().Compact;
        client.Introspection.Answer = _ => throw new Refusal(Reason.NotReady);
        client.Feed.AnswersRenewals = false;
        client.Feed.Down = new Refusal(Reason.LedgerUnavailable);
        client.Feed.Cut();
        await Eventually(() => !client.Follower.IsConnected);

        var left = client.Follower.LeaseLeft;
        client.Clock.Advance(left - TimeSpan.FromMilliseconds(1));
        Assert.True((await client.VerifyAsync(token)).IsValid);
        Assert.Equal(0, client.Asked);

        client.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.False(client.Verifier.TryVerify(token, TokenRequirements.None, out _));
        Assert.Equal(Reason.NotReady, (await Assert.ThrowsAsync<Refusal>(async () => await client.VerifyAsync(token))).Reason);

        client.Introspection.Answer = request => FakeIntrospection.Active(request.Token, client.Key.KeyId);
        var verification = await client.VerifyAsync(token, new() { AudienceAll = ["clawproxy.example"] });
        Assert.Equal((true, VerificationSource.Introspection), (verification.IsValid, verification.Confidence.Source));
        Assert.Equal(Reason.TokenBadAudience, (await client.VerifyAsync(token, new() { AudienceAll = ["another"] })).Reason);
    }

    [Fact]
    public async Task A_process_that_was_paused_takes_nothing_it_knows_for_fresh()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign().Compact;
        client.Feed.Hold();             // its answers are somewhere on the way
        client.Clock.Advance(TimeSpan.FromSeconds(5));
        Assert.False(client.Verifier.TryVerify(token, TokenRequirements.None, out _));
    }

    [Fact]
    public async Task Answers_that_waited_in_a_buffer_count_from_when_they_were_asked_for()
    {
        await using var client = await ClientFixture.StartAsync(options: new ClientOptions { MaxStaleness = TimeSpan.FromSeconds(1) });
        var token = client.Sign();
        await client.AppliedAsync(0);
        client.Feed.Hold();
        int renewals = client.Feed.Renewals.Count;
        var waiting = client.Follower.CatchUpAsync(CancellationToken.None);
        await Eventually(() => client.Feed.Renewals.Count > renewals);
        long asked = client.Feed.Renewals.Last();
        client.Feed.AnswersRenewals = false;        // this one's answer is in the buffer; no other comes
        client.Clock.Advance(TimeSpan.FromSeconds(2));

        client.Feed.Release();
        Assert.Equal(asked, (await waiting).T0);
        Assert.False(client.Verifier.TryVerify(token.Compact, TokenRequirements.None, out var verification));
        Assert.True(verification.Confidence.RevocationAge >= TimeSpan.FromSeconds(2));
    }

    [Fact]
    public async Task A_wall_clock_that_is_set_back_brings_no_token_to_life_and_makes_no_lease_longer()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign(claims => claims with { ExpiresAt = claims.IssuedAt + 1 }).Compact;
        client.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Reason.TokenExpired, (await client.VerifyAsync(token)).Reason);
        client.Clock.StepWallClock(TimeSpan.FromHours(-1));
        Assert.Equal(Reason.TokenExpired, (await client.VerifyAsync(token)).Reason);

        var good = client.Sign().Compact;
        client.Feed.Hold();
        client.Clock.Advance(TimeSpan.FromSeconds(3));
        client.Clock.StepWallClock(TimeSpan.FromHours(-1));
        Assert.False(client.Verifier.TryVerify(good, TokenRequirements.None, out _));
        // And goes on from where it was, at its own pace.
        Assert.Equal(client.Sign().Claims.IssuedAt, client.Sign().Claims.IssuedAt);
    }

    [Fact]
    public async Task Linearizable_means_that_what_was_revoked_before_the_call_is_seen()
    {
        await using var client = await ClientFixture.StartAsync();
        for (int i = 0; i < 50; i++)
        {
            var token = client.Sign();
            Assert.True((await client.VerifyAsync(token.Compact, freshness: Freshness.Linearizable)).IsValid);
            client.Feed.RevokeToken(token.TokenHash);
            Assert.True((await client.VerifyAsync(token.Compact, freshness: Freshness.Linearizable)).IsRevoked);
        }
        Assert.Equal(0, client.Asked);
        Assert.True(client.Feed.Renewals.Count >= 100, "each of them had it confirmed");
    }

    [Fact]
    public async Task Without_a_stream_linearizable_is_the_Introspectors_to_answer()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign().Compact;
        client.Feed.Down = new Refusal(Reason.NotReady);
        client.Feed.Cut();
        await Eventually(() => !client.Follower.IsConnected);
        Assert.Equal(Reason.NotReady, (await Assert.ThrowsAsync<Refusal>(async () => await client.VerifyAsync(token, freshness: Freshness.Linearizable))).Reason);
        client.Introspection.Answer = request =>
        {
            Assert.Null(request.Consistency);           // linearizable
            return FakeIntrospection.Active(request.Token, client.Key.KeyId);
        };
        Assert.Equal(VerificationSource.Introspection, (await client.VerifyAsync(token, freshness: Freshness.Linearizable)).Confidence.Source);
    }

    [Fact]
    public async Task A_revision_is_waited_for_and_a_bound_is_kept()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        client.Feed.RevokeToken(token.TokenHash);
        var revision = new Revision(Guid.Parse(client.Feed.Epoch), new Seq(2), new RevocationSeq(1));
        Assert.True((await client.VerifyAsync(token.Compact, freshness: Freshness.AtLeast(revision))).IsRevoked);

        var good = client.Sign().Compact;
        client.Introspection.Answer = _ => throw new Refusal(Reason.RevisionNotReached);
        var future = Freshness.AtLeast(revision with { RevocationSeq = new RevocationSeq(99) });
        Assert.Equal(Reason.RevisionNotReached, (await Assert.ThrowsAsync<Refusal>(async () => await client.VerifyAsync(good, freshness: future))).Reason);

        client.Clock.Advance(TimeSpan.FromMilliseconds(200));
        var verification = await client.VerifyAsync(good, freshness: Freshness.Within(TimeSpan.FromMilliseconds(100)));
        Assert.True(verification.IsValid && verification.Confidence.RevocationAge <= TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task An_Introspector_that_hangs_is_a_refusal_within_the_callers_deadline()
    {
        await using var client = await ClientFixture.StartAsync();
        client.Feed.Down = new Refusal(Reason.NotReady);
        client.Feed.Cut();
        await Eventually(() => !client.Follower.IsConnected);
        client.Clock.Advance(TimeSpan.FromSeconds(3));
        client.Introspection.Answer = null;
        using var deadline = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            await client.Verifier.VerifyAsync(client.Sign().Compact, TokenRequirements.None, Freshness.Default, deadline.Token));
    }

    [Fact]
    public async Task What_the_Introspector_says_is_believed_only_about_the_token_that_was_asked_about()
    {
        await using var client = await ClientFixture.StartAsync(feed => feed.Down = new Refusal(Reason.NotReady), waits: false);
        await client.Keys.Loaded;
        var token = client.Sign().Compact;
        client.Introspection.Answer = _ => FakeIntrospection.Active("another", client.Key.KeyId);
        Assert.Equal(Reason.Internal, (await Assert.ThrowsAsync<Refusal>(async () => await client.VerifyAsync(token))).Reason);
        client.Introspection.Answer = _ => new() { Active = true, TokenHash = TokenHash.Of(token).ToString(), Kid = client.Key.KeyId.ToString() };
        Assert.Equal(Reason.Internal, (await Assert.ThrowsAsync<Refusal>(async () => await client.VerifyAsync(token))).Reason);     // no age
    }

    [Fact]
    public async Task A_batch_is_decided_from_one_state_and_is_as_certain_as_its_least_certain()
    {
        await using var client = await ClientFixture.StartAsync();
        var tokens = Enumerable.Range(0, 20).Select(_ => client.Sign()).ToList();
        client.Feed.RevokeToken(tokens[7].TokenHash);
        var batch = await client.Verifier.VerifyBatchAsync([.. tokens.Select(t => t.Compact), "no token"], TokenRequirements.None, Freshness.Linearizable, CancellationToken.None);
        Assert.Equal(
            [.. Enumerable.Range(0, 20).Select(i => i == 7 ? Reason.TokenRevoked : Reason.Unspecified), Reason.TokenMalformed],
            batch.Verifications.Select(v => v.Reason));
        Assert.Equal((VerificationSource.Offline, 0), (batch.Confidence.Source, client.Asked));
        Assert.True(client.Feed.Renewals.Count < 20, "one echo serves them all");

        var none = await client.Verifier.VerifyBatchAsync([], TokenRequirements.None, Freshness.Default, CancellationToken.None);
        Assert.Empty(none.Verifications);
        Assert.Equal((VerificationSource.Offline, true), (none.Confidence.Source, none.Confidence.LeaseLeft > TimeSpan.Zero));
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(1000, 1)]
    [InlineData(2500, 3)]
    public async Task A_batch_that_cannot_be_decided_here_is_asked_about_in_as_few_calls_as_there_are_thousands(int count, int calls)
    {
        await using var client = await ClientFixture.StartAsync();
        await LoseLeaseAsync(client);
        var tokens = Enumerable.Range(0, count).Select(_ => client.Sign()).ToList();
        client.Introspection.Answer = request =>
        {
            var answer = FakeIntrospection.Active(request.Token, client.Key.KeyId);
            if (request.Token == tokens[1].Compact) (answer.Active, answer.Revoked) = (false, true);
            return answer;
        };
        var batch = await client.Verifier.VerifyBatchAsync(
            [.. tokens.Select(token => token.Compact), "no token"], new() { AudienceAll = ["clawproxy.example"] }, Freshness.Linearizable, CancellationToken.None);

        Assert.Equal(tokens.Select(token => token.TokenHash), batch.Verifications.Take(count).Select(v => v.TokenHash));
        Assert.Equal(
            [.. Enumerable.Range(0, count).Select(i => i == 1 ? Reason.TokenRevoked : Reason.Unspecified), Reason.TokenMalformed],
            batch.Verifications.Select(v => v.Reason));
        Assert.Equal((VerificationSource.Introspection, TimeSpan.Zero), (batch.Confidence.Source, batch.Confidence.LeaseLeft));
        Assert.True(batch.Confidence.RevocationAge >= TimeSpan.FromMilliseconds(1));
        Assert.Equal((calls, calls, (long)calls), (client.Introspection.Calls, client.Introspection.Batches.Count, client.Asked));
        Assert.Equal(count, client.Introspection.Batches.Sum());
    }

    [Fact]
    public async Task Tokens_that_are_large_are_asked_about_in_messages_that_may_be_sent()
    {
        await using var client = await ClientFixture.StartAsync();
        await LoseLeaseAsync(client);
        client.Introspection.Answer = request => FakeIntrospection.Active(request.Token, client.Key.KeyId);
        var tokens = Enumerable.Range(0, 200).Select(_ => client.Sign(claims => claims with { MissionId = new string('m', 6000) }).Compact).ToList();
        var batch = await client.Verifier.VerifyBatchAsync(tokens, TokenRequirements.None, Freshness.Default, CancellationToken.None);
        Assert.All(batch.Verifications, verification => Assert.True(verification.IsValid));
        Assert.InRange(client.Introspection.Batches.Max() * (long)tokens[0].Length, 1, 768 * 1024);
    }

    [Fact]
    public async Task A_batch_about_which_the_Introspector_says_nothing_is_no_answer_about_any_of_it()
    {
        await using var client = await ClientFixture.StartAsync();
        await LoseLeaseAsync(client);
        client.Introspection.Answer = _ => throw new Refusal(Reason.NotReady);
        var refusal = await Assert.ThrowsAsync<Refusal>(() => client.Verifier.VerifyBatchAsync(
            [client.Sign().Compact, client.Sign().Compact], TokenRequirements.None, Freshness.Default, CancellationToken.None));
        Assert.Equal(Reason.NotReady, refusal.Reason);
    }

    [Fact]
    public void What_is_told_for_all_holds_for_each()
    {
        var (epoch, early, late) = (Guid.NewGuid(), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
        Revision At(long seq, Guid? of = null) => new(of ?? epoch, new Seq(seq), new RevocationSeq(seq));
        var offline = new Confidence(VerificationSource.Offline, early, late, late, At(7));
        var asked = new Confidence(VerificationSource.Introspection, late, early, early, At(9));
        foreach (var least in new[] { Confidence.Least(offline, asked), Confidence.Least(asked, offline) })
            Assert.Equal(new Confidence(VerificationSource.Introspection, late, late, early, At(7)), least);
        Assert.Null(Confidence.Least(offline, asked with { Revision = At(9, Guid.NewGuid()) }).Revision);
        Assert.Null(Confidence.Least(offline, asked with { Revision = null }).Revision);
    }

    private static async Task LoseLeaseAsync(ClientFixture client)
    {
        client.Feed.Down = new Refusal(Reason.NotReady);
        client.Feed.Cut();
        await Eventually(() => !client.Follower.IsConnected);
        client.Clock.Advance(client.Follower.LeaseLeft);
    }

    private static Task Eventually(Func<bool> condition) => Testing.Eventually.HoldsAsync("the condition", condition);
}
