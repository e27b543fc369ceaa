namespace ClawBureau.Tokens.Tests;

/// <summary>Contract 5.3, and rows 7 to 9 of 0.1 C.</summary>
public sealed class TransitionMatrixTests
{
    private static readonly string[] Scopes = ["control:policy:update", "control:token:issue_sensitive", "control:token:revoke", "control:key:rotate"];

    [Fact]
    public void The_matrix_has_the_contracts_four_transitions_in_its_order()
    {
        Assert.Equal(["controller.policy.update", "token.issue.sensitive", "token.revoke", "key.rotate"], TransitionMatrix.Transitions.Select(t => t.Name));
        Assert.Equal(Scopes, TransitionMatrix.Transitions.Select(t => t.RequiredScope));
        Assert.Same(Transition.RevokeToken, TransitionMatrix.Find("token.revoke"));
        Assert.All(["toString", "TOKEN.REVOKE", "token.revoke ", ""], name => Assert.Null(TransitionMatrix.Find(name)));
    }

    [Fact]
    public void A_scope_allows_its_own_transition_and_no_other()
    {
        for (int held = 0; held < Scopes.Length; held++)
        {
            var rulings = TransitionMatrix.Judge(Canonical(Scopes[held]));
            for (int i = 0; i < rulings.Count; i++)
            {
                Assert.Equal(i == held, rulings[i].IsAllowed);
                Assert.Equal(i == held ? "Transition requirements satisfied" : $"Missing required scope(s): {Scopes[i]}", rulings[i].Sentence);
                Assert.Equal(i == held ? null : Reason.TokenScopeMissing, rulings[i].Denial);
            }
        }
    }

    [Theory]
    [InlineData("control:*", true)]
    [InlineData("*", false)]                        // the original service takes it for every transition
    [InlineData("proxy:*", false)]
    [InlineData("clawproxy:*", false)]
    [InlineData("control:token:*", false)]
    [InlineData("control", false)]
    [InlineData("Control:*", false)]
    [InlineData("controls:*", false)]
    public void A_wildcard_counts_within_its_family_alone(string held, bool allowed) =>
        Assert.All(TransitionMatrix.Judge(Canonical(held)), ruling => Assert.Equal(allowed, ruling.IsAllowed));

    [Fact]
    public void The_chain_is_asked_for_before_the_lane_and_the_lane_before_the_scope()
    {
        var legacy = TestTokens.Claims();
        Assert.Equal(new TransitionRuling(Transition.RotateKey, Reason.TokenControlChainMissing, "Token is missing owner/controller/agent chain claims"),
            TransitionMatrix.Judge(legacy, Transition.RotateKey));
        foreach (var incomplete in (TokenClaims[])[Canonical() with { OwnerDid = null }, Canonical() with { ControllerDid = null }, Canonical() with { AgentDid = null }])
            Assert.Equal(Reason.TokenControlChainMissing, TransitionMatrix.Judge(incomplete, Transition.RotateKey).Denial);
        foreach (var lane in (TokenLane?[])[TokenLane.Legacy, null])
        {
            Assert.Equal(new TransitionRuling(Transition.RotateKey, Reason.TokenLaneLegacyForbidden, "Sensitive transitions require canonical token lane"),
                TransitionMatrix.Judge(Canonical() with { Lane = lane }, Transition.RotateKey));
        }
    }

    [Theory]
    [InlineData("control:token:revoke", null, null)]
    [InlineData("control:*", null, null)]
    [InlineData("control:token:issue_sensitive", Reason.TokenControlTransitionForbidden, "Token is not authorized for transition(s): token.revoke")]
    [InlineData("control:audit:read", Reason.TokenInsufficientScope, "Token does not include required scope(s): control:token:revoke, control:token:issue_sensitive")]
    [InlineData("*", Reason.TokenInsufficientScope, null)]
    [InlineData("proxy:*", Reason.TokenInsufficientScope, null)]
    public void A_caller_holds_one_of_the_scopes_and_every_transition(string held, Reason? reason, string? sentence)
    {
        var refusal = Record.Exception(() => RequireRevoke(Canonical("clawproxy:call", held)));
        Assert.Equal(reason, (refusal as Refusal)?.Reason);
        if (sentence is not null) Assert.Equal(sentence, refusal!.Message);
    }

    [Fact]
    public void A_caller_without_a_canonical_chain_is_told_so_first()
    {
        foreach (var claims in (TokenClaims[])[TestTokens.Claims(), Canonical() with { OwnerDid = null }, Canonical("control:*") with { Lane = TokenLane.Legacy }])
            Assert.Equal(Reason.TokenControlChainMissing, TestTokens.Refused(() => RequireRevoke(claims)).Reason);
    }

    private static void RequireRevoke(TokenClaims claims) =>
        CallerTokenRules.Require(claims, ["control:token:revoke", "control:token:issue_sensitive"], [Transition.RevokeToken]);

    private static TokenClaims Canonical(params string[] scope) => TestTokens.Claims() with
    {
        Scope = scope,
        OwnerDid = Did.Parse("did:key:zOwner"),
        ControllerDid = Did.Parse("did:key:zController"),
        AgentDid = Did.Parse("did:key:zAgent"),
        Lane = TokenLane.Canonical,
    };
}
