using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.revocation.v1 on the wire.</summary>
public sealed class RevocationEndpoint(Revoker revoker) : RevocationService.RevocationServiceBase
{
    private const int MostTargets = 1000;

    public override async Task<RevokeTokensResponse> RevokeTokens(RevokeTokensRequest request, ServerCallContext context)
    {
        if (request.Targets.Count == 0) throw Refusal.OfField(Reason.InvalidRequest, "targets", "targets must name at least one token");
        if (request.Targets.Count > MostTargets)
            throw new Refusal(Reason.BatchTooLarge, metadata: new Dictionary<string, string> { ["most"] = $"{MostTargets}" });
        if (request.OwnerScope.Length > 0)
            throw Refusal.OfField(Reason.InvalidRequest, "owner_scope", "owner_scope is for callers who hold an owner's token; leave it empty");

        var caller = context.GetCaller().Name;
        var correlation = Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), request.MissionId, request.RunId);
        var reason = Mapping.ToReasonText(request.Reason);
        var results = await Task.WhenAll(request.Targets.Select(RevokeAsync));

        var response = new RevokeTokensResponse { Results = { results.Select(r => r.Result) } };
        var answered = results.Where(r => r.Outcome is not null).Select(r => r.Outcome!).ToList();
        if (answered.Count > 0) response.Revision = Mapping.ToRevision(answered);
        return response;

        async Task<(RevokeTokensResult Result, Ledger.ActOutcome? Outcome)> RevokeAsync(RevocationTarget target)
        {
            try
            {
                var order = Mapping.ToOrder(target);
                var outcome = await revoker.RevokeAsync(order, reason, caller, correlation, context.CancellationToken);
                return (new RevokeTokensResult { Revocation = Mapping.ToRevocation(order, outcome) }, outcome);
            }
            catch (Refusal refusal) when (request.Targets.Count > 1)        // one that cannot be revoked fails no other
            {
                return (new RevokeTokensResult { Error = Mapping.ToError(refusal) }, null);
            }
        }
    }
}
