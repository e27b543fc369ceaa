namespace ClawBureau.Ledger;

/// <summary>What an event records. Stored as smallint; numbers are never reused. Names as they stand in payloads: <see cref="EventKinds.NameOf"/>.</summary>
public enum EventKind : short
{
    TokenIssued = 1,
    TokenRevoked = 2,
    GroupBlocked = 3,
    BlockLifted = 4,
    KeyChanged = 5,
    PolicyPut = 6,

    DidBound = 20,
    BindingRevoked = 21,
    ControllerRegistered = 22,
    AgentRegistered = 23,
    SensitivePolicyUpdated = 24,
    RotationConfirmed = 25,
    TransferRequested = 26,
    TransferConfirmed = 27,
    TransferCancelled = 28,
    IdentityExported = 29,
    IdentityImported = 30,

    /// <summary>A group's tokens issued up to now are dead: left by a transfer, a rotation or a revoked binding.</summary>
    GroupCut = 31,
}

/// <summary>The names under which events appear in payloads, listings and the audit log.</summary>
public static class EventKinds
{
    /// <summary>False for a name that this build does not know.</summary>
    public static bool TryParse(string name, out EventKind kind)
    {
        foreach (var known in Enum.GetValues<EventKind>())
        {
            kind = known;
            if (NameOf(known) == name) return true;
        }
        kind = default;
        return false;
    }

    public static string NameOf(EventKind kind) => kind switch
    {
        EventKind.TokenIssued => "token.issued",
        EventKind.TokenRevoked => "token.revoked",
        EventKind.GroupBlocked => "group.blocked",
        EventKind.BlockLifted => "block.lifted",
        EventKind.KeyChanged => "key.changed",
        EventKind.PolicyPut => "policy.put",
        EventKind.DidBound => "did.bound",
        EventKind.BindingRevoked => "binding.revoked",
        EventKind.ControllerRegistered => "controller.registered",
        EventKind.AgentRegistered => "agent.registered",
        EventKind.SensitivePolicyUpdated => "sensitive_policy.updated",
        EventKind.RotationConfirmed => "rotation.confirmed",
        EventKind.TransferRequested => "transfer.requested",
        EventKind.TransferConfirmed => "transfer.confirmed",
        EventKind.TransferCancelled => "transfer.cancelled",
        EventKind.IdentityExported => "identity.exported",
        EventKind.IdentityImported => "identity.imported",
        EventKind.GroupCut => "group.cut",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no such event kind"),
    };
}
