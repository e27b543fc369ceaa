using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>
/// Hands a controller to another owner (control-plane-http.md 2.6): requested and cancelled by the present owner, confirmed by
/// the new one. In between, until the deadline, the controller neither mints nor mutates (L9).
/// </summary>
internal sealed class Transfers(ControlLedger ledger, ControlOptions options)
{
    /// <param name="deadline">How long it may stay pending; null, or more than configured: as configured.</param>
    /// <exception cref="Refusal">In the contract's order.</exception>
    public Task<ControllerAnswer> RequestAsync(
        SignedOrder order, string requestedControllerDid, string targetDid, TimeSpan? deadline, CancellationToken cancellationToken) => ledger.ActAsync<ControllerAnswer>(async snapshot =>
    {
        var existing = await ControllerRegistry.RequireControllerAsync(snapshot, requestedControllerDid);
        order.RequireFields(("transfer_to_owner_did", targetDid));
        existing.RequireOwner(order.OwnerDid);
        var pending = existing.IsFrozenAt(snapshot.Now);
        if (pending && existing.TransferToOwnerDid != targetDid) throw new Refusal(Reason.TransferAlreadyPending);
        // Also for a transfer that is pending already: nothing is answered without a signature (section 9, item 8).
        var challenge = await snapshot.RequireChallengeAsync(
            order, Purpose.RequestTransfer, c => c.ControllerDid == existing.ControllerDid && c.TransferToOwnerDid == targetDid, pending ? existing.LastChallengeId : null);
        await snapshot.RequireBindingAsync(targetDid, Reason.TransferTargetBindingRequired);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
        if (pending) return Decision<ControllerAnswer>.Stands(new(existing, null), challenge.ChallengeId);
        existing.RequireActive();

        var most = deadline is { } asked && asked > TimeSpan.Zero && asked < options.TransferDeadline ? asked : options.TransferDeadline;
        var controller = existing.ChangedBy(challenge.ChallengeId, snapshot.Now) with
        {
            Frozen = true,
            TransferToOwnerDid = targetDid,
            TransferRequestedAt = snapshot.Now,
            TransferExpiresAt = snapshot.Now + most,
        };
        var act = ActOf(snapshot, order, EventKind.TransferRequested, controller, challenge, new()
        {
            ["deadline"] = new DateTimeOffset(controller.TransferExpiresAt.Value).ToUnixTimeSeconds(),
            ["from_owner_did"] = order.OwnerDid,
            ["to_owner_did"] = targetDid,
        });
        return Decision<ControllerAnswer>.Record(act, outcome => new(controller, outcome));
    }, cancellationToken);

