using ClawBureau.Hosting.Telemetry;
using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>A group of tokens to be blocked or lifted.</summary>
/// <param name="Key">What it is called in the ledger.</param>
/// <param name="OwnerScope">The owner whose tokens alone are meant; empty: whoever owns them.</param>
/// <param name="OwnerDid">Whose tokens it concerns; null where that is not one owner.</param>
public sealed record GroupOrder(GroupKey Key, string OwnerScope, string? OwnerDid);

/// <summary>
/// Blocks groups of tokens, whatever their number, and lifts the blocks again. An owner acts on groups of its own scope alone,
/// and does not lift what an operator set.
/// </summary>
public sealed class GroupBlocks(IssuerOptions options, LedgerWriter ledger, ControlViews views, ILogger<GroupBlocks> log)
{
    /// <summary>Answered after commit; a standing block is answered as it stands.</summary>
    /// <exception cref="Refusal">OWNER_SCOPE_FORBIDDEN, REVOCATION_LIMIT_REACHED, TOKEN_REVOKED, TEXT_NOT_STORABLE, LEDGER_*.</exception>
    public Task<ActOutcome> BlockAsync(GroupOrder order, string? reason, ActingCaller caller, Correlation correlation, CancellationToken cancellationToken)
    {
        RequireOwn(order, caller);
        return AppendAsync(order, new BlockGroupAct
        {
            Caller = caller.Name,
            CallerToken = caller.Token,
            Correlation = correlation,
            Group = order.Key,
            Reason = reason,
            OwnerDid = order.OwnerDid,
            OwnerRows = caller.OwnerDid is null ? null : options.OwnerRows,
        }, cancellationToken);
    }

    /// <summary>Answered after commit; tokens issued up to then stay dead. A group lifted before is answered with that lift.</summary>
    /// <exception cref="Refusal">OWNER_SCOPE_FORBIDDEN, BLOCK_NOT_FOUND, TOKEN_REVOKED, TEXT_NOT_STORABLE, LEDGER_*.</exception>
    public Task<ActOutcome> LiftAsync(GroupOrder order, string? reason, ActingCaller caller, Correlation correlation, CancellationToken cancellationToken)
    {
        RequireOwn(order, caller);
        return AppendAsync(order, new LiftBlockAct
        {
            Caller = caller.Name,
            CallerToken = caller.Token,
            Correlation = correlation,
            Group = order.Key,
            Reason = reason,
            OwnerDid = order.OwnerDid,
            IsOwners = caller.OwnerDid is not null,
        }, cancellationToken);
    }

    private static void RequireOwn(GroupOrder order, ActingCaller caller)
    {
        if (caller.OwnerDid is { } owner && order.OwnerScope != owner) throw new Refusal(Reason.OwnerScopeForbidden);
    }

    private async Task<ActOutcome> AppendAsync(GroupOrder order, Act act, CancellationToken cancellationToken)
    {
        var outcome = await ledger.AppendAsync(act, cancellationToken);
        views.Observe(outcome.ControlSeq);
        switch (outcome.Verdict)
        {
            case Verdict.Recorded:
                SuiteMetrics.GroupsChanged.Add(1, new("kind", $"{order.Key.Kind}".ToLowerInvariant()), new("act", EventKinds.NameOf(act.Kind)));
                Log.GroupChanged(log, act.Kind, order.Key, outcome.Seq, outcome.RevocationSeq, act.Caller);
                return outcome;
            case Verdict.Repeated:
                return outcome;
            case Verdict.NotBlocked:
                throw new Refusal(Reason.BlockNotFound);
            case Verdict.OwnerLimitReached:
                throw new Refusal(Reason.RevocationLimitReached, metadata: new Dictionary<string, string> { ["most"] = $"{options.OwnerRows}" });
            case Verdict.OperatorsBlock:
                throw new Refusal(Reason.OwnerScopeForbidden, "An operator set this block; only an operator lifts it");
            default:
                throw new Refusal(Reason.Internal);
        }
    }
}
