using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Reason = ClawBureau.Protos.Types.V1.Reason;

namespace ClawBureau.Edge.Tests;

/// <summary>POST /v1/verify/control-chain: control-plane-http.md 3.2, in clawverify's own form.</summary>
[Collection(EdgeSuite.Name)]
public sealed class VerifyChainTests(EdgeFixture edge)
{
    private const string Path = "/v1/verify/control-chain";

    [Fact]
    public async Task A_chain_that_is_valid_and_active_is_200()
    {
        VerifyControlChainRequest? seen = null;
        edge.Verifier.AnswerChain = request =>
        {
            seen = request;
            return new VerifyControlChainResponse
            {
                Verdict = FakeVerifier.Valid("Owner/controller/agent chain is valid and active"),
                OwnerDid = "did:key:zO",
                ControllerDid = "did:key:zC",
                AgentDid = "did:key:zA",
                ChainActive = true,
                PolicyHashB64U = "ph",
            };
        };
        var answer = await edge.Canonical.PostAsync(Path, """{"owner_did":"did:key:zO","controller_did":"did:key:zC","agent_did":"did:key:zA"}""");
        Assert.Equal("""
            {"result":{"status":"VALID","reason":"Owner/controller/agent chain is valid and active","verified_at":"2027-01-15T08:00:00.250Z"},"owner_did":"did:key:zO","controller_did":"did:key:zC","agent_did":"did:key:zA","chain_active":true,"policy_hash_b64u":"ph","remediation_hints":[]}
            """, answer.Text);
        Assert.Equal((200, "application/json", "1"), ((int)answer.Status, answer.Headers["content-type"], answer.Headers["x-clawverify-version"]));
        Assert.Equal(("did:key:zO", "did:key:zC", "did:key:zA"), (seen!.OwnerDid, seen.ControllerDid, seen.AgentDid));
    }

    [Fact]
    public async Task A_chain_that_is_not_there_is_422_with_hints()
    {
        edge.Verifier.AnswerChain = request => new VerifyControlChainResponse
        {
            Verdict = FakeVerifier.Invalid(Reason.ControlChainNotFound, "Control chain not found"),
            OwnerDid = request.OwnerDid,
            ControllerDid = request.ControllerDid,
            AgentDid = request.AgentDid,
            RemediationHints = { new RemediationHint { Code = RemediationCode.RegisterController, Message = "m", Action = "a" } },
        };
        var answer = await edge.Http.PostAsync(Path, """{"owner_did":"o","controller_did":"c","agent_did":"a"}""");
        Assert.Equal("""
            {"result":{"status":"INVALID","reason":"Control chain not found","verified_at":"2027-01-15T08:00:00.250Z"},"owner_did":"o","controller_did":"c","agent_did":"a","chain_active":false,"remediation_hints":[{"code":"REGISTER_CONTROLLER","message":"m","action":"a"}],"error":{"code":"CONTROL_CHAIN_NOT_FOUND","message":"Control chain not found"}}
            """, answer.Text);
        Assert.Equal(422, (int)answer.Status);
    }

    [Theory]
    [InlineData(Reason.ControlChainContextMismatch, "CONTROL_CHAIN_CONTEXT_MISMATCH")]
    [InlineData(Reason.ClaimNotFound, "CLAIM_NOT_FOUND")]
    public async Task A_chain_that_is_another_one_or_not_active_is_422(Reason reason, string code)
    {
        edge.Verifier.AnswerChain = request => new VerifyControlChainResponse { Verdict = FakeVerifier.Invalid(reason, "s", "owner_did") };
        var answer = await edge.Http.PostAsync(Path, """{"owner_did":"o","controller_did":"c","agent_did":"a"}""");
        var error = answer.Json.GetProperty("error");
        Assert.Equal((422, code, "s", "owner_did"), ((int)answer.Status, error.GetProperty("code").GetString(), error.GetProperty("message").GetString(), error.GetProperty("field").GetString()));
    }

    [Theory]
    [InlineData(Tokens.Reason.MissingRequiredField, 400, "MISSING_REQUIRED_FIELD")]
    [InlineData(Tokens.Reason.InvalidDidFormat, 400, "INVALID_DID_FORMAT")]
    [InlineData(Tokens.Reason.DependencyNotConfigured, 503, "DEPENDENCY_NOT_CONFIGURED")]
    [InlineData(Tokens.Reason.PeerUnavailable, 503, "DEPENDENCY_NOT_CONFIGURED")]
    public async Task What_the_Verifier_refuses_has_clawverifys_status(Tokens.Reason reason, int status, string code)
    {
        edge.Verifier.AnswerChain = _ => throw Refusal.OfField(reason, "owner_did", "s");
        var answer = await edge.Http.PostAsync(Path, """{"owner_did":7}""");
        Assert.Equal((status, code), ((int)answer.Status, answer.Json.GetProperty("error").GetProperty("code").GetString()));
        Assert.Equal("INVALID", answer.Json.GetProperty("result").GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_body_that_is_no_object_is_a_parse_error_and_one_that_is_no_JSON_is_told_plainly()
    {
        Assert.Equal("PARSE_ERROR", (await edge.Http.PostAsync(Path, "7")).Json.GetProperty("error").GetProperty("code").GetString());
        var answer = await edge.Http.PostAsync(Path, "{");
        Assert.Equal((400, """{"error":"Invalid JSON in request body"}"""), ((int)answer.Status, answer.Text));
    }
}
