using ClawBureau.Hosting.Calls;
using ClawBureau.Issuer.Control;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.issuance.v1 on the wire.</summary>
internal sealed class IssuanceEndpoint(TokenMint mint, CanonicalLane lane) : IssuanceService.IssuanceServiceBase
{
    public override async Task<IssueTokenResponse> IssueToken(IssueTokenRequest request, ServerCallContext context)
    {
        var order = Mapping.ToOrder(request, context.GetCaller(), context.GetCorrelation());
        if (order.Lane == TokenLane.Canonical) order = order with { Judge = lane.JudgeAsync };
        var minted = await mint.IssueAsync(order, context.CancellationToken);
        return Mapping.ToResponse(minted);
    }
}
