using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;

namespace ClawBureau.ControlPlane.Tests;

public sealed class TransferTests
{
    [Fact]
    public async Task A_controller_changes_hands_and_its_agents_with_it()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync("control:token:revoke", "control:key:rotate"), await control.BoundAsync());
        var requested = await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        Assert.Equal((TransferState.TransferPending, target.Did, chain.Owner.Did), (requested.Controller.TransferState, requested.Controller.TransferToOwnerDid, requested.Controller.OwnerDid));

        var confirmed = await control.ConfirmTransferAsync(target, chain.Controller);
        Assert.Equal((TransferState.Transferred, target.Did, chain.Owner.Did, ""),
            (confirmed.Controller.TransferState, confirmed.Controller.OwnerDid, confirmed.Controller.TransferredFromOwnerDid, confirmed.Controller.TransferToOwnerDid));
        Assert.Equal(Tokens.SensitivePolicy.Of(target.Did, ["control:key:rotate", "control:token:revoke"]).Hash.ToString(), confirmed.Controller.Policy.PolicyHashB64U);
        var moved = await control.ReadChainAsync(chain.Controller, chain.Agent);
        Assert.Equal((target.Did, target.Did, confirmed.Controller.Policy.PolicyHashB64U, true), (moved.OwnerDid, moved.AgentBinding.OwnerDid, moved.AgentBinding.PolicyHashB64U, moved.Active));

        // The runbook's recovery: the new owner goes on, the old one is out.
        await control.UpdatePolicyAsync(target, chain.Controller, null, ["control:key:rotate"]);
        await control.RefusesAsync(Reason.ControllerOwnerMismatch, () => control.UpdatePolicyAsync(chain.Owner, chain.Controller, null, ["control:key:rotate"]));
        Assert.Equal(TransferState.TransferPending, (await control.RequestTransferAsync(target, chain.Controller, chain.Owner)).Controller.TransferState);
    }

    [Fact]
    public async Task While_a_transfer_is_pending_nothing_else_is_done_with_the_controller()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target, other) = (await control.ChainAsync(), await control.BoundAsync(), await control.BoundAsync());
        // Challenges made before the freeze serve nobody during it.
        var early = new[]
        {
            await control.ChallengeAsync(ControlPurpose.RegisterAgent, chain.Owner, chain.Controller, other),
            await control.ChallengeAsync(ControlPurpose.UpdateSensitivePolicy, chain.Owner, chain.Controller),
            await control.ChallengeAsync(ControlPurpose.ConfirmRotation, chain.Owner, also: r => (r.RotationRole, r.FromDid, r.ToDid) = (RotationRole.Controller, chain.Controller.Did, other.Did)),
            await control.ChallengeAsync(ControlPurpose.ExportIdentity, chain.Owner, chain.Controller),
        };
        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);

        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.RegisterAgentAsync(chain.Owner, chain.Controller, other));
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.UpdatePolicyAsync(chain.Owner, chain.Controller, null, ["control:key:rotate"]));
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, other));
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, other, chain.Controller));
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.ChallengeAsync(ControlPurpose.ExportIdentity, chain.Owner, chain.Controller));
        await control.RefusesAsync(Reason.TransferAlreadyPending, () => control.RequestTransferAsync(chain.Owner, chain.Controller, target));
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.Controllers.RegisterAgentAsync(new() { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, AgentDid = other.Did, ChallengeId = early[0].ChallengeId, SignatureB64U = chain.Owner.Sign(early[0].Message) }).ResponseAsync);
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.Controllers.UpdateSensitivePolicyAsync(new() { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, ChallengeId = early[1].ChallengeId, SignatureB64U = chain.Owner.Sign(early[1].Message) }).ResponseAsync);
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.Controllers.ConfirmRotationAsync(new() { OwnerDid = chain.Owner.Did, RotationRole = RotationRole.Controller, FromDid = chain.Controller.Did, ToDid = other.Did, ChallengeId = early[2].ChallengeId, SignatureB64U = chain.Owner.Sign(early[2].Message) }).ResponseAsync);
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.Portability.ExportIdentityAsync(new() { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, ChallengeId = early[3].ChallengeId, SignatureB64U = chain.Owner.Sign(early[3].Message), BundleVersion = BundleVersion.Ed25519 }).ResponseAsync);
    }

    [Fact]
    public async Task A_pending_transfer_is_cancelled_by_a_signature_of_its_owner()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
        await control.RefusesAsync(Reason.TransferNotPending, () => control.CancelTransferAsync(chain.Owner, chain.Controller));
        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        var confirm = await control.ChallengeAsync(ControlPurpose.TransferControllerConfirm, target, chain.Controller, also: r => r.TransferToOwnerDid = target.Did);
        await control.RefusesAsync(Reason.ControllerOwnerMismatch, () => control.CancelTransferAsync(target, chain.Controller));

        var challenge = await control.ChallengeAsync(ControlPurpose.TransferControllerCancel, chain.Owner, chain.Controller);
        Assert.Contains($":transfer_to_owner_did={target}|transfer_action=cancel:", challenge.Message, StringComparison.Ordinal);
        var cancel = new CancelTransferRequest { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = target.Sign(challenge.Message) };
        await control.RefusesAsync(Reason.SignatureInvalid, () => control.Controllers.CancelTransferAsync(cancel).ResponseAsync);
        cancel.SignatureB64U = chain.Owner.Sign(challenge.Message);
        Assert.Equal(TransferState.Active, (await control.Controllers.CancelTransferAsync(cancel)).Controller.TransferState);

        await control.RefusesAsync(Reason.TransferNotPending, () => control.Controllers.ConfirmTransferAsync(new() { OwnerDid = target.Did, ControllerDid = chain.Controller.Did, ChallengeId = confirm.ChallengeId, SignatureB64U = target.Sign(confirm.Message) }).ResponseAsync);
        await control.RegisterAgentAsync(chain.Owner, chain.Controller, target);
    }

    [Fact]
    public async Task A_transfer_that_nobody_confirms_ends_with_its_deadline()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
        var requested = await control.RequestTransferAsync(chain.Owner, chain.Controller, target, TimeSpan.FromMinutes(5));
        Assert.Equal(300, requested.Controller.TransferExpiresAt.Seconds - requested.Controller.TransferRequestedAt.Seconds);
        var confirm = await control.ChallengeAsync(ControlPurpose.TransferControllerConfirm, target, chain.Controller, also: r => r.TransferToOwnerDid = target.Did);
        await control.RevokeBindingAsync(target);                   // who would confirm it never can: upstream this froze for ever
        await control.ScalarAsync<string>("UPDATE control.controllers SET transfer_expires_at = now() - interval '1 second' RETURNING controller_did");

        await control.RefusesAsync(Reason.TransferDeadlinePassed, () => control.Controllers.ConfirmTransferAsync(new() { OwnerDid = target.Did, ControllerDid = chain.Controller.Did, ChallengeId = confirm.ChallengeId, SignatureB64U = target.Sign(confirm.Message) }).ResponseAsync);
        Assert.Equal(TransferState.Active, (await control.Controllers.GetControllerAsync(new() { ControllerDid = chain.Controller.Did })).Controller.TransferState);
        await control.UpdatePolicyAsync(chain.Owner, chain.Controller, null, ["control:key:rotate"]);
        Assert.False(await control.ScalarAsync<bool>("SELECT frozen FROM control.controllers"));
    }

    [Fact]
    public async Task A_deadline_is_never_longer_than_configured()
    {
        await using var control = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_TRANSFER_DEADLINE_SECONDS"] = "60" });
        var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
        var requested = await control.RequestTransferAsync(chain.Owner, chain.Controller, target, TimeSpan.FromDays(1000));
        Assert.Equal(60, requested.Controller.TransferExpiresAt.Seconds - requested.Controller.TransferRequestedAt.Seconds);
    }

    [Fact]
    public async Task A_retry_of_the_request_is_answered_and_without_a_signature_nothing_is()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
        var challenge = await control.ChallengeAsync(ControlPurpose.TransferControllerRequest, chain.Owner, chain.Controller, also: r => r.TransferToOwnerDid = target.Did);
        var request = new RequestTransferRequest { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, TransferToOwnerDid = target.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = chain.Owner.Sign(challenge.Message) };
        Assert.False((await control.Controllers.RequestTransferAsync(request)).AlreadyPending);
        Assert.True((await control.Controllers.RequestTransferAsync(request)).AlreadyPending);
        request.SignatureB64U = target.Sign(challenge.Message);
        await control.RefusesAsync(Reason.SignatureInvalid, () => control.Controllers.RequestTransferAsync(request).ResponseAsync);
        request.ChallengeId = "none";
        await control.RefusesAsync(Reason.ChallengeNotFound, () => control.Controllers.RequestTransferAsync(request).ResponseAsync);
    }

    [Fact]
    public async Task Only_the_target_confirms()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target, thief) = (await control.ChainAsync(), await control.BoundAsync(), await control.BoundAsync());
        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        await control.RefusesAsync(Reason.TransferOwnerMismatch, () => control.ConfirmTransferAsync(thief, chain.Controller));
        var challenge = await control.ChallengeAsync(ControlPurpose.TransferControllerConfirm, target, chain.Controller, also: r => r.TransferToOwnerDid = target.Did);
        Assert.Contains($":transfer_to_owner_did={target}|transfer_action=confirm:", challenge.Message, StringComparison.Ordinal);
        var request = new ConfirmTransferRequest { OwnerDid = target.Did, ControllerDid = chain.Controller.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = chain.Owner.Sign(challenge.Message) };
        await control.RefusesAsync(Reason.SignatureInvalid, () => control.Controllers.ConfirmTransferAsync(request).ResponseAsync);
        request.TransferToOwnerDid = thief.Did;
        await control.RefusesAsync(Reason.TransferContextMismatch, () => control.Controllers.ConfirmTransferAsync(request).ResponseAsync);
        (request.TransferToOwnerDid, request.SignatureB64U) = (target.Did, target.Sign(challenge.Message));
        Assert.False((await control.Controllers.ConfirmTransferAsync(request)).AlreadyTransferred);
        Assert.True((await control.Controllers.ConfirmTransferAsync(request)).AlreadyTransferred);
    }

    [Fact]
    public async Task Of_confirm_and_cancel_at_once_one_happens()
    {
        await using var control = await ControlFixture.StartAsync();
        await using var second = await ControlFixture.StartIssuerAsync(control.Database);
        var other = new ControllerService.ControllerServiceClient(second.Channel(null).Calls);
        for (int round = 0; round < 5; round++)
        {
            var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
            await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
            var confirm = await control.ChallengeAsync(ControlPurpose.TransferControllerConfirm, target, chain.Controller, also: r => r.TransferToOwnerDid = target.Did);
            var cancel = await control.ChallengeAsync(ControlPurpose.TransferControllerCancel, chain.Owner, chain.Controller);
            var answers = await Task.WhenAll(
                Outcomes.OfAsync(() => control.Controllers.ConfirmTransferAsync(new() { OwnerDid = target.Did, ControllerDid = chain.Controller.Did, ChallengeId = confirm.ChallengeId, SignatureB64U = target.Sign(confirm.Message) }).ResponseAsync),
                Outcomes.OfAsync(() => other.CancelTransferAsync(new() { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, ChallengeId = cancel.ChallengeId, SignatureB64U = chain.Owner.Sign(cancel.Message) }).ResponseAsync));
            Assert.Single(answers, answer => answer is null);
            var now = (await control.Controllers.GetControllerAsync(new() { ControllerDid = chain.Controller.Did })).Controller;
            Assert.Equal(answers[0] is null ? (target.Did, TransferState.Transferred) : (chain.Owner.Did, TransferState.Active), (now.OwnerDid, now.TransferState));
        }
    }
}

internal static class Outcomes
{
    /// <returns>Null: done; otherwise why not.</returns>
    public static async Task<Reason?> OfAsync(Func<Task> call)
    {
        try
        {
            await call();
            return null;
        }
        catch (Refusal refusal)
        {
            return refusal.Reason;
        }
    }
}
