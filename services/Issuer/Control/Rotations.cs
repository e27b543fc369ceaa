using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>What is to be rotated.</summary>
/// <param name="ControllerDid">Role agent only: present or former.</param>
internal sealed record RotationOrder(AliasRole Role, string FromDid, string ToDid, string? ControllerDid);

/// <inheritdoc cref="ControllerAnswer"/>
internal sealed record RotationAnswer(Alias Alias, ActOutcome? Outcome);

/// <summary>
/// Replaces a DID by another one and leaves an alias (control-plane-http.md 2.5). An agent's alias holds within its controller
/// only: nobody moves an agent of somebody else (section 9, item 3).
/// </summary>
internal sealed class Rotations(ControlLedger ledger)
{
    /// <exception cref="Refusal">In the contract's order; GROUP_BLOCKED, LEDGER_*.</exception>
    public Task<RotationAnswer> ConfirmAsync(SignedOrder order, RotationOrder rotation, CancellationToken cancellationToken) => ledger.ActAsync(
        snapshot => rotation.Role == AliasRole.Controller ? RotateControllerAsync(snapshot, order, rotation) : RotateAgentAsync(snapshot, order, rotation),
        cancellationToken);

    private static async Task<Decision<RotationAnswer>> RotateControllerAsync(ControlSnapshot snapshot, SignedOrder order, RotationOrder rotation)
    {
        var existing = await snapshot.FindControllerAliasAsync(rotation.FromDid);
        var target = await snapshot.FindControllerAsync(rotation.ToDid);
        var challenge = await snapshot.RequireChallengeAsync(order, Purpose.ConfirmRotation, c => Fits(c, rotation, null), target?.LastChallengeId);
        if (existing is { Active: true } && existing.ToDid != rotation.ToDid) throw new Refusal(Reason.RotationConflict);
        var confirmed = existing is { Active: true } && existing.OwnerDid == order.OwnerDid;
        if (target is not null && !confirmed) throw new Refusal(Reason.RotationTargetConflict);
        var binding = await snapshot.RequireBindingAsync(rotation.ToDid, Reason.RotationTargetBindingRequired);
        var former = await snapshot.FindControllerAsync(rotation.FromDid) ?? throw new Refusal(Reason.ControllerNotFound);
        former.RequireOwner(order.OwnerDid);
        if (!confirmed) former.RequireActive();
        former.RequireThawed(snapshot.Now);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
        if (confirmed) return Decision<RotationAnswer>.Stands(new(existing!, null), challenge.ChallengeId);

        var alias = AliasOf(snapshot, order, rotation, "");
        var controller = former.ChangedBy(challenge.ChallengeId, snapshot.Now) with
        {
            ControllerDid = rotation.ToDid,
            RotatedFromDid = rotation.FromDid,
            RotationConfirmedAt = snapshot.Now,
            Consented = rotation.ToDid == order.OwnerDid,
        };
        var agents = await snapshot.ListAgentsAsync(rotation.FromDid);
        var aliases = await snapshot.ListAgentAliasesAsync(rotation.FromDid);
        var act = ActOf(snapshot, order, rotation, challenge) with
        {
            Bindings = [binding],
            Controllers = [former.ChangedBy(challenge.ChallengeId, snapshot.Now) with { Active = false }, controller],
            Agents =
            [
                .. agents.Select(agent => agent with { ControllerDid = rotation.ToDid, PolicyHash = controller.PolicyHash, Seq = 0 }),
                .. agents.Where(agent => agent.Active).Select(agent => agent with { Active = false, Seq = 0 }),
            ],
            Aliases = [alias, .. aliases.Select(agentAlias => agentAlias with { ControllerDid = rotation.ToDid, Seq = 0 })],
        };
        return Decision<RotationAnswer>.Record(act, outcome => new(alias, outcome));
    }

