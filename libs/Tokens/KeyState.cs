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

    /// <summary>Accepted no more.</summary>
    Retired = 3,
}
