using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Issuance.V1;
using Grpc.Core;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.issuance.v1 on the wire.</summary>
public sealed class IssuanceEndpoint(TokenMint mint) : IssuanceService.IssuanceServiceBase
{
    public override async Task<IssueTokenResponse> IssueToken(IssueTokenRequest request, ServerCallContext context)
    {
        var order = Mapping.ToOrder(request, context.GetCaller(), context.GetCorrelation());
        var minted = await mint.IssueAsync(order, context.CancellationToken);
        return Mapping.ToResponse(minted);
    }
}
