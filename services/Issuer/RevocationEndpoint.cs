using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Ledger;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Issuer;

/// <summary>clawbureau.revocation.v1 on the wire.</summary>
public sealed class RevocationEndpoint(Revoker revoker, GroupBlocks blocks) : RevocationService.RevocationServiceBase
{
    private const int MostTargets = 1000;

    public override async Task<RevokeTokensResponse> RevokeTokens(RevokeTokensRequest request, ServerCallContext context)
    {
        if (request.Targets.Count == 0) throw Refusal.OfField(Reason.InvalidRequest, "targets", "targets must name at least one token");
        if (request.Targets.Count > MostTargets)
            throw new Refusal(Reason.BatchTooLarge, metadata: new Dictionary<string, string> { ["most"] = $"{MostTargets}" });

        var ownerScope = context.GetCaller().OwnerScopeWithin(request.OwnerScope);
        var caller = ActingCaller.Of(context.GetCaller());
        var correlation = Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), request.MissionId, request.RunId);
        var reason = Mapping.ToReasonText(request.Reason);
        // The caller's own token goes last: its revocation would refuse what is still to come.
        var results = new Task<(RevokeTokensResult Result, ActOutcome? Outcome)>[request.Targets.Count];
        foreach (var (i, target) in request.Targets.Index().OrderBy(t => IsOwn(t.Item))) results[i] = RevokeAsync(target);
        await Task.WhenAll(results);

        var response = new RevokeTokensResponse { Results = { results.Select(r => r.Result.Result) } };
        var answered = results.Select(r => r.Result.Outcome).OfType<ActOutcome>().ToList();
        if (answered.Count > 0) response.Revision = Mapping.ToRevision(answered);
        return response;

        bool IsOwn(RevocationTarget target) => caller.Token is { } own && target.TargetCase switch
        {
            RevocationTarget.TargetOneofCase.Token => TokenHash.Of(target.Token) == own.TokenHash,
            RevocationTarget.TargetOneofCase.TokenHash => TokenHash.TryParse(target.TokenHash, out var hash) && hash == own.TokenHash,
            _ => target.Jti == own.Jti,
        };

        async Task<(RevokeTokensResult Result, ActOutcome? Outcome)> RevokeAsync(RevocationTarget target)
        {
            try
            {
                var order = Mapping.ToOrder(target);
                var outcome = await revoker.RevokeAsync(order, ownerScope, reason, caller, correlation, context.CancellationToken);
                return (new RevokeTokensResult { Revocation = Mapping.ToRevocation(order, outcome) }, outcome);
            }
            catch (Refusal refusal) when (request.Targets.Count > 1)        // one that cannot be revoked fails no other
            {
                return (new RevokeTokensResult { Error = Mapping.ToError(refusal) }, null);
            }
        }
    }

    public override async Task<BlockGroupResponse> BlockGroup(BlockGroupRequest request, ServerCallContext context)
    {
        var order = BlockMapping.ToOrder(request.Group);
        var correlation = Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), request.MissionId, request.RunId);
        var outcome = await blocks.BlockAsync(order, Mapping.ToReasonText(request.Reason), ActingCaller.Of(context.GetCaller()), correlation, context.CancellationToken);
        return new BlockGroupResponse
        {
            Block = BlockMapping.ToBlock(order, outcome, blocked: true),
            AlreadyBlocked = outcome.Verdict == Verdict.Repeated,
            Revision = Mapping.ToRevision([outcome]),
        };
    }

    public override async Task<LiftBlockResponse> LiftBlock(LiftBlockRequest request, ServerCallContext context)
    {
        var order = BlockMapping.ToOrder(request.Group);
        var correlation = Mapping.ToCorrelation(request.Correlation, context.GetCorrelation(), request.MissionId, request.RunId);
        var outcome = await blocks.LiftAsync(order, Mapping.ToReasonText(request.Reason), ActingCaller.Of(context.GetCaller()), correlation, context.CancellationToken);
        return new LiftBlockResponse
        {
            Block = BlockMapping.ToBlock(order, outcome, blocked: false),
            AlreadyLifted = outcome.Verdict == Verdict.Repeated,
            Revision = Mapping.ToRevision([outcome]),
        };
    }
}
