using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>Owner, controller and agent as one read of the ledger sees them.</summary>
/// <param name="Active">Controller, agent and the bindings of all three DIDs are.</param>
/// <param name="Seen">What it was read from.</param>
internal sealed record Chain(
    Resolved<Controller> Controller, Resolved<Agent> Agent, bool Active, TransferState TransferState, Revision Revision, long ControlSeq, IReadOnlyList<Seen> Seen);

/// <summary>A page of a controller's agents.</summary>
internal sealed record AgentPage(Resolved<Controller> Controller, TransferState TransferState, IReadOnlyList<Agent> Agents, string? Next);

/// <summary>Reads controllers and chains (control-plane-http.md 2.9). Anybody may; nothing here is secret.</summary>
internal sealed class Chains(ControlLedger ledger)
{
    /// <exception cref="Refusal">CONTROLLER_NOT_FOUND, LEDGER_UNAVAILABLE.</exception>
    public Task<(Resolved<Controller> Controller, TransferState State)> FindControllerAsync(string did, CancellationToken cancellationToken) =>
        ledger.ReadAsync(async snapshot =>
        {
            var resolved = await snapshot.ResolveControllerAsync(did);
            return resolved.Record is { } controller ? (resolved, controller.StateAt(snapshot.Now)) : throw new Refusal(Reason.ControllerNotFound);
        }, cancellationToken);

    /// <param name="after">The last agent of the page before; null: from the first.</param>
    /// <exception cref="Refusal">CONTROLLER_NOT_FOUND, LEDGER_UNAVAILABLE.</exception>
    public Task<AgentPage> ListAgentsAsync(string did, string? after, int most, CancellationToken cancellationToken) => ledger.ReadAsync(async snapshot =>
    {
        var resolved = await snapshot.ResolveControllerAsync(did);
        if (resolved.Record is not { } controller) throw new Refusal(Reason.ControllerNotFound);
        var agents = await snapshot.ListAgentsAsync(resolved.Did, after ?? "", most + 1);
        return new AgentPage(resolved, controller.StateAt(snapshot.Now), [.. agents.Take(most)], agents.Count > most ? agents[most - 1].AgentDid : null);
    }, cancellationToken);

    /// <exception cref="Refusal">CONTROLLER_NOT_FOUND, CONTROLLER_AGENT_NOT_FOUND, LEDGER_UNAVAILABLE.</exception>
    public Task<Chain> FindChainAsync(string controllerDid, string agentDid, CancellationToken cancellationToken) => ledger.ReadAsync(async snapshot =>
    {
        var controller = await snapshot.ResolveControllerAsync(controllerDid);
        if (controller.Record is not { } holder) throw new Refusal(Reason.ControllerNotFound);
        var agent = await snapshot.ResolveAgentAsync(controller.Did, agentDid);
        if (agent.Record is not { } held) throw new Refusal(Reason.ControllerAgentNotFound);
        var bound = await snapshot.FindBindingAsync(holder.OwnerDid) is { Active: true }
            & await snapshot.FindBindingAsync(controller.Did) is { Active: true }
            & await snapshot.FindBindingAsync(agent.Did) is { Active: true };
        var (revision, controlSeq) = await snapshot.ReadHeadAsync();
        return new Chain(controller, agent, holder.Active && held.Active && bound, holder.StateAt(snapshot.Now), revision, controlSeq, snapshot.Seen);
    }, cancellationToken);
}
