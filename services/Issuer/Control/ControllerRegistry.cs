using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>A controller after a request about it.</summary>
/// <param name="Outcome">Null: it stood so before.</param>
internal sealed record ControllerAnswer(Controller Controller, ActOutcome? Outcome);

/// <inheritdoc cref="ControllerAnswer"/>
internal sealed record AgentAnswer(Agent Agent, ActOutcome? Outcome);

/// <summary>
/// Controllers, the agents under them, what they may be granted (control-plane-http.md 2.4). A DID that its holder did not sign
/// for is only claimed: the holder's own signature displaces the claim (section 9, item 2).
/// </summary>
internal sealed class ControllerRegistry(ControlLedger ledger, ControlOptions options)
{
    /// <param name="order">Signed by the owner.</param>
    /// <param name="controllerDid">Not resolved: a former DID is not registered under its new one.</param>
    /// <param name="scopes">Null: the default list.</param>
    /// <param name="consent">The controller's own signature over the same message; null where there is none.</param>
    /// <exception cref="Refusal">In the contract's order.</exception>
    public Task<ControllerAnswer> RegisterAsync(SignedOrder order, string controllerDid, IReadOnlyList<string>? scopes, string? consent, CancellationToken cancellationToken) =>
        ledger.ActAsync<ControllerAnswer>(async snapshot =>
        {
            var existing = await snapshot.FindControllerAsync(controllerDid);
            var challenge = await snapshot.RequireChallengeAsync(order, Purpose.RegisterController, c => c.ControllerDid == controllerDid, existing?.LastChallengeId);
            var binding = await snapshot.RequireBindingAsync(controllerDid, Reason.ControllerBindingRequired);
            var consented = consent is not null || controllerDid == order.OwnerDid;
            var isOwn = existing?.OwnerDid == order.OwnerDid;
            if (existing is not null && !isOwn && (existing.Consented || !consented)) throw new Refusal(Reason.ControllerOwnerMismatch);
            var policy = SensitivePolicy.Of(order.OwnerDid, scopes);
            if (challenge.PolicyHash is { } signed && signed != policy.Hash.ToString()) throw new Refusal(Reason.ChallengeContextMismatch);
            Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
            if (consent is not null) Signed.RequireSignature(challenge, controllerDid, consent);
            if (isOwn && (existing!.Consented || !consented)) return Decision<ControllerAnswer>.Stands(new(existing, null), challenge.ChallengeId);

            var act = new ControlAct
            {
                What = EventKind.ControllerRegistered,
                Caller = order.OwnerDid,
                Correlation = order.Correlation,
                About = controllerDid,
                Facts = new Dictionary<string, object?>
                {
                    ["allowed_sensitive_scopes"] = isOwn ? existing!.AllowedSensitiveScopes : policy.AllowedSensitiveScopes,
                    ["challenge_id"] = challenge.ChallengeId,
                    ["consented"] = consented,
                    ["controller_did"] = controllerDid,
                    ["displaced_owner_did"] = isOwn ? null : existing?.OwnerDid,
                    ["owner_did"] = order.OwnerDid,
                    ["policy_hash_b64u"] = isOwn ? existing!.PolicyHash : policy.Hash.ToString(),
                },
                ChallengeId = challenge.ChallengeId,
                Bindings = [binding],
            };
            var controller = isOwn
                ? existing!.ChangedBy(challenge.ChallengeId, snapshot.Now) with { Consented = true }
                : new Controller
                {
                    ControllerDid = controllerDid,
                    OwnerDid = order.OwnerDid,
                    Active = true,
                    Frozen = false,
                    PolicyHash = policy.Hash.ToString(),
                    AllowedSensitiveScopes = [.. policy.AllowedSensitiveScopes],
                    PolicyUpdatedAt = snapshot.Now,
                    RegisteredAt = snapshot.Now,
                    ChangedAt = snapshot.Now,
                    LastChallengeId = challenge.ChallengeId,
                    Consented = consented,
                };
            if (!isOwn && existing is not null) act = await DisplaceAsync(snapshot, act, existing);
            return Decision<ControllerAnswer>.Record(act with { Controllers = [controller], Seen = snapshot.Seen }, outcome => new(controller, outcome));
        }, cancellationToken);

