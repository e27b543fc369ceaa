using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Control.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace ClawBureau.Issuer.Control;

/// <summary>clawbureau.control.v1.BootstrapService on the wire.</summary>
internal sealed class BootstrapEndpoint(TokenExchange exchange) : BootstrapService.BootstrapServiceBase
{
    public override async Task<CreateTokenChallengeResponse> CreateTokenChallenge(CreateTokenChallengeRequest request, ServerCallContext context)
    {
        var (challenge, ttl) = await exchange.ChallengeAsync(new ExchangeOrder
        {
            OwnerDid = ControlMapping.ToDid(request.OwnerDid, "owner_did"),
            Audience = request.Aud,
            Scope = request.Scope,
            Ttl = request.Ttl?.ToTimeSpan(),
            OwnerAttestationId = ControlMapping.ToOptional(request.OwnerAttestationId, "owner_attestation_id"),
            MissionId = request.HasMissionId ? ControlMapping.ToOptional(request.MissionId, "mission_id") : null,
            ControllerDid = ControlMapping.ToOptional(request.ControllerDid, "controller_did"),
            AgentDid = ControlMapping.ToOptional(request.AgentDid, "agent_did"),
        }, context.CancellationToken);
        return new CreateTokenChallengeResponse
        {
            ChallengeId = challenge.ChallengeId,
            OwnerDid = challenge.OwnerDid,
            Message = challenge.Message,
            ExpiresAt = ControlMapping.ToTimestamp(challenge.ExpiresAt),
            Ttl = Duration.FromTimeSpan(ttl),
        };
    }

    public override async Task<ExchangeTokenResponse> ExchangeToken(ExchangeTokenRequest request, ServerCallContext context)
    {
        var order = ControlMapping.ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context.GetCorrelation());
        order.RequireFields();
        var minted = await exchange.ExchangeAsync(order, request.HasRunId ? ControlMapping.ToOptional(request.RunId, "run_id") : null, context.CancellationToken);
        return new ExchangeTokenResponse { OwnerDid = order.OwnerDid, Issued = Mapping.ToResponse(minted) };
    }

    public override async Task<BootstrapDelegationResponse> BootstrapDelegation(BootstrapDelegationRequest request, ServerCallContext context)
    {
        var (delegator, acting) = (ControlMapping.ToRequired(request.DelegatorDid, "delegator_did"), ControlMapping.ToRequired(request.DelegateDid, "delegate_did"));
        var (revision, at) = await exchange.CheckDelegationAsync(delegator, acting, context.CancellationToken);
        return new BootstrapDelegationResponse
        {
            DelegatorDid = delegator,
            DelegateDid = acting,
            CheckedAt = ControlMapping.ToTimestamp(at),
            Revision = ControlMapping.ToWire(revision),
        };
    }
}
