using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>What a challenge is asked for; null or empty where the request says nothing.</summary>
internal sealed record ChallengeOrder
{
    public required string OwnerDid { get; init; }
    public required string Purpose { get; init; }
    public string? ControllerDid { get; init; }
    public string? AgentDid { get; init; }
    public AliasRole? RotationRole { get; init; }
    public string? FromDid { get; init; }
    public string? ToDid { get; init; }
    public string? TransferToOwnerDid { get; init; }
    public string? BundleHash { get; init; }
    public IReadOnlyList<string> ContextParts { get; init; } = [];

    /// <summary>Null: the signature covers no policy. Empty inside: the default list.</summary>
    public IReadOnlyList<string>? AllowedSensitiveScopes { get; init; }
}

/// <summary>A challenge and what its message was put together from.</summary>
internal sealed record MadeChallenge(Challenge Challenge, string Nonce, IReadOnlyList<string> ContextParts);

/// <summary>Makes the challenges of the control plane (control-plane-http.md 2.3): who could not use one does not get it.</summary>
internal sealed class ControlChallenges(ControlLedger ledger, Challenges challenges, ControlOptions options)
{
    private const int MostParts = 8;
    private const int MostPartLength = 256;

    /// <exception cref="Refusal">In the contract's order.</exception>
    public async Task<MadeChallenge> CreateAsync(ChallengeOrder order, CancellationToken cancellationToken)
    {
        challenges.RequireAllowance();
        RequireFields(order);
        var parts = order.ContextParts.Select(JsText.Trim).ToList();
        if (parts.Count > MostParts || parts.Any(part => part.Length is 0 or > MostPartLength || !StorableText.IsStorable(part)))
            throw Refusal.OfField(Reason.InvalidContextParts, "context_parts");
        var policy = order is { AllowedSensitiveScopes: { } scopes, Purpose: Purpose.RegisterController or Purpose.UpdateSensitivePolicy }
            ? SensitivePolicy.Of(order.OwnerDid, scopes)
            : null;
        var judged = await ledger.ReadAsync(snapshot => JudgeAsync(snapshot, order), cancellationToken);

        var (id, nonce, expires) = (Guid.NewGuid().ToString(), Guid.NewGuid().ToString(), challenges.ExpiryOf(options.ChallengeTtl));
        if (PartsOf(judged) is { } own) parts = own;
        if (policy is not null) parts.Add($"policy_hash_b64u={policy.Hash}");
        var context = parts.Count == 0 ? "" : ":" + string.Join('|', parts);
        var challenge = new Challenge
        {
            ChallengeId = id,
            Purpose = judged.Purpose,
            OwnerDid = judged.OwnerDid,
            Message = $"clawclaim:{judged.Purpose}:v1:{id}:{judged.OwnerDid}:{judged.ControllerDid ?? "-"}:{judged.AgentDid ?? "-"}{context}:{nonce}:{expires.ToUnixTimeSeconds()}",
            CreatedAt = (expires - options.ChallengeTtl).UtcDateTime,
            ExpiresAt = expires.UtcDateTime,
            ControllerDid = judged.ControllerDid,
            AgentDid = judged.AgentDid,
            RotationRole = judged.RotationRole,
            FromDid = judged.FromDid,
            ToDid = judged.ToDid,
            TransferToOwnerDid = judged.TransferToOwnerDid,
            BundleHash = judged.BundleHash,
            PolicyHash = policy?.Hash.ToString(),
        };
        await challenges.PutAsync(challenge, cancellationToken);
        return new(challenge, nonce, parts);
    }

    private static void RequireFields(ChallengeOrder order)
    {
        Require(order.OwnerDid, "owner_did");
        switch (order.Purpose)
        {
            case Purpose.RegisterController or Purpose.UpdateSensitivePolicy or Purpose.CancelTransfer or Purpose.ExportIdentity:
                Require(order.ControllerDid, "controller_did");
                break;
            case Purpose.RegisterAgent:
                Require(order.ControllerDid, "controller_did");
                Require(order.AgentDid, "agent_did");
                break;
            case Purpose.ConfirmRotation:
                if (order.RotationRole is null) throw Missing("rotation_role");
                Require(order.FromDid, "from_did");
                Require(order.ToDid, "to_did");
                if (order.FromDid == order.ToDid) throw Refusal.OfField(Reason.InvalidRequest, "to_did", "to_did must differ from from_did");
                if (order.RotationRole == AliasRole.Agent) Require(order.ControllerDid, "controller_did");
                break;
            case Purpose.RequestTransfer or Purpose.ConfirmTransfer:
                Require(order.ControllerDid, "controller_did");
                Require(order.TransferToOwnerDid, "transfer_to_owner_did");
                break;
            case Purpose.ImportIdentity:
                if (!PolicyHash.TryParse(order.BundleHash, out _)) throw Missing("bundle_hash_b64u");
                break;
        }

        static void Require(string? did, string field)
        {
            if (!Did.TryParse(did, out _)) throw Missing(field);
        }

        static Refusal Missing(string field) => Refusal.OfField(Reason.InvalidRequest, field, $"{field} is required");
    }