    /// <param name="order">Signed by the owner.</param>
    /// <param name="requestedControllerDid">Its present or a former DID.</param>
    /// <param name="agentDid">Who becomes an agent.</param>
    /// <param name="consent">The agent's own signature over the same message; null where there is none.</param>
    /// <exception cref="Refusal">In the contract's order.</exception>
    public Task<AgentAnswer> RegisterAgentAsync(SignedOrder order, string requestedControllerDid, string agentDid, string? consent, CancellationToken cancellationToken) =>
        ledger.ActAsync<AgentAnswer>(async snapshot =>
        {
            var controller = await RequireControllerAsync(snapshot, requestedControllerDid);
            order.RequireFields(("agent_did", agentDid));
            var existing = await snapshot.FindAgentAsync(controller.ControllerDid, agentDid);
            var challenge = await snapshot.RequireChallengeAsync(
                order, Purpose.RegisterAgent, c => c.ControllerDid == controller.ControllerDid && c.AgentDid == agentDid, existing?.LastChallengeId);
            var binding = await snapshot.RequireBindingAsync(agentDid, Reason.AgentBindingRequired);
            controller.RequireActive();
            controller.RequireOwner(order.OwnerDid);
            controller.RequireThawed(snapshot.Now);
            if (existing is not null && existing.OwnerDid != order.OwnerDid) throw new Refusal(Reason.ControllerAgentOwnerMismatch);
            var consented = consent is not null || agentDid == order.OwnerDid;
            var claims = await snapshot.ListForeignAgentsAsync(agentDid, order.OwnerDid);
            // What the agent agreed to is not undone by somebody who only says so.
            if (!consented && claims.Any(claim => claim.Consented)) throw new Refusal(Reason.ControllerAgentOwnerMismatch);
            Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
            if (consent is not null) Signed.RequireSignature(challenge, agentDid, consent);
            if (existing is { Active: true } && (existing.Consented || !consented)) return Decision<AgentAnswer>.Stands(new(existing, null), challenge.ChallengeId);
            if (existing is null && await snapshot.CountAgentsAsync(controller.ControllerDid) >= options.AgentsPerController)
                throw new Refusal(Reason.ControllerAgentLimitReached, metadata: new Dictionary<string, string> { ["most"] = $"{options.AgentsPerController}" });

            var agent = new Agent
            {
                ControllerDid = controller.ControllerDid,
                AgentDid = agentDid,
                OwnerDid = order.OwnerDid,
                Active = true,
                RegisteredAt = existing?.RegisteredAt ?? snapshot.Now,
                LastChallengeId = challenge.ChallengeId,
                PolicyHash = controller.PolicyHash,
                Consented = consented,
            };
            // Registered again by its owner's signature, it is itself again and no former name of another.
            var former = await snapshot.FindAgentAliasAsync(controller.ControllerDid, agentDid);
            var displaced = consented ? claims.Where(claim => !claim.Consented).ToList() : [];
            var touched = new List<Controller> { controller };
            foreach (var did in displaced.Select(claim => claim.ControllerDid).Distinct(StringComparer.Ordinal))
            {
                if (await snapshot.FindControllerAsync(did) is { } other) touched.Add(other);
            }
            var act = new ControlAct
            {
                What = EventKind.AgentRegistered,
                Caller = order.OwnerDid,
                Correlation = order.Correlation,
                About = agentDid,
                Facts = new Dictionary<string, object?>
                {
                    ["agent_did"] = agentDid,
                    ["challenge_id"] = challenge.ChallengeId,
                    ["consented"] = consented,
                    ["controller_did"] = controller.ControllerDid,
                    ["displaced_owner_dids"] = displaced.Count == 0 ? null : displaced.Select(claim => claim.OwnerDid).Distinct(StringComparer.Ordinal),
                    ["owner_did"] = order.OwnerDid,
                    ["policy_hash_b64u"] = controller.PolicyHash,
                },
                ChallengeId = challenge.ChallengeId,
                Seen = snapshot.Seen,
                Bindings = [binding],
                Controllers = touched,
                Agents = [agent, .. displaced.Select(claim => claim with { Active = false, Seq = 0 })],
                Aliases = former is { Active: true } ? [former with { Active = false, Seq = 0 }] : [],
                Cuts = [.. displaced.Select(claim => new CutOrder(GroupKey.Of(RevocationKind.Agent, claim.OwnerDid, agentDid))).DistinctBy(cut => cut.Group)],
            };
            return Decision<AgentAnswer>.Record(act, outcome => new(agent, outcome));
        }, cancellationToken);

