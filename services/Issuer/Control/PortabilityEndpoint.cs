using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;

namespace ClawBureau.Issuer.Control;

/// <summary>clawbureau.control.v1.PortabilityService on the wire.</summary>
internal sealed class PortabilityEndpoint(Portability portability) : PortabilityService.PortabilityServiceBase
{
    public override async Task<ExportIdentityResponse> ExportIdentity(ExportIdentityRequest request, ServerCallContext context)
    {
        var order = ControlMapping.ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context.GetCorrelation());
        var withHmac = request.BundleVersion switch
        {
            BundleVersion.Unspecified or BundleVersion.Ed25519 => false,
            BundleVersion.Hmac => true,
            _ => throw Refusal.OfField(Reason.InvalidRequest, "bundle_version", "bundle_version must be 1 or 2"),
        };
        var answer = await portability.ExportAsync(
            order, ControlMapping.ToRequired(request.ControllerDid, "controller_did"), ControlMapping.ToOptional(request.AgentDid, "agent_did"), withHmac, context.CancellationToken);
        return new ExportIdentityResponse
        {
            BundleJson = ByteString.CopyFrom(answer.Bundle),
            BundleHashB64U = answer.BundleHash,
            Act = ControlMapping.ToAct(answer.Outcome, "identity-export", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<ImportIdentityResponse> ImportIdentity(ImportIdentityRequest request, ServerCallContext context)
    {
        var order = ControlMapping.ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context.GetCorrelation());
        var answer = await portability.ImportAsync(order, request.BundleJson.Memory, context.CancellationToken);
        return new ImportIdentityResponse
        {
            BundleHashB64U = answer.BundleHash,
            ControllerDid = answer.ControllerDid,
            AlreadyImported = answer.Outcome is null,
            Act = ControlMapping.ToAct(answer.Outcome, "identity-import", order.OwnerDid, answer.BundleHash),
        };
    }
}
