using ClawBureau.Protos.Types.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Reason = ClawBureau.Protos.Types.V1.Reason;

namespace ClawBureau.Edge.Tests;

/// <summary>POST /v1/verify/token-control: control-plane-http.md 3.1, in clawverify's own form.</summary>
[Collection(EdgeSuite.Name)]
public sealed class VerifyTests(EdgeFixture edge)
{
    private const string Path = "/v1/verify/token-control";

    [Fact]
    public async Task A_valid_token_is_answered_with_everything_that_was_looked_at()
    {
        VerifyTokenControlRequest? seen = null;
        edge.Verifier.Answer = request =>
        {
            seen = request;
            return new VerifyTokenControlResponse
            {
                Verdict = FakeVerifier.Valid("Token satisfies control-chain"),
                TokenHash = "h",
                Active = true,
                Revoked = false,
                Claims = new()
                {
                    Sub = "s",
                    Aud = new() { Values = { "a" }, AsArray = true },
                    Scope = { "control:token:revoke" },
                    TokenLane = Protos.Types.V1.TokenLane.Canonical,
                    OwnerDid = "did:key:zO",
                    ControllerDid = "did:key:zC",
                    AgentDid = "did:key:zA",
                    TokenScopeHashB64U = "sh",
                },
                TransitionMatrix =
                {
                    new TransitionDecision { Transition = "token.revoke", Allowed = true, Sentence = "Transition requirements satisfied" },
                    new TransitionDecision { Transition = "key.rotate", Reason = Reason.TokenScopeMissing, Sentence = "Missing required scope(s): control:key:rotate" },
                },
                Confidence = new()
                {
                    Source = VerificationSource.Offline,
                    RevocationAge = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(12.3)),
                    KeyAge = Duration.FromTimeSpan(TimeSpan.FromSeconds(4)),
                    LeaseLeft = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(2987.7)),
                },
                TransparencySnapshot = new ObservedTransparency { SnapshotId = "kts_1", GeneratedAt = FakeVerifier.At, ActiveKid = "k", AcceptedKids = { "k" }, KidObserved = "k" },
            };
        };
        var answer = await edge.Canonical.PostAsync(Path, """
            {"token":"a.b.c","expected_owner_did":"did:key:zO","expected_controller_did":7,"required_audience":"one","required_scope":["x","y"],"required_transitions":["token.revoke"]}
            """, ("x-trace-id", "trace-7"), ("Authorization", "Bearer nobody's business"));

        Assert.Equal("""
            {"result":{"status":"VALID","reason":"Token satisfies control-chain","verified_at":"2027-01-15T08:00:00.250Z"},"token_hash":"h","active":true,"revoked":false,"token_lane":"canonical","owner_did":"did:key:zO","controller_did":"did:key:zC","agent_did":"did:key:zA","aud":["a"],"scope":["control:token:revoke"],"token_scope_hash_b64u":"sh","transition_matrix":{"token.revoke":{"allowed":true,"reason_code":"ALLOWED","reason":"Transition requirements satisfied"},"key.rotate":{"allowed":false,"reason_code":"TOKEN_SCOPE_MISSING","reason":"Missing required scope(s): control:key:rotate"}},"transparency_snapshot":{"snapshot_id":"kts_1","generated_at":1800000000,"generated_at_iso":"2027-01-15T08:00:00.000Z","active_kid":"k","accepted_kids":["k"],"kid_observed":"k"},"remediation_hints":[]}
            """, answer.Text);
        Assert.Equal("offline;revocation_age_ms=13;key_age_ms=4000;lease_left_ms=2987", answer.Headers["x-claw-confidence"]);
        Assert.Equal((200, "application/json", "1", "no-store"), ((int)answer.Status, answer.Headers["content-type"], answer.Headers["x-clawverify-version"], answer.Headers["cache-control"]));
        Assert.Equal(("a.b.c", "did:key:zO", ""), (seen!.Token, seen.ExpectedOwnerDid, seen.ExpectedControllerDid));
        Assert.Equal(["one", "|", "x", "y", "|", "token.revoke"], [.. seen.RequiredAudience, "|", .. seen.RequiredScope, "|", .. seen.RequiredTransitions]);
        // The trace goes along, the credential does not: this is public.
        Assert.Equal(("trace-7", null), (edge.Verifier.Headers.GetValue("x-trace-id"), edge.Verifier.Headers.GetValue("authorization")));
    }

    [Fact]
    public async Task A_revoked_token_is_422_with_hints()
    {
        edge.Verifier.Answer = _ => new VerifyTokenControlResponse
        {
            Verdict = FakeVerifier.Invalid(Reason.Revoked, "Token is revoked", "token"),
            TokenHash = "h",
            Active = false,
            Revoked = true,
            RemediationHints = { new RemediationHint { Code = RemediationCode.SyncRevocationStream, Message = "m", Action = "a" } },
        };
        var answer = await edge.Http.PostAsync(Path, """{"token":"a.b.c"}""");
        Assert.Equal("""
            {"result":{"status":"INVALID","reason":"Token is revoked","verified_at":"2027-01-15T08:00:00.250Z"},"token_hash":"h","active":false,"revoked":true,"remediation_hints":[{"code":"SYNC_REVOCATION_STREAM","message":"m","action":"a"}],"error":{"code":"REVOKED","message":"Token is revoked","field":"token"}}
            """, answer.Text);
        Assert.Equal(422, (int)answer.Status);
    }

    [Theory]
    [InlineData(Reason.ParseError, 400, "PARSE_ERROR")]
    [InlineData(Reason.MissingRequiredField, 400, "MISSING_REQUIRED_FIELD")]
    [InlineData(Reason.InvalidDidFormat, 400, "INVALID_DID_FORMAT")]
    [InlineData(Reason.DependencyNotConfigured, 503, "DEPENDENCY_NOT_CONFIGURED")]
    [InlineData(Reason.TokenControlKeyUnknown, 422, "TOKEN_CONTROL_KEY_UNKNOWN")]
    [InlineData(Reason.TokenControlKeyExpired, 422, "TOKEN_CONTROL_KEY_EXPIRED")]
    [InlineData(Reason.Revoked, 422, "REVOKED")]
    [InlineData(Reason.ClaimNotFound, 422, "CLAIM_NOT_FOUND")]
    [InlineData(Reason.TokenControlChainMissing, 422, "TOKEN_CONTROL_CHAIN_MISSING")]               // 401 elsewhere
    [InlineData(Reason.ControlChainContextMismatch, 422, "CONTROL_CHAIN_CONTEXT_MISMATCH")]         // 403 elsewhere
    [InlineData(Reason.TokenControlSubjectMismatch, 422, "TOKEN_CONTROL_SUBJECT_MISMATCH")]
    [InlineData(Reason.TokenControlScopeHashMismatch, 422, "TOKEN_CONTROL_SCOPE_HASH_MISMATCH")]
    [InlineData(Reason.TokenControlScopeMissing, 422, "TOKEN_CONTROL_SCOPE_MISSING")]
    [InlineData(Reason.TokenControlAudienceMismatch, 422, "TOKEN_CONTROL_AUDIENCE_MISMATCH")]
    [InlineData(Reason.TokenControlTransparencyStale, 422, "TOKEN_CONTROL_TRANSPARENCY_STALE")]
    [InlineData(Reason.TokenControlTransparencyKidUnknown, 422, "TOKEN_CONTROL_TRANSPARENCY_KID_UNKNOWN")]
    [InlineData(Reason.TokenControlTransparencyKidExpired, 422, "TOKEN_CONTROL_TRANSPARENCY_KID_EXPIRED")]
    [InlineData(Reason.TokenControlTransitionForbidden, 422, "TOKEN_CONTROL_TRANSITION_FORBIDDEN")]
    public async Task Code_and_status_are_clawverifys(Reason reason, int status, string code)
    {
        edge.Verifier.Answer = _ => new() { Verdict = FakeVerifier.Invalid(reason, "s") };
        var answer = await edge.Http.PostAsync(Path, """{"token":"a.b.c"}""");
        Assert.Equal((status, code), ((int)answer.Status, answer.Json.GetProperty("error").GetProperty("code").GetString()));
        Assert.Equal("result remediation_hints error", answer.Members);

        edge.Verifier.Answer = _ => throw new Refusal((Tokens.Reason)reason, "s");
        answer = await edge.Http.PostAsync(Path, """{"token":"a.b.c"}""");
        Assert.Equal((status, "INVALID", "s"), ((int)answer.Status, answer.Json.GetProperty("result").GetProperty("status").GetString(), answer.Json.GetProperty("error").GetProperty("message").GetString()));
    }

    [Fact]
    public async Task Hints_are_told_by_the_contract_s_codes()
    {
        string[] codes =
        [
            "REGISTER_OWNER_BINDING", "REGISTER_CONTROLLER", "REGISTER_AGENT_UNDER_CONTROLLER", "UPDATE_SENSITIVE_POLICY", "USE_CANONICAL_CST_LANE", "REQUEST_REQUIRED_SCOPE",
            "REQUEST_REQUIRED_AUDIENCE", "REISSUE_TOKEN", "ROTATE_KEYS_WITH_OVERLAP", "SYNC_REVOCATION_STREAM", "CHECK_CONTROL_CHAIN_CONFIG",
        ];
        edge.Verifier.Answer = _ => new()
        {
            Verdict = FakeVerifier.Invalid(Reason.Revoked, "s"),
            RemediationHints = { System.Enum.GetValues<RemediationCode>().Where(code => code != RemediationCode.Unspecified).Select(code => new RemediationHint { Code = code, Message = "m", Action = "a" }) },
        };
        var answer = await edge.Http.PostAsync(Path, """{"token":"a.b.c"}""");
        Assert.Equal(codes, answer.Json.GetProperty("remediation_hints").EnumerateArray().Select(hint => hint.GetProperty("code").GetString()));
    }

    [Theory]
    [InlineData("7", "PARSE_ERROR", null)]
    [InlineData("{}", "MISSING_REQUIRED_FIELD", "token")]
    [InlineData("""{"token":7}""", "MISSING_REQUIRED_FIELD", "token")]
    public async Task A_body_without_a_token_is_400(string body, string code, string? field)
    {
        var answer = await edge.Http.PostAsync(Path, body);
        var error = answer.Json.GetProperty("error");
        Assert.Equal((400, code, field), ((int)answer.Status, error.GetProperty("code").GetString(), error.TryGetProperty("field", out var named) ? named.GetString() : null));
    }

    [Fact]
    public async Task A_body_that_is_no_JSON_is_told_plainly()
    {
        var answer = await edge.Http.PostAsync(Path, "{");
        Assert.Equal((400, """{"error":"Invalid JSON in request body"}"""), ((int)answer.Status, answer.Text));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("https://127.0.0.1:1")]
    public async Task Without_a_Verifier_it_is_503(string? address)
    {
        await using var face = await edge.StartEdgeAsync(new() { ["CLAW_VERIFIER"] = address });
        var answer = await face.PostAsync(Path, """{"token":"a.b.c"}""");
        Assert.Equal((503, "DEPENDENCY_NOT_CONFIGURED"), ((int)answer.Status, answer.Json.GetProperty("error").GetProperty("code").GetString()));
    }
}
