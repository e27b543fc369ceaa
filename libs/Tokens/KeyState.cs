namespace ClawBureau.Tokens;

/// <summary>Where a key stands in its life (DESIGN "Keys"). A ledger event marks each step.</summary>
public enum KeyState
{
    /// <summary>Published, does not sign yet.</summary>
    Next = 0,

    /// <summary>Signs.</summary>
    Active = 1,

    /// <summary>Signs no more; its tokens are accepted until its cut-off, if it has one.</summary>
    VerifyOnly = 2,

    /// <summary>Accepted no more, and never again.</summary>
    Retired = 3,
}

/// <summary>The states' names in events, listings and text.</summary>
public static class KeyStateNames
{
    public static string ToText(this KeyState state) => state switch
    {
        KeyState.Next => "next",
        KeyState.Active => "active",
        KeyState.VerifyOnly => "verify-only",
        KeyState.Retired => "retired",
        _ => throw new ArgumentOutOfRangeException(nameof(state), state, "no such key state"),
    };
}
