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
    ControllerChanged = 7,
}

/// <summary>The names under which events appear in payloads, listings and the audit log.</summary>
public static class EventKinds
{
    public static string NameOf(EventKind kind) => kind switch
    {
        EventKind.TokenIssued => "token.issued",
        EventKind.TokenRevoked => "token.revoked",
        EventKind.GroupBlocked => "group.blocked",
        EventKind.BlockLifted => "block.lifted",
        EventKind.KeyChanged => "key.changed",
        EventKind.PolicyPut => "policy.put",
        EventKind.ControllerChanged => "controller.changed",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no such event kind"),
    };
}
