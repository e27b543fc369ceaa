using System.Collections.Concurrent;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>
/// Judges canonical grants by their chain (clawscope-http.md 1.1, 6.3). A chain that was read is good while no control act was
/// recorded since; a refusal is only ever made from a chain that was read for it.
/// </summary>
internal sealed class CanonicalLane(Chains chains, ControlViews views)
{
    private const int MostKept = 10_000;

    private readonly ConcurrentDictionary<(string Controller, string Agent), Chain> _kept = new();

    /// <inheritdoc cref="ChainJudge"/>
    /// <exception cref="Refusal">CONTROL_CHAIN_*, CONTROLLER_TRANSFER_FROZEN, SENSITIVE_SCOPE_NOT_ALLOWED, CONTROL_POLICY_HASH_MISMATCH.</exception>
    public async Task<ChainedGrant> JudgeAsync(TokenGrant grant, bool afresh, CancellationToken cancellationToken)
    {
        var (controller, agent) = (grant.ControllerDid.ToString()!, grant.AgentDid.ToString()!);
        if (!afresh && _kept.TryGetValue((controller, agent), out var kept) && kept.ControlSeq == views.Current?.ControlSeq && FindFlaw(grant, kept) is null)
            return Chained(grant, kept);

        var chain = await LookUpAsync(controller, agent, cancellationToken);
        if (_kept.Count >= MostKept) _kept.Clear();
        _kept[(controller, agent)] = chain;
        return FindFlaw(grant, chain) is { } flaw ? throw flaw : Chained(grant, chain);
    }

    private static ChainedGrant Chained(TokenGrant grant, Chain chain) =>
        new(grant with { ControlPlanePolicyHash = chain.Controller.Record!.Policy().Hash }, chain.Seen, chain.ControlSeq);

    private async Task<Chain> LookUpAsync(string controller, string agent, CancellationToken cancellationToken)
    {
        try
        {
            return await chains.FindChainAsync(controller, agent, cancellationToken);
        }
        catch (Refusal refusal) when (refusal.Reason is Reason.ControllerNotFound or Reason.ControllerAgentNotFound)
        {
            var entry = ReasonCatalog.Of(refusal.Reason);
            throw new Refusal(Reason.ControlChainNotFound, metadata: new Dictionary<string, string>
            {
                ["upstream_error"] = entry.Code,
                ["upstream_message"] = refusal.Sentence ?? entry.Sentence,
                ["upstream_status"] = $"{entry.HttpStatus}",
            });
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.LedgerUnavailable)
        {
            throw new Refusal(Reason.ControlChainLookupFailed, "Control chain lookup failed", inner: refusal);
        }
    }

    /// <summary>The contract's rows in its order; the freeze stands where the chain is known to be the caller's.</summary>
    private static Refusal? FindFlaw(TokenGrant grant, Chain chain)
    {
        var controller = chain.Controller.Record!;
        if (!chain.Active) return new Refusal(Reason.ControlChainInactive);
        if (controller.OwnerDid != grant.OwnerDid.ToString()) return new Refusal(Reason.ControlChainOwnerMismatch);
        if (chain.Controller.Did != grant.ControllerDid.ToString() || chain.Agent.Did != grant.AgentDid.ToString()) return new Refusal(Reason.ControlChainContextMismatch);
        if (chain.TransferState == TransferState.Pending) return new Refusal(Reason.ControllerTransferFrozen);
        var policy = controller.Policy();
        var beyond = grant.SensitiveScopes.Except(policy.AllowedSensitiveScopes, StringComparer.Ordinal).ToList();
        if (beyond.Count > 0)
        {
            var scopes = string.Join(", ", beyond);
            return new Refusal(
                Reason.SensitiveScopeNotAllowed,
                $"Requested sensitive scope(s) are not allowed by control policy: {scopes}",
                new Dictionary<string, string> { ["scopes"] = scopes });
        }
        return grant.ControlPlanePolicyHash is { } pinned && pinned != policy.Hash ? new Refusal(Reason.ControlPolicyHashMismatch) : null;
    }
}
