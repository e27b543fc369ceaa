using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using ResultCase = ClawBureau.Protos.Introspection.V1.BatchIntrospectTokensResult.ResultOneofCase;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

/// <summary>Many tokens from one read, and the matrix of what a token may do (contract 5.3).</summary>
public sealed class BatchTests
{
    [Fact]
    public async Task A_batch_answers_each_token_in_order_from_one_revision()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var (good, dead, blocked) = (introspector.Sign(), await introspector.MintAsync(), introspector.Sign(IntrospectorFixture.Claims("did:key:zBlocked")));
        await introspector.RevokeAsync(dead);
        await introspector.BlockAsync(GroupKey.Of(RevocationKind.Subject, "", "did:key:zBlocked"));
        long polls = introspector.Follower.Polls;
        var response = await introspector.Introspection.BatchIntrospectTokensAsync(new() { Tokens = { good.Compact, "no token", dead.Compact, " ", blocked.Compact, good.Compact } });

        Assert.Equal(polls + 1, introspector.Follower.Polls);
        Assert.Equal((await introspector.EpochAsync(), 2L), (response.Revision.Epoch, response.Revision.RevocationSeq));
        Assert.InRange(response.Age.ToTimeSpan(), TimeSpan.FromTicks(1), TimeSpan.FromSeconds(20));
        Assert.Equal([ResultCase.Answer, ResultCase.Answer, ResultCase.Answer, ResultCase.Error, ResultCase.Answer, ResultCase.Answer], response.Results.Select(r => r.ResultCase));
        var answers = response.Results.Select(r => r.Answer).ToList();
        Assert.Equal((true, false, good.TokenHash.ToString()), (answers[0].Active, answers[0].Revoked, answers[0].TokenHash));
        Assert.Equal((false, false, Wire.Reason.TokenMalformed), (answers[1].Active, answers[1].Revoked, answers[1].InactiveReason));
        Assert.Equal((false, true, Wire.Reason.TokenRevoked), (answers[2].Active, answers[2].Revoked, answers[2].InactiveReason));
        Assert.Equal((Wire.Reason.InvalidRequest, "token is required"), (response.Results[3].Error.Reason, response.Results[3].Error.Sentence));
        Assert.Equal((true, Wire.GroupKind.Subject), (answers[4].Revoked, answers[4].RevokedByGroup));
        Assert.Equal(answers[0], answers[5]);
        Assert.All(answers.OfType<IntrospectTokenResponse>(), a => Assert.Equal((null, null), (a.Revision, a.Age)));
    }

    [Theory]
    [InlineData(0, Reason.InvalidRequest)]
    [InlineData(1000, null)]
    [InlineData(1001, Reason.BatchTooLarge)]
    public async Task A_batch_has_one_to_a_thousand_tokens(int count, Reason? refused)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign().Compact;
        var request = new BatchIntrospectTokensRequest { Tokens = { Enumerable.Repeat(token, count) } };
        if (refused is null)
        {
            var response = await introspector.Introspection.BatchIntrospectTokensAsync(request);
            Assert.Equal(count, response.Results.Count(r => r.Answer.Active));
            return;
        }
        Assert.Equal(refused, (await Assert.ThrowsAsync<Refusal>(async () => await introspector.Introspection.BatchIntrospectTokensAsync(request))).Reason);
    }

    [Fact]
    public async Task A_batch_is_as_fresh_as_it_was_asked_to_be()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        await introspector.IntrospectAsync(token);
        await introspector.RevokeAsync(token);
        var bounded = new Wire.Consistency { Bounded = Duration.FromTimeSpan(TimeSpan.FromHours(1)) };
        Assert.True((await introspector.Introspection.BatchIntrospectTokensAsync(new() { Tokens = { token.Compact }, Consistency = bounded })).Results[0].Answer.Active);
        Assert.True((await introspector.Introspection.BatchIntrospectTokensAsync(new() { Tokens = { token.Compact } })).Results[0].Answer.Revoked);
    }

    [Fact]
    public async Task The_matrix_says_what_the_claims_allow_in_the_contracts_order()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign(Canonical("control:token:revoke", "control:key:rotate", "clawproxy:call"));
        var response = await MatrixAsync(introspector, token, "token.revoke");
        Assert.Equal((true, false, token.TokenHash.ToString(), introspector.Key.KeyId.ToString(), Wire.KidSource.Header),
            (response.Active, response.Revoked, response.TokenHash, response.Kid, response.KidSource));
        Assert.Equal(["controller.policy.update", "token.issue.sensitive", "token.revoke", "key.rotate"], response.Matrix.Select(d => d.Transition));
        Assert.Equal([false, false, true, true], response.Matrix.Select(d => d.Allowed));
        Assert.Equal((Wire.Reason.TokenScopeMissing, "Missing required scope(s): control:policy:update"), (response.Matrix[0].Reason, response.Matrix[0].Sentence));
        Assert.Equal((Wire.Reason.Unspecified, "Transition requirements satisfied"), (response.Matrix[2].Reason, response.Matrix[2].Sentence));
        Assert.Equal(response.Matrix[2], response.TransitionResult);
        Assert.NotEqual("", response.Revision.Epoch);
    }

    [Fact]
    public async Task The_matrix_of_a_token_without_a_chain_or_of_the_legacy_lane_allows_nothing()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var claims = Canonical("control:*");
        var legacy = await MatrixAsync(introspector, introspector.Sign(claims with { Lane = TokenLane.Legacy }));
        Assert.All(legacy.Matrix, d => Assert.Equal(Wire.Reason.TokenLaneLegacyForbidden, d.Reason));
        var chainless = await MatrixAsync(introspector, introspector.Sign(claims with { OwnerDid = null }));
        Assert.All(chainless.Matrix, d => Assert.Equal(Wire.Reason.TokenControlChainMissing, d.Reason));
        Assert.Null(chainless.TransitionResult);
    }

    [Theory]
    [InlineData("token.destroy")]
    [InlineData("toString")]
    public async Task An_unknown_transition_is_refused_unless_the_token_may_make_none_anyway(string transition)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign(Canonical("control:*"));
        var refusal = await Assert.ThrowsAsync<Refusal>(() => MatrixAsync(introspector, token, transition));
        Assert.Equal((Reason.TransitionUnknown, $"Unknown transition '{transition}'"), (refusal.Reason, refusal.Sentence));

        await introspector.RevokeAsync(token);
        var response = await MatrixAsync(introspector, token, transition);
        Assert.Equal((false, true, Wire.Reason.TokenRevoked, 4, null), (response.Active, response.Revoked, response.InactiveReason, response.Matrix.Count, response.TransitionResult));
    }

    [Fact]
    public async Task The_matrix_of_a_token_that_is_not_good_is_empty_and_says_why()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var response = await introspector.Introspection.GetTransitionMatrixAsync(new() { Token = "a.b.c" });
        Assert.Equal((false, false, Wire.Reason.TokenMalformed, TokenHash.Of("a.b.c").ToString()), (response.Active, response.Revoked, response.InactiveReason, response.TokenHash));
        Assert.Empty(response.Matrix);
        Assert.Equal(Reason.InvalidRequest, (await Assert.ThrowsAsync<Refusal>(async () => await introspector.Introspection.GetTransitionMatrixAsync(new()))).Reason);
    }

    [Fact]
    public async Task The_claims_are_told_to_whom_the_token_is_for()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?>
        {
            ["CLAW_SERVICE_AUDIENCES_JSON"] = """{"clawproxy":["clawproxy.example"]}""",
        });
        var (mine, other) = (introspector.Sign(), introspector.Sign(IntrospectorFixture.Claims() with { Audience = Audience.Of("clawbounties.example") }));
        var proxy = new IntrospectionService.IntrospectionServiceClient(introspector.Process.ServiceChannel("clawproxy").Calls);
        var answers = (await proxy.BatchIntrospectTokensAsync(new() { Tokens = { mine.Compact, other.Compact } })).Results.Select(r => r.Answer).ToList();
        Assert.Equal((true, mine.Claims.Sub), (answers[0].Active, answers[0].Claims.Sub));
        Assert.Equal((true, null), (answers[1].Active, answers[1].Claims));
        Assert.Null((await proxy.IntrospectTokenAsync(new() { Token = other.Compact })).Claims);
        var verifier = new IntrospectionService.IntrospectionServiceClient(introspector.Process.ServiceChannel("verifier").Calls);
        Assert.NotNull((await verifier.IntrospectTokenAsync(new() { Token = other.Compact })).Claims);
    }

    [Fact]
    public async Task Introspection_without_a_credential_is_a_switch_and_has_a_rate()
    {
        var token = "a.b.c";
        await using (var open = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["SCOPE_INTROSPECT_RATE"] = "1" }))
        {
            var edge = new IntrospectionService.IntrospectionServiceClient(open.Process.ServiceChannel("edge").Calls);
            var reasons = new List<Reason?>();
            for (int i = 0; i < 40; i++)
            {
                try
                {
                    await edge.IntrospectTokenAsync(new() { Token = token });
                    reasons.Add(null);
                }
                catch (Refusal refusal)
                {
                    reasons.Add(refusal.Reason);
                }
            }
            Assert.Equal([null, null], reasons.Take(2));
            Assert.Contains(Reason.RateLimited, reasons);
            // Others do not pay for it.
            Assert.NotNull(await open.Introspection.IntrospectTokenAsync(new() { Token = token }));
        }
        await using var closed = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["SCOPE_INTROSPECT_AUTH"] = "required" });
        var nobody = new IntrospectionService.IntrospectionServiceClient(closed.Process.ServiceChannel("edge").Calls);
        Assert.Equal(Reason.CredentialRequired, (await Assert.ThrowsAsync<Refusal>(async () => await nobody.IntrospectTokenAsync(new() { Token = token }))).Reason);
        Assert.Equal(Reason.CredentialRequired, (await Assert.ThrowsAsync<Refusal>(async () => await nobody.GetTransitionMatrixAsync(new() { Token = token }))).Reason);
        Assert.False((await closed.Introspection.IntrospectTokenAsync(new() { Token = token })).Active);
    }

    private static TokenClaims Canonical(params string[] scope) => IntrospectorFixture.Claims() with
    {
        Scope = scope,
        OwnerDid = Did.Parse("did:key:zOwner"),
        ControllerDid = Did.Parse("did:key:zController"),
        AgentDid = Did.Parse("did:key:zAgent"),
        Lane = TokenLane.Canonical,
    };

    private static async Task<GetTransitionMatrixResponse> MatrixAsync(IntrospectorFixture introspector, SignedToken token, string transition = "") =>
        await introspector.Introspection.GetTransitionMatrixAsync(new() { Token = token.Compact, Transition = transition });
}
