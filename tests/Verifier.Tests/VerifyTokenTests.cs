using ClawBureau.Protos.Verification.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Consistency = ClawBureau.Protos.Types.V1.Consistency;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Verifier.Tests;

/// <summary>VerifyToken and its batch, with a real ledger behind the feed.</summary>
public sealed class VerifyTokenTests
{
    [Fact]
    public async Task A_good_token_is_valid_and_nobody_was_asked()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign();
        for (int i = 0; i < 20; i++)
        {
            var answer = await verifier.VerifyAsync(token.Compact, new() { AudienceAny = { "clawproxy.example" }, Transitions = { "token.revoke" } });
            Assert.Equal(VerificationStatus.Valid, answer.Verdict.Status);
            Assert.Equal((token.TokenHash.ToString(), VerifierFixture.Key.KeyId.ToString(), Wire.KidSource.Header), (answer.TokenHash, answer.Kid, answer.KidSource));
            Assert.Equal(("did:key:zOwner", VerificationSource.Offline), (answer.Claims.OwnerDid, answer.Confidence.Source));
            Assert.True(answer.Confidence.RevocationAge.ToTimeSpan() <= TimeSpan.FromSeconds(30) && answer.Confidence.LeaseLeft.ToTimeSpan() > TimeSpan.Zero);
        }
        Assert.Equal(0, verifier.Asked);
    }

    [Fact]
    public async Task A_revoked_token_is_invalid_to_whoever_asks_after_the_revocation_was_answered()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        for (int i = 0; i < 20; i++)
        {
            var token = VerifierFixture.Sign();
            Assert.Equal(VerificationStatus.Valid, (await verifier.VerifyAsync(token.Compact)).Verdict.Status);
            await verifier.RevokeAsync(token);
            var answer = await verifier.Verification.VerifyTokenAsync(new VerifyTokenRequest { Token = token.Compact, Consistency = new Consistency { Linearizable = new() } });
            Assert.Equal((VerificationStatus.Invalid, Wire.Reason.TokenRevoked, true), (answer.Verdict.Status, answer.Verdict.Reason, answer.Revoked));
        }
        Assert.Equal(0, verifier.Asked);
    }

    /// <summary>
    /// With an hour between heartbeats and a quarter of one between renewals nothing moves the feed but who waits for it: a wait that
    /// is not woken would end at its bound, and the Introspector would be asked.
    /// </summary>
    [Fact]
    public async Task A_linearizable_verification_waits_for_its_own_echo_and_for_nothing_else()
    {
        await using var verifier = await VerifierFixture.StartAsync(lease: 3600, heartbeat: 3600);
        var tokens = Enumerable.Range(0, 4).Select(_ => VerifierFixture.Sign().Compact).ToList();
        var linearizable = new Consistency { Linearizable = new() };
        long before = verifier.Follower.Lease!.Number;
        for (int i = 0; i < 100; i++)
        {
            var answer = await verifier.Verification.VerifyTokenAsync(new VerifyTokenRequest { Token = tokens[i % 4], Consistency = linearizable });
            Assert.Equal((VerificationStatus.Valid, VerificationSource.Offline), (answer.Verdict.Status, answer.Confidence.Source));
        }
        Assert.Equal(before + 100, verifier.Follower.Lease!.Number);            // one echo for each, and none besides
        await Task.WhenAll(Enumerable.Range(0, 400).Select(async i =>
            Assert.Equal(VerificationStatus.Valid, (await verifier.ControlAsync(tokens[i % 4])).Verdict.Status)));
        Assert.True(verifier.Follower.Lease!.Number < before + 500, "who comes together shares one");
        Assert.Equal(0, verifier.Asked);
    }

    [Fact]
    public async Task With_the_Introspector_stopped_a_token_is_valid_within_the_lease_and_refused_after_it()
    {
        await using var verifier = await VerifierFixture.StartAsync(lease: 3);
        var token = VerifierFixture.Sign();
        await verifier.VerifyAsync(token.Compact);
        await verifier.Introspector.DisposeAsync();

        // Read before and after: whatever the machine does in between, a yes was given within the lease.
        bool wasValid = false;
        while (verifier.Follower.LeaseLeft > TimeSpan.Zero)
        {
            try
            {
                var answer = await verifier.VerifyAsync(token.Compact);
                Assert.Equal((VerificationStatus.Valid, VerificationSource.Offline), (answer.Verdict.Status, answer.Confidence.Source));
                Assert.True(answer.Confidence.RevocationAge.ToTimeSpan() < TimeSpan.FromSeconds(3));
                wasValid = true;
            }
            catch (Refusal)
            {
                Assert.Equal(TimeSpan.Zero, verifier.Follower.LeaseLeft);
            }
        }
        Assert.True(wasValid);
        var refusal = await Assert.ThrowsAsync<Refusal>(() => verifier.VerifyAsync(token.Compact));
        Assert.Equal(Reason.PeerUnavailable, refusal.Reason);
        Assert.True(verifier.Asked > 0);
    }

    [Fact]
    public async Task What_is_wrong_with_a_token_is_an_answer_with_its_reason()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var good = VerifierFixture.Sign();
        (string Token, TokenRequirements Asked, Wire.Reason Reason, string Field)[] cases =
        [
            ("a.b", new(), Wire.Reason.TokenMalformed, ""),
            (VerifierFixture.Sign(c => c with { ExpiresAt = c.IssuedAt - 1 }).Compact, new(), Wire.Reason.TokenExpired, ""),
            (VerifierFixture.Sign(key: TestKeys.KeyOf(99)).Compact, new(), Wire.Reason.TokenUnknownKid, ""),
            (VerifierFixture.Sign(key: TestKeys.KeyOf(39)).Compact, new(), Wire.Reason.TokenKidExpired, ""),
            (good.Compact, new() { AudienceAll = { "another" } }, Wire.Reason.TokenBadAudience, "audience_all"),
            (good.Compact, new() { ScopeAny = { "another" } }, Wire.Reason.TokenInsufficientScope, "scope_any"),
            (good.Compact, new() { Transitions = { "key.rotate" } }, Wire.Reason.TokenControlTransitionForbidden, "transitions"),
        ];
        foreach (var (token, asked, reason, field) in cases)
        {
            var answer = await verifier.VerifyAsync(token, asked);
            Assert.Equal((VerificationStatus.Invalid, reason, field), (answer.Verdict.Status, answer.Verdict.Reason, answer.Verdict.Field));
            Assert.NotEqual("", answer.Verdict.Sentence);
        }
        Assert.Equal(Reason.InvalidRequest, (await Assert.ThrowsAsync<Refusal>(() => verifier.VerifyAsync(" "))).Reason);
        Assert.Equal(Reason.TransitionUnknown, (await Assert.ThrowsAsync<Refusal>(() => verifier.VerifyAsync(good.Compact, new() { Transitions = { "toString" } }))).Reason);
        Assert.Equal(0, verifier.Asked);
    }

    [Fact]
    public async Task Ten_thousand_tokens_of_unknown_keys_cause_one_fetch_of_keys()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign().Compact;
        var rest = token[token.IndexOf('.', StringComparison.Ordinal)..];
        int reads = verifier.Issuer.KeyReads;
        foreach (var kids in Enumerable.Range(0, 10_000).Chunk(1000))
        {
            var request = new BatchVerifyTokensRequest
            {
                Tokens = { kids.Select(kid => Base64UrlText.Encode(System.Text.Encoding.UTF8.GetBytes($$"""{"alg":"EdDSA","typ":"JWT","kid":"{{kid:x16}}"}""")) + rest) },
            };
            Assert.All((await verifier.Verification.BatchVerifyTokensAsync(request)).Results, result => Assert.Equal(Wire.Reason.TokenUnknownKid, result.Answer.Verdict.Reason));
        }
        Assert.InRange(verifier.Issuer.KeyReads, reads, reads + 1);
        Assert.Equal(0, verifier.Asked);
    }

    [Fact]
    public async Task A_batch_answers_each_in_order_with_one_confidence()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var tokens = Enumerable.Range(0, 5).Select(_ => VerifierFixture.Sign()).ToList();
        await verifier.RevokeAsync(tokens[3]);
        var answer = await verifier.Verification.BatchVerifyTokensAsync(new BatchVerifyTokensRequest
        {
            Tokens = { tokens.Select(t => t.Compact), " ", "a.b.c" },
            Consistency = new Consistency { Linearizable = new() },
        });
        Assert.Equal(tokens.Select(t => t.TokenHash.ToString()), answer.Results.Take(5).Select(r => r.Answer.TokenHash));
        Assert.Equal([true, true, true, false, true], answer.Results.Take(5).Select(r => r.Answer.Verdict.Status == VerificationStatus.Valid));
        Assert.Equal(Wire.Reason.InvalidRequest, answer.Results[5].Error.Reason);
        Assert.Equal(Wire.Reason.TokenMalformed, answer.Results[6].Answer.Verdict.Reason);
        Assert.All(answer.Results.Take(5), r => Assert.Null(r.Answer.Confidence));
        Assert.Equal(VerificationSource.Offline, answer.Confidence.Source);

        foreach (var (count, reason) in new[] { (0, Reason.InvalidRequest), (1001, Reason.BatchTooLarge) })
        {
            var refusal = await Assert.ThrowsAsync<Refusal>(async () =>
                await verifier.Verification.BatchVerifyTokensAsync(new BatchVerifyTokensRequest { Tokens = { Enumerable.Repeat("a.b.c", count) } }));
            Assert.Equal(reason, refusal.Reason);
        }
    }

    [Fact]
    public async Task A_caller_who_shows_nothing_verifies_nothing()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var nobody = new VerificationService.VerificationServiceClient(verifier.Process.Channel(adminKey: null).Calls);
        Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(async () => await nobody.VerifyTokenAsync(new() { Token = "a.b.c" }))).Reason);
        Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(async () => await nobody.VerifyTokenControlAsync(new() { Token = "a.b.c" }))).Reason);
    }
}