    /// <param name="order">Signed by the new owner.</param>
    /// <param name="requestedControllerDid">Its present or a former DID.</param>
    /// <param name="statedTargetDid">What the request calls the new owner beside; null where it does not.</param>
    /// <exception cref="Refusal">In the contract's order; GROUP_BLOCKED.</exception>
    public Task<ControllerAnswer> ConfirmAsync(SignedOrder order, string requestedControllerDid, string? statedTargetDid, CancellationToken cancellationToken) =>
        ledger.ActAsync<ControllerAnswer>(async snapshot =>
        {
            var existing = await ControllerRegistry.RequireControllerAsync(snapshot, requestedControllerDid);
            order.RequireFields();
            if (statedTargetDid is not null && statedTargetDid != order.OwnerDid) throw new Refusal(Reason.TransferContextMismatch);
            if (!existing.Frozen && existing.TransferredAt is not null && existing.OwnerDid == order.OwnerDid)
                return Decision<ControllerAnswer>.Stands(new(existing, null));
            if (!existing.Frozen) throw new Refusal(Reason.TransferNotPending);
            if (existing.TransferToOwnerDid != order.OwnerDid) throw new Refusal(Reason.TransferOwnerMismatch);
            if (!existing.IsFrozenAt(snapshot.Now)) throw new Refusal(Reason.TransferDeadlinePassed);
            var challenge = await snapshot.RequireChallengeAsync(
                order, Purpose.ConfirmTransfer, c => c.ControllerDid == existing.ControllerDid && c.TransferToOwnerDid == order.OwnerDid);
            Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);

            var former = existing.OwnerDid;
            var policy = existing.Policy().For(order.OwnerDid);
            var controller = existing.WithoutTransfer().ChangedBy(challenge.ChallengeId, snapshot.Now).With(policy, snapshot.Now) with
            {
                OwnerDid = order.OwnerDid,
                TransferredAt = snapshot.Now,
                TransferredFromOwnerDid = former,
            };
            var agents = await snapshot.ListAgentsAsync(controller.ControllerDid);
            var names = await snapshot.ListNamesAsync(controller.ControllerDid);
            var act = ActOf(snapshot, order, EventKind.TransferConfirmed, controller, challenge, new()
            {
                ["from_owner_did"] = former,
                ["policy_hash_b64u"] = controller.PolicyHash,
                ["to_owner_did"] = order.OwnerDid,
            }) with
            {
                Agents = [.. agents.Select(agent => agent with { OwnerDid = order.OwnerDid, PolicyHash = controller.PolicyHash, Seq = 0 })],
                MustNotBeBlocked =
                [
                    .. names.Concat(agents.Where(agent => agent.Active).Select(agent => agent.AgentDid)).Append(former).Append(order.OwnerDid)
                        .Distinct(StringComparer.Ordinal).SelectMany(did => ChainGroups.OfDid(did, former, order.OwnerDid)),
                ],
                // What the old owner was given under this controller is dead, whatever the controller was called then.
                Cuts = [.. names.Select(name => new CutOrder(GroupKey.Of(RevocationKind.Controller, former, name)))],
            };
            return Decision<ControllerAnswer>.Record(act, outcome => new(controller, outcome));
        }, cancellationToken);

    /// <exception cref="Refusal">CONTROLLER_NOT_FOUND, INVALID_REQUEST, CONTROLLER_OWNER_MISMATCH, TRANSFER_NOT_PENDING, then those of the challenge.</exception>
    public Task<ControllerAnswer> CancelAsync(SignedOrder order, string requestedControllerDid, CancellationToken cancellationToken) => ledger.ActAsync<ControllerAnswer>(async snapshot =>
    {
        var existing = await ControllerRegistry.RequireControllerAsync(snapshot, requestedControllerDid);
        order.RequireFields();
        existing.RequireOwner(order.OwnerDid);
        if (!existing.IsFrozenAt(snapshot.Now)) throw new Refusal(Reason.TransferNotPending);
        var challenge = await snapshot.RequireChallengeAsync(
            order, Purpose.CancelTransfer, c => c.ControllerDid == existing.ControllerDid && c.TransferToOwnerDid == existing.TransferToOwnerDid);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);

        var controller = existing.WithoutTransfer().ChangedBy(challenge.ChallengeId, snapshot.Now);
        var act = ActOf(snapshot, order, EventKind.TransferCancelled, controller, challenge, new() { ["to_owner_did"] = existing.TransferToOwnerDid });
        return Decision<ControllerAnswer>.Record(act, outcome => new(controller, outcome));
    }, cancellationToken);

    private static ControlAct ActOf(
        ControlSnapshot snapshot, SignedOrder order, EventKind kind, Controller controller, Challenge challenge, Dictionary<string, object?> facts)
    {
        facts.Add("challenge_id", challenge.ChallengeId);
        facts.Add("controller_did", controller.ControllerDid);
        facts.Add("frozen", controller.Frozen);
        facts.Add("owner_did", controller.OwnerDid);
        return new ControlAct
        {
            What = kind,
            Caller = order.OwnerDid,
            Correlation = order.Correlation,
            About = controller.ControllerDid,
            Facts = facts,
            ChallengeId = challenge.ChallengeId,
            Seen = snapshot.Seen,
            Controllers = [controller],
        };
    }
}