    private static async Task<Decision<RotationAnswer>> RotateAgentAsync(ControlSnapshot snapshot, SignedOrder order, RotationOrder rotation)
    {
        var resolved = await snapshot.ResolveControllerAsync(rotation.ControllerDid!);
        var existing = await snapshot.FindAgentAliasAsync(resolved.Did, rotation.FromDid);
        var target = await snapshot.FindAgentAsync(resolved.Did, rotation.ToDid);
        var challenge = await snapshot.RequireChallengeAsync(order, Purpose.ConfirmRotation, c => Fits(c, rotation, resolved.Did), target?.LastChallengeId);
        if (existing is { Active: true } && existing.ToDid != rotation.ToDid) throw new Refusal(Reason.RotationConflict);
        var confirmed = existing is { Active: true } && existing.OwnerDid == order.OwnerDid;
        if (target is not null && !confirmed) throw new Refusal(Reason.RotationTargetConflict);
        var binding = await snapshot.RequireBindingAsync(rotation.ToDid, Reason.RotationTargetBindingRequired);
        var controller = resolved.Record ?? throw new Refusal(Reason.ControllerNotFound);
        controller.RequireOwner(order.OwnerDid);
        controller.RequireActive();
        controller.RequireThawed(snapshot.Now);
        var former = await snapshot.FindAgentAsync(controller.ControllerDid, rotation.FromDid) ?? throw new Refusal(Reason.ControllerAgentNotFound);
        if (!confirmed && !former.Active) throw new Refusal(Reason.ControllerAgentNotFound);
        // As with registering it: what the DID's holder agreed to elsewhere stands.
        if ((await snapshot.ListForeignAgentsAsync(rotation.ToDid, order.OwnerDid)).Any(claim => claim.Consented)) throw new Refusal(Reason.RotationTargetConflict);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
        if (confirmed) return Decision<RotationAnswer>.Stands(new(existing!, null), challenge.ChallengeId);

        var alias = AliasOf(snapshot, order, rotation, controller.ControllerDid);
        var agent = former with
        {
            AgentDid = rotation.ToDid,
            LastChallengeId = challenge.ChallengeId,
            PolicyHash = controller.PolicyHash,
            RotatedFromDid = rotation.FromDid,
            RotationConfirmedAt = snapshot.Now,
            Consented = rotation.ToDid == order.OwnerDid,
            Seq = 0,
        };
        var act = ActOf(snapshot, order, rotation with { ControllerDid = controller.ControllerDid }, challenge) with
        {
            Bindings = [binding],
            Controllers = [controller],
            Agents = [former with { Active = false, LastChallengeId = challenge.ChallengeId, Seq = 0 }, agent],
            Aliases = [alias],
        };
        return Decision<RotationAnswer>.Record(act, outcome => new(alias, outcome));
    }

    private static bool Fits(Challenge challenge, RotationOrder rotation, string? controllerDid) =>
        challenge.RotationRole == rotation.Role && challenge.FromDid == rotation.FromDid && challenge.ToDid == rotation.ToDid
        && (rotation.Role == AliasRole.Controller || challenge.ControllerDid == controllerDid);

    private static Alias AliasOf(ControlSnapshot snapshot, SignedOrder order, RotationOrder rotation, string within) => new()
    {
        Role = rotation.Role,
        ControllerDid = within,
        FromDid = rotation.FromDid,
        ToDid = rotation.ToDid,
        OwnerDid = order.OwnerDid,
        Active = true,
        ConfirmedAt = snapshot.Now,
    };

    private static ControlAct ActOf(ControlSnapshot snapshot, SignedOrder order, RotationOrder rotation, Challenge challenge) => new()
    {
        What = EventKind.RotationConfirmed,
        Caller = order.OwnerDid,
        Correlation = order.Correlation,
        About = rotation.ToDid,
        Facts = new Dictionary<string, object?>
        {
            ["challenge_id"] = challenge.ChallengeId,
            ["controller_did"] = rotation.ControllerDid,
            ["from_did"] = rotation.FromDid,
            ["owner_did"] = order.OwnerDid,
            ["rotation_role"] = rotation.Role == AliasRole.Controller ? "controller" : "agent",
            ["to_did"] = rotation.ToDid,
        },
        ChallengeId = challenge.ChallengeId,
        Seen = snapshot.Seen,
        MustNotBeBlocked = [.. ChainGroups.OfDid(rotation.FromDid, order.OwnerDid).Concat(ChainGroups.OfDid(rotation.ToDid, order.OwnerDid)), .. ChainGroups.OfDid(order.OwnerDid)],
        // What is dead under the old DID does not come back under the new one.
        Cuts = [.. ChainGroups.OfDid(rotation.ToDid, order.OwnerDid).Zip(ChainGroups.OfDid(rotation.FromDid, order.OwnerDid), (to, from) => new CutOrder(to, from))],
    };
}
