using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>Where a controller stands (control-plane-http.md 2.6).</summary>
internal enum TransferState
{
    Active,
    Pending,
    Transferred,
}

/// <summary>What a controller's record means at a moment.</summary>
internal static class ControllerStates
{
    /// <summary>Neither mints nor mutates. A deadline that has passed ends it; nothing need be recorded for that.</summary>
    public static bool IsFrozenAt(this Controller controller, DateTime now) => controller.Frozen && controller.TransferExpiresAt > now;

    public static TransferState StateAt(this Controller controller, DateTime now) =>
        controller.IsFrozenAt(now) ? TransferState.Pending : controller.TransferredAt is null ? TransferState.Active : TransferState.Transferred;

    public static SensitivePolicy Policy(this Controller controller) => SensitivePolicy.Recorded(controller.OwnerDid, controller.AllowedSensitiveScopes);

    /// <exception cref="Refusal">CONTROLLER_TRANSFER_FROZEN</exception>
    public static void RequireThawed(this Controller controller, DateTime now)
    {
        if (controller.IsFrozenAt(now)) throw new Refusal(Reason.ControllerTransferFrozen);
    }

    /// <exception cref="Refusal">CONTROLLER_OWNER_MISMATCH</exception>
    public static void RequireOwner(this Controller controller, string ownerDid)
    {
        if (controller.OwnerDid != ownerDid) throw new Refusal(Reason.ControllerOwnerMismatch);
    }

    /// <exception cref="Refusal">CONTROLLER_INACTIVE</exception>
    public static void RequireActive(this Controller controller)
    {
        if (!controller.Active) throw new Refusal(Reason.ControllerInactive);
    }

    public static Controller With(this Controller controller, SensitivePolicy policy, DateTime now) => controller with
    {
        PolicyHash = policy.Hash.ToString(),
        AllowedSensitiveScopes = [.. policy.AllowedSensitiveScopes],
        PolicyUpdatedAt = now,
    };

    /// <summary>As it stands without the pending transfer.</summary>
    public static Controller WithoutTransfer(this Controller controller) => controller with
    {
        Frozen = false,
        TransferToOwnerDid = null,
        TransferRequestedAt = null,
        TransferExpiresAt = null,
    };

    /// <summary>Changed by the act that is being decided: a pending transfer whose deadline has passed goes with it.</summary>
    public static Controller ChangedBy(this Controller controller, string challengeId, DateTime now) =>
        (controller.Frozen && !controller.IsFrozenAt(now) ? controller.WithoutTransfer() : controller) with { LastChallengeId = challengeId, ChangedAt = now, Seq = 0 };
}
