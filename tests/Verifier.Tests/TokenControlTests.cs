using ClawBureau.Protos.Control.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Delegation = ClawBureau.Tokens.Delegation;
using SensitivePolicy = ClawBureau.Protos.Control.V1.SensitivePolicy;
using TokenLane = ClawBureau.Tokens.TokenLane;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Verifier.Tests;

/// <summary>VerifyTokenControl: control-plane-http.md 3.1, every code in its order.</summary>
public sealed class TokenControlTests
{
    [Fact]
    public async Task A_token_that_satisfies_everything_is_valid_and_the_answer_says_what_was_looked_at()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign();
        var answer = await verifier.ControlAsync(token.Compact, ask =>
        {
            (ask.ExpectedOwnerDid, ask.ExpectedControllerDid, ask.ExpectedAgentDid) = ("did:key:zOwner", "did:key:zController", "did:key:zAgent");
            ask.RequiredAudience.Add("clawproxy.example");
            ask.RequiredScope.Add(["clawproxy:call", "control:token:revoke"]);
            ask.RequiredTransitions.Add("token.revoke");
        });
        Assert.Equal(
            (VerificationStatus.Valid, "Token satisfies control-chain, audience, scope, transition requirements, and key transparency policy", token.TokenHash.ToString(), true, false),
            (answer.Verdict.Status, answer.Verdict.Sentence, answer.TokenHash, answer.Active, answer.Revoked));
        Assert.Equal("did:key:zOwner", answer.Claims.OwnerDid);
        Assert.Equal(["controller.policy.update", "token.issue.sensitive", "token.revoke", "key.rotate"], answer.TransitionMatrix.Select(t => t.Transition));
        Assert.Equal([false, false, true, false], answer.TransitionMatrix.Select(t => t.Allowed));
        Assert.Equal((VerifierFixture.Key.KeyId.ToString(), VerifierFixture.Key.KeyId.ToString()), (answer.TransparencySnapshot.KidObserved, answer.TransparencySnapshot.ActiveKid));
        Assert.Empty(answer.RemediationHints);
        Assert.Equal((VerificationSource.Offline, 0), (answer.Confidence.Source, verifier.Asked));
    }

    [Fact]
    public async Task A_delegated_token_verifies()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign(claims => claims with
        {
            Delegation = new Delegation
            {
                Id = "delegation-1",
                DelegatorDid = Did.Parse("did:key:zOwner"),
                DelegateDid = Did.Parse("did:key:zAgent"),
                SpendCapMinor = "007",
                ExpiresAt = claims.ExpiresAt,
            },
        });
        var answer = await verifier.ControlAsync(token.Compact, ask => ask.RequiredScope.Add("clawproxy:call"));
        Assert.Equal((VerificationStatus.Valid, "delegation-1"), (answer.Verdict.Status, answer.Claims.Delegation.DelegationId));
    }

    [Fact]
    public async Task Each_check_fails_with_its_code_field_and_hints()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var good = VerifierFixture.Sign().Compact;
        (string What, string Token, Action<VerifyTokenControlRequest>? Ask, Wire.Reason Code, string Field, string Hints)[] cases =
        [
            ("unknown key", VerifierFixture.Sign(key: TestKeys.KeyOf(99)).Compact, null, Wire.Reason.TokenControlKeyUnknown, "token", "ReissueToken SyncRevocationStream"),
            ("key past its cut-off", VerifierFixture.Sign(key: TestKeys.KeyOf(39)).Compact, null, Wire.Reason.TokenControlKeyExpired, "token", "ReissueToken"),
            ("malformed", "a.b", null, Wire.Reason.ParseError, "token", "ReissueToken"),
            ("expired", VerifierFixture.Sign(c => c with { ExpiresAt = c.IssuedAt - 1 }).Compact, null, Wire.Reason.ParseError, "token", "ReissueToken"),
            ("bad signature", good[..^8] + "AAAAAAAA", null, Wire.Reason.ParseError, "token", "ReissueToken"),
            ("legacy lane", VerifierFixture.Sign(c => c with { Lane = TokenLane.Legacy }).Compact, null, Wire.Reason.TokenControlChainMissing, "token", "UseCanonicalCstLane"),
            ("no controller", VerifierFixture.Sign(c => c with { ControllerDid = null }).Compact, null, Wire.Reason.TokenControlChainMissing, "token", "UseCanonicalCstLane"),
            ("another owner", good, ask => ask.ExpectedOwnerDid = "did:key:zX", Wire.Reason.ControlChainContextMismatch, "expected_owner_did", "CheckControlChainConfig"),
            ("another controller", good, ask => ask.ExpectedControllerDid = "did:key:zX", Wire.Reason.ControlChainContextMismatch, "expected_controller_did", "CheckControlChainConfig"),
            ("another agent", good, ask => ask.ExpectedAgentDid = "did:key:zX", Wire.Reason.TokenControlSubjectMismatch, "expected_agent_did", "RegisterAgentUnderController"),
            ("another grant than hashed", VerifierFixture.Sign(c => c with { TokenScopeHash = (c with { Scope = ["less"] }).ComputeScopeHash() }).Compact, null, Wire.Reason.TokenControlScopeHashMismatch, "token_scope_hash_b64u", "ReissueToken"),
            ("scope", good, ask => ask.RequiredScope.Add(["clawproxy:call", "more"]), Wire.Reason.TokenControlScopeMissing, "required_scope", "RequestRequiredScope UpdateSensitivePolicy"),
            ("a wildcard is not the scope itself", VerifierFixture.Sign(c => c with { Scope = ["clawproxy:*"] }).Compact, ask => ask.RequiredScope.Add("clawproxy:call"), Wire.Reason.TokenControlScopeMissing, "required_scope", "RequestRequiredScope UpdateSensitivePolicy"),
            ("audience", good, ask => ask.RequiredAudience.Add(["clawproxy.example", "other"]), Wire.Reason.TokenControlAudienceMismatch, "required_audience", "RequestRequiredAudience"),
            ("transition", good, ask => ask.RequiredTransitions.Add(["token.revoke", "key.rotate"]), Wire.Reason.TokenControlTransitionForbidden, "required_transitions", "UpdateSensitivePolicy UseCanonicalCstLane"),
            ("unknown transition", good, ask => ask.RequiredTransitions.Add("toString"), Wire.Reason.TokenControlTransitionForbidden, "required_transitions", "UpdateSensitivePolicy UseCanonicalCstLane"),
        ];
        foreach (var (what, token, ask, code, field, hints) in cases)
        {
            var answer = await verifier.ControlAsync(token, ask);
            Assert.Equal((what, VerificationStatus.Invalid, code, field), (what, answer.Verdict.Status, answer.Verdict.Reason, answer.Verdict.Field));
            Assert.Equal((what, hints), (what, string.Join(' ', answer.RemediationHints.Select(h => h.Code))));
            Assert.All(answer.RemediationHints, hint => Assert.True(hint.Message.Length > 0 && hint.Action.Length > 0));
        }
        Assert.Equal("Transition(s) denied by matrix: key.rotate", (await verifier.ControlAsync(good, ask => ask.RequiredTransitions.Add("key.rotate"))).Verdict.Sentence);
        Assert.Equal(Wire.Reason.TokenExpired, (await verifier.ControlAsync(cases[3].Token)).Verdict.Cause);
    }

    [Fact]
    public async Task A_revoked_token_is_REVOKED_at_once_and_before_everything_else_that_is_wrong_with_it()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        for (int i = 0; i < 10; i++)
        {
            var token = VerifierFixture.Sign(claims => claims with { Lane = TokenLane.Legacy });
            await verifier.RevokeAsync(token);
            var answer = await verifier.ControlAsync(token.Compact, ask => ask.RequiredScope.Add("more"));
            Assert.Equal((Wire.Reason.Revoked, "Token is revoked", false, true), (answer.Verdict.Reason, answer.Verdict.Sentence, answer.Active, answer.Revoked));
            Assert.Equal([RemediationCode.ReissueToken, RemediationCode.SyncRevocationStream], answer.RemediationHints.Select(h => h.Code));
        }
        Assert.Equal(0, verifier.Asked);
    }

    [Fact]
    public async Task The_checks_come_in_the_contracts_order()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        void AskTooMuch(VerifyTokenControlRequest ask)
        {
            ask.ExpectedAgentDid = "did:key:zX";
            ask.RequiredScope.Add("more");
            ask.RequiredAudience.Add("other");
            ask.RequiredTransitions.Add("key.rotate");
        }
        verifier.Issuer.Transparency = () => throw new Refusal(Reason.KeyTransparencyUnavailable);
        var wrongHash = VerifierFixture.Sign(c => c with { TokenScopeHash = (c with { Scope = ["less"] }).ComputeScopeHash() }).Compact;
        Assert.Equal(Wire.Reason.TokenControlSubjectMismatch, (await verifier.ControlAsync(wrongHash, AskTooMuch)).Verdict.Reason);
        Assert.Equal(Wire.Reason.TokenControlScopeHashMismatch, (await verifier.ControlAsync(wrongHash, ask => { AskTooMuch(ask); ask.ExpectedAgentDid = ""; })).Verdict.Reason);
        var good = VerifierFixture.Sign().Compact;
        Assert.Equal(Wire.Reason.TokenControlScopeMissing, (await verifier.ControlAsync(good, ask => { AskTooMuch(ask); ask.ExpectedAgentDid = ""; })).Verdict.Reason);
        Assert.Equal(Wire.Reason.TokenControlAudienceMismatch, (await verifier.ControlAsync(good, ask => ask.RequiredAudience.Add("other"))).Verdict.Reason);
        // Transparency stands before the matrix.
        var refusal = await Assert.ThrowsAsync<Refusal>(() => verifier.ControlAsync(good, ask => ask.RequiredTransitions.Add("key.rotate")));
        Assert.Equal(Reason.DependencyNotConfigured, refusal.Reason);
    }

    [Fact]
    public async Task Key_transparency_must_be_fresh_signed_and_know_the_key()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign().Compact;
        var key = VerifierFixture.Key;
        var now = DateTimeOffset.UtcNow;
        var other = TestKeys.KeyOf(42).VerificationKey;
        (string What, Func<Protos.Keys.V1.TransparencySnapshot> Snapshot, Wire.Reason Code)[] cases =
        [
            ("too old", () => FakeIssuer.Sign(key, now.AddHours(-2), key.VerificationKey), Wire.Reason.TokenControlTransparencyStale),
            ("without the key", () => FakeIssuer.Sign(key, now, other), Wire.Reason.TokenControlTransparencyKidUnknown),
            ("key past its cut-off since", () => FakeIssuer.Sign(key, now.AddMinutes(-40), key.VerificationKey.With(KeyState.VerifyOnly, now.AddMinutes(-30).ToUnixTimeSeconds())), Wire.Reason.TokenControlTransparencyKidExpired),
        ];
        foreach (var (what, snapshot, code) in cases)
        {
            verifier.Issuer.Transparency = snapshot;
            Assert.Equal((what, code), (what, (await verifier.ControlAsync(token)).Verdict.Reason));
        }

        using var stranger = TestKeys.KeyOf(99);
        foreach (var (what, spoilt) in new (string, Func<Protos.Keys.V1.TransparencySnapshot>)[]
        {
            ("signed by a stranger", () => FakeIssuer.Sign(stranger, now, key.VerificationKey)),
            ("another hash", () => new(FakeIssuer.Sign(key, now, key.VerificationKey)) { SnapshotHashB64U = new string('A', 43) }),
            ("another payload", () => new(FakeIssuer.Sign(key, now, key.VerificationKey)) { PayloadJson = FakeIssuer.Sign(key, now, other).PayloadJson }),
        })
        {
            verifier.Issuer.Transparency = spoilt;
            var refusal = await Assert.ThrowsAsync<Refusal>(() => verifier.ControlAsync(token));
            Assert.Equal((what, Reason.DependencyNotConfigured), (what, refusal.Reason));
        }
    }

    [Fact]
    public async Task A_snapshot_that_is_held_serves_while_the_Issuer_does_not_answer()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        int reads = 0;
        verifier.Issuer.Transparency = () =>
        {
            reads++;
            return FakeIssuer.Sign(VerifierFixture.Key, DateTimeOffset.UtcNow, VerifierFixture.Key.VerificationKey);
        };
        for (int i = 0; i < 5; i++) Assert.Equal(VerificationStatus.Valid, (await verifier.ControlAsync(VerifierFixture.Sign().Compact)).Verdict.Status);
        Assert.Equal(1, reads);
        verifier.Issuer.Transparency = () => throw new Refusal(Reason.LedgerUnavailable);
        Assert.Equal(VerificationStatus.Valid, (await verifier.ControlAsync(VerifierFixture.Sign().Compact)).Verdict.Status);
    }

    [Fact]
    public async Task What_the_request_lacks_is_refused_with_its_field()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var good = VerifierFixture.Sign().Compact;
        foreach (var (token, ask, reason, field) in new (string, Action<VerifyTokenControlRequest>, Reason, string)[]
        {
            (" ", _ => { }, Reason.MissingRequiredField, "token"),
            (good, ask => ask.ExpectedOwnerDid = "owner", Reason.InvalidDidFormat, "expected_owner_did"),
            (good, ask => ask.ExpectedControllerDid = "did:key:", Reason.InvalidDidFormat, "expected_controller_did"),
            (good, ask => ask.ExpectedAgentDid = "did:KEY:z", Reason.InvalidDidFormat, "expected_agent_did"),
        })
        {
            var refusal = await Assert.ThrowsAsync<Refusal>(() => verifier.ControlAsync(token, ask));
            Assert.Equal((reason, field), (refusal.Reason, refusal.Metadata["field"]));
        }
    }

    [Fact]
    public async Task With_the_Introspector_gone_it_is_no_answer_at_all()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign().Compact;
        await verifier.Introspector.DisposeAsync();
        // Linearizable: the lease does not help.
        Assert.Equal(Reason.DependencyNotConfigured, (await Assert.ThrowsAsync<Refusal>(() => verifier.ControlAsync(token))).Reason);
    }

    [Fact]
    public async Task On_request_the_chain_is_read_as_it_stands_now()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        var token = VerifierFixture.Sign().Compact;
        static void Live(VerifyTokenControlRequest ask) => ask.CheckLiveChain = true;
        verifier.Issuer.Chain = _ => ControlChainTests.Chain();
        Assert.Equal(VerificationStatus.Valid, (await verifier.ControlAsync(token, Live)).Verdict.Status);
        verifier.Issuer.Chain = _ => ControlChainTests.Chain(owner: "did:key:zNewOwner");       // transferred
        Assert.Equal(Wire.Reason.ControlChainContextMismatch, (await verifier.ControlAsync(token, Live)).Verdict.Reason);
        Assert.Equal(VerificationStatus.Valid, (await verifier.ControlAsync(token)).Verdict.Status);
        verifier.Issuer.Chain = _ => ControlChainTests.Chain(active: false);
        Assert.Equal(Wire.Reason.ClaimNotFound, (await verifier.ControlAsync(token, Live)).Verdict.Reason);
    }
}