    /// <summary>A challenge that did not name the new list can only take scopes away (section 9, item 4).</summary>
    /// <exception cref="Refusal">In the contract's order.</exception>
    public Task<ControllerAnswer> UpdatePolicyAsync(SignedOrder order, string requestedControllerDid, IReadOnlyList<string>? scopes, CancellationToken cancellationToken) =>
        ledger.ActAsync<ControllerAnswer>(async snapshot =>
        {
            var existing = await RequireControllerAsync(snapshot, requestedControllerDid);
            order.RequireFields();
            var challenge = await snapshot.RequireChallengeAsync(order, Purpose.UpdateSensitivePolicy, c => c.ControllerDid == existing.ControllerDid);
            existing.RequireActive();
            existing.RequireOwner(order.OwnerDid);
            existing.RequireThawed(snapshot.Now);
            var policy = SensitivePolicy.Of(order.OwnerDid, scopes);
            if (challenge.PolicyHash is null && !policy.IsWithin(existing.Policy())) throw new Refusal(Reason.SensitivePolicyNotSigned);
            if (challenge.PolicyHash is { } signed && signed != policy.Hash.ToString()) throw new Refusal(Reason.ChallengeContextMismatch);
            Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);

            var controller = existing.ChangedBy(challenge.ChallengeId, snapshot.Now).With(policy, snapshot.Now);
            var act = new ControlAct
            {
                What = EventKind.SensitivePolicyUpdated,
                Caller = order.OwnerDid,
                Correlation = order.Correlation,
                About = controller.ControllerDid,
                Facts = new Dictionary<string, object?>
                {
                    ["allowed_sensitive_scopes"] = policy.AllowedSensitiveScopes,
                    ["challenge_id"] = challenge.ChallengeId,
                    ["controller_did"] = controller.ControllerDid,
                    ["owner_did"] = order.OwnerDid,
                    ["policy_hash_b64u"] = controller.PolicyHash,
                },
                ChallengeId = challenge.ChallengeId,
                Seen = snapshot.Seen,
                Controllers = [controller],
            };
            return Decision<ControllerAnswer>.Record(act, outcome => new(controller, outcome));
        }, cancellationToken);

    /// <exception cref="Refusal">CONTROLLER_NOT_FOUND</exception>
    public static async Task<Controller> RequireControllerAsync(ControlSnapshot snapshot, string did) =>
        (await snapshot.ResolveControllerAsync(did)).Record ?? throw new Refusal(Reason.ControllerNotFound);

    /// <summary>What was registered without the DID's consent ends: its agents, its alias, the tokens of its chain.</summary>
    private static async Task<ControlAct> DisplaceAsync(ControlSnapshot snapshot, ControlAct act, Controller existing)
    {
        var agents = await snapshot.ListAgentsAsync(existing.ControllerDid);
        var alias = await snapshot.FindControllerAliasAsync(existing.ControllerDid);
        return act with
        {
            Agents = [.. agents.Where(agent => agent.Active).Select(agent => agent with { Active = false, Seq = 0 })],
            Aliases = alias is { Active: true } ? [alias with { Active = false, Seq = 0 }] : [],
            Cuts = [new CutOrder(GroupKey.Of(RevocationKind.Controller, existing.OwnerDid, existing.ControllerDid))],
        };
    }
}
