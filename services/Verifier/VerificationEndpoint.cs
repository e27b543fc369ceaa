using ClawBureau.Client;
using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Verifier;

/// <summary>clawbureau.verification.v1 on the wire.</summary>
internal sealed class VerificationEndpoint(TokenVerifier tokens, TokenControl control, ControlChains chains, PublicGate gate, SteadyClock clock)
    : VerificationService.VerificationServiceBase
{
    private const int MostTokens = 1000;

    public override async Task<VerifyTokenResponse> VerifyToken(VerifyTokenRequest request, ServerCallContext context)
    {
        if (JsText.IsBlank(request.Token)) throw Refusal.OfField(Reason.InvalidRequest, "token", "token is required");
        var verification = await tokens.VerifyAsync(
            request.Token, Mapping.ToRequirements(request.Requirements), Mapping.ToFreshness(request.Consistency, Freshness.Default), context.CancellationToken);
        return Mapping.ToResponse(verification, clock.UtcNow);
    }

    public override async Task<BatchVerifyTokensResponse> BatchVerifyTokens(BatchVerifyTokensRequest request, ServerCallContext context)
    {
        if (request.Tokens.Count == 0) throw Refusal.OfField(Reason.InvalidRequest, "tokens", "tokens is required");
        if (request.Tokens.Count > MostTokens) throw new Refusal(Reason.BatchTooLarge, $"A batch has at most {MostTokens} tokens");
        var requirements = Mapping.ToRequirements(request.Requirements);
        var freshness = Mapping.ToFreshness(request.Consistency, Freshness.Default);
        var batch = await tokens.VerifyBatchAsync(request.Tokens, requirements, freshness, context.CancellationToken);
        var now = clock.UtcNow;
        var response = new BatchVerifyTokensResponse { Confidence = Mapping.ToConfidence(batch.Confidence) };
        foreach (var (token, verification) in request.Tokens.Zip(batch.Verifications))
        {
            response.Results.Add(JsText.IsBlank(token)
                ? new BatchVerifyTokensResult { Error = new Error { Reason = Protos.Types.V1.Reason.InvalidRequest, Sentence = "token is required" } }
                : new BatchVerifyTokensResult { Answer = Mapping.ToResponse(verification, now, withConfidence: false) });
        }
        return response;
    }

    public override Task<VerifyTokenControlResponse> VerifyTokenControl(VerifyTokenControlRequest request, ServerCallContext context)
    {
        gate.Admit(context.GetCaller());
        return control.VerifyAsync(request, Mapping.ToFreshness(request.Consistency, Freshness.Linearizable), context.CancellationToken);
    }

    public override async Task<VerifyControlChainResponse> VerifyControlChain(VerifyControlChainRequest request, ServerCallContext context)
    {
        gate.Admit(context.GetCaller());
        foreach (var (field, did) in new[] { ("owner_did", request.OwnerDid), ("controller_did", request.ControllerDid), ("agent_did", request.AgentDid) })
        {
            if (JsText.IsBlank(did)) throw Refusal.OfField(Reason.MissingRequiredField, field, $"{field} is required");
            if (!Did.TryParse(did, out _)) throw Refusal.OfField(Reason.InvalidDidFormat, field, $"{field} is not a DID");
        }
        var chain = await chains.FindAsync(request.OwnerDid, request.ControllerDid, request.AgentDid, context.CancellationToken);
        var response = new VerifyControlChainResponse
        {
            Verdict = Mapping.ToVerdict(chain.Fault, chain.Sentence, chain.Field, clock.UtcNow),
            OwnerDid = request.OwnerDid,
            ControllerDid = request.ControllerDid,
            AgentDid = request.AgentDid,
            ChainActive = chain.Fault is null,
            PolicyHashB64U = chain.PolicyHash,
            Revision = chain.Revision,
        };
        if (chain.Fault is { } fault) response.RemediationHints.Add(Hints.ForChain(fault));
        return response;
    }
}