/// <summary>VerifyControlChain: control-plane-http.md 3.2.</summary>
public sealed class ControlChainTests
{
    [Fact]
    public async Task A_chain_is_compared_with_what_is_kept()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        (string What, Func<GetControlChainResponse> Kept, Wire.Reason Code, string Hints)[] cases =
        [
            ("valid", () => Chain(), Wire.Reason.Unspecified, ""),
            ("no controller", () => throw new Refusal(Reason.ControllerNotFound), Wire.Reason.ControlChainNotFound, "RegisterController RegisterAgentUnderController"),
            ("no agent", () => throw new Refusal(Reason.ControllerAgentNotFound), Wire.Reason.ControlChainNotFound, "RegisterController RegisterAgentUnderController"),
            ("another owner", () => Chain(owner: "did:key:zX"), Wire.Reason.ControlChainContextMismatch, "CheckControlChainConfig"),
            ("a controller that was rotated away", () => Chain(controller: "did:key:zNew"), Wire.Reason.ControlChainContextMismatch, "CheckControlChainConfig"),
            ("an agent that was rotated away", () => Chain(agent: "did:key:zNew"), Wire.Reason.ControlChainContextMismatch, "CheckControlChainConfig"),
            ("a policy of another owner", () => Chain(policyOwner: "did:key:zX"), Wire.Reason.ControlChainContextMismatch, "CheckControlChainConfig"),
            ("inactive", () => Chain(active: false), Wire.Reason.ClaimNotFound, "RegisterOwnerBinding"),
        ];
        foreach (var (what, kept, code, hints) in cases)
        {
            verifier.Issuer.Chain = request =>
            {
                Assert.Equal(("did:key:zController", "did:key:zAgent"), (request.ControllerDid, request.AgentDid));
                return kept();
            };
            var answer = await AskAsync(verifier);
            Assert.Equal((what, code, code == Wire.Reason.Unspecified), (what, answer.Verdict.Reason, answer.ChainActive));
            Assert.Equal((what, hints), (what, string.Join(' ', answer.RemediationHints.Select(h => h.Code))));
            Assert.Equal(("did:key:zOwner", "did:key:zController", "did:key:zAgent"), (answer.OwnerDid, answer.ControllerDid, answer.AgentDid));
            if (code == Wire.Reason.Unspecified)
                Assert.Equal(("Owner/controller/agent chain is valid and active", new string('p', 43), 7), (answer.Verdict.Sentence, answer.PolicyHashB64U, answer.Revision.Seq));
        }
    }

    [Fact]
    public async Task What_cannot_be_asked_or_answered_is_refused()
    {
        await using var verifier = await VerifierFixture.StartAsync();
        foreach (var (owner, reason, field) in new[] { ("", Reason.MissingRequiredField, "owner_did"), ("owner", Reason.InvalidDidFormat, "owner_did") })
        {
            var refusal = await Assert.ThrowsAsync<Refusal>(() => AskAsync(verifier, owner));
            Assert.Equal((reason, field), (refusal.Reason, refusal.Metadata["field"]));
        }
        foreach (var reason in new[] { Reason.LedgerUnavailable, Reason.RpcNotAvailable, Reason.Internal })
        {
            verifier.Issuer.Chain = _ => throw new Refusal(reason);
            Assert.Equal(Reason.DependencyNotConfigured, (await Assert.ThrowsAsync<Refusal>(() => AskAsync(verifier))).Reason);
        }
    }

    /// <summary>A chain as the Issuer tells it.</summary>
    internal static GetControlChainResponse Chain(
        string owner = "did:key:zOwner", string controller = "did:key:zController", string agent = "did:key:zAgent", string? policyOwner = null, bool active = true)
    {
        var policy = new SensitivePolicy { OwnerDid = policyOwner ?? owner, PolicyHashB64U = new string('p', 43) };
        return new GetControlChainResponse
        {
            OwnerDid = owner,
            Controller = new Controller { ControllerDid = controller, OwnerDid = owner, Active = true, Policy = policy },
            AgentBinding = new AgentBinding { ControllerDid = controller, AgentDid = agent, OwnerDid = owner, Active = active },
            Active = active,
            Revision = new Wire.Revision { Epoch = Guid.NewGuid().ToString(), Seq = 7 },
        };
    }

    private static async Task<VerifyControlChainResponse> AskAsync(VerifierFixture verifier, string owner = "did:key:zOwner") =>
        await verifier.Verification.VerifyControlChainAsync(new() { OwnerDid = owner, ControllerDid = "did:key:zController", AgentDid = "did:key:zAgent" });
}
