using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace ClawBureau.Issuer.Control;

/// <summary>clawbureau.control.v1.BindingService on the wire.</summary>
internal sealed class BindingEndpoint(BindingRegistry bindings, ControlOptions options) : BindingService.BindingServiceBase
{
    public override async Task<CreateBindingChallengeResponse> CreateBindingChallenge(CreateBindingChallengeRequest request, ServerCallContext context)
    {
        var purpose = request.Purpose switch
        {
            BindingPurpose.Unspecified or BindingPurpose.Bind => Purpose.Bind,
            BindingPurpose.Revoke => Purpose.Revoke,
            _ => throw Refusal.OfField(Reason.InvalidRequest, "purpose", "purpose must be bind or revoke"),
        };
        var (challenge, nonce) = await bindings.ChallengeAsync(ControlMapping.ToDid(request.Did, "did"), purpose, context.CancellationToken);
        return new CreateBindingChallengeResponse
        {
            ChallengeId = challenge.ChallengeId,
            Purpose = purpose == Purpose.Bind ? BindingPurpose.Bind : BindingPurpose.Revoke,
            Did = challenge.OwnerDid,
            Nonce = nonce,
            Message = challenge.Message,
            ExpiresAt = ControlMapping.ToTimestamp(challenge.ExpiresAt),
            ExpiresIn = Duration.FromTimeSpan(options.ChallengeTtl),
        };
    }

    public override async Task<BindDidResponse> BindDid(BindDidRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.Did, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await bindings.BindAsync(order, context.CancellationToken);
        if (answer.Outcome is null) return new BindDidResponse { Did = order.OwnerDid, AlreadyBound = true };
        return new BindDidResponse
        {
            Did = order.OwnerDid,
            BoundAt = ControlMapping.ToTimestamp(answer.Binding.BoundAt),
            ChallengeId = answer.ChallengeId,
            Act = ControlMapping.ToAct(answer.Outcome, "binding-bind", order.OwnerDid, answer.ChallengeId),
        };
    }

    public override async Task<RevokeBindingResponse> RevokeBinding(RevokeBindingRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.Did, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await bindings.RevokeAsync(order, Mapping.ToReasonText(request.Reason), context.CancellationToken);
        return new RevokeBindingResponse
        {
            Did = order.OwnerDid,
            AlreadyRevoked = answer.Outcome is null,
            RevokedAt = ControlMapping.ToTimestamp(answer.Binding.RevokedAt),
            Act = ControlMapping.ToAct(answer.Outcome, "binding-revoke", order.OwnerDid, answer.ChallengeId),
        };
    }

    private static SignedOrder ToOrder(string did, string challengeId, string signature, Protos.Types.V1.Correlation? correlation, ServerCallContext context)
    {
        ControlMapping.ToRequired(did, "did");
        var order = ControlMapping.ToOrder(did, challengeId, signature, correlation, context.GetCorrelation(), "did");
        order.RequireFields();
        return order;
    }
}