    private static async Task<ChallengeOrder> JudgeAsync(ControlSnapshot snapshot, ChallengeOrder order)
    {
        await snapshot.RequireBindingAsync(order.OwnerDid, Reason.OwnerBindingRequired);
        var ofController = order is { Purpose: Purpose.ConfirmRotation, RotationRole: AliasRole.Controller };
        if (order.Purpose is Purpose.RegisterController or Purpose.ImportIdentity)
            return order with { AgentDid = order.Purpose == Purpose.ImportIdentity ? null : order.AgentDid };

        Controller controller;
        if (ofController)
        {
            await snapshot.RequireBindingAsync(order.ToDid!, Reason.RotationTargetBindingRequired);
            controller = await snapshot.FindControllerAsync(order.FromDid!) ?? throw new Refusal(Reason.ControllerNotFound);
            controller.RequireOwner(order.OwnerDid);
            controller.RequireThawed(snapshot.Now);
            return order with { ControllerDid = null, AgentDid = null };
        }

        controller = await ControllerRegistry.RequireControllerAsync(snapshot, order.ControllerDid!);
        controller.RequireActive();
        if (order.Purpose != Purpose.ConfirmTransfer) controller.RequireOwner(order.OwnerDid);
        if (order.Purpose is Purpose.RegisterAgent or Purpose.UpdateSensitivePolicy or Purpose.ConfirmRotation or Purpose.ExportIdentity) controller.RequireThawed(snapshot.Now);
        order = order with { ControllerDid = controller.ControllerDid };
        switch (order.Purpose)
        {
            case Purpose.ConfirmRotation:
                await snapshot.RequireBindingAsync(order.ToDid!, Reason.RotationTargetBindingRequired);
                if (await snapshot.FindAgentAsync(controller.ControllerDid, order.FromDid!) is null) throw new Refusal(Reason.ControllerAgentNotFound);
                return order with { AgentDid = null };
            case Purpose.RequestTransfer:
                if (controller.IsFrozenAt(snapshot.Now)) throw new Refusal(Reason.TransferAlreadyPending);
                await snapshot.RequireBindingAsync(order.TransferToOwnerDid!, Reason.TransferTargetBindingRequired);
                return order;
            case Purpose.ConfirmTransfer:
                if (!controller.IsFrozenAt(snapshot.Now)) throw new Refusal(Reason.TransferNotPending);
                if (controller.TransferToOwnerDid != order.OwnerDid) throw new Refusal(Reason.TransferOwnerMismatch);
                if (order.TransferToOwnerDid != order.OwnerDid) throw new Refusal(Reason.TransferContextMismatch);
                return order;
            case Purpose.CancelTransfer:
                if (!controller.IsFrozenAt(snapshot.Now)) throw new Refusal(Reason.TransferNotPending);
                return order with { TransferToOwnerDid = controller.TransferToOwnerDid };
            case Purpose.ExportIdentity when order.AgentDid is { } did:
                var agent = await snapshot.ResolveAgentAsync(controller.ControllerDid, did);
                return agent.Record is null ? throw new Refusal(Reason.ControllerAgentNotFound) : order with { AgentDid = agent.Did };
            default:
                return order;
        }
    }

    /// <summary>The parts that a purpose sets itself; null where the caller's own are signed.</summary>
    private static List<string>? PartsOf(ChallengeOrder order) => order.Purpose switch
    {
        Purpose.ConfirmRotation =>
        [
            $"rotation_role={(order.RotationRole == AliasRole.Controller ? "controller" : "agent")}",
            $"from_did={order.FromDid}",
            $"to_did={order.ToDid}",
            .. order.ControllerDid is { } controller ? [$"controller_did={controller}"] : Array.Empty<string>(),
        ],
        Purpose.RequestTransfer => [$"transfer_to_owner_did={order.TransferToOwnerDid}", "transfer_action=request"],
        Purpose.ConfirmTransfer => [$"transfer_to_owner_did={order.TransferToOwnerDid}", "transfer_action=confirm"],
        Purpose.CancelTransfer => [$"transfer_to_owner_did={order.TransferToOwnerDid}", "transfer_action=cancel"],
        Purpose.ExportIdentity =>
        [
            $"controller_did={order.ControllerDid}",
            .. order.AgentDid is { } agent ? [$"agent_did={agent}"] : Array.Empty<string>(),
            "export_version=1",
        ],
        Purpose.ImportIdentity => [$"bundle_hash_b64u={order.BundleHash}", "import_version=1"],
        _ => null,
    };
}
