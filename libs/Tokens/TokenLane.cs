namespace ClawBureau.Tokens;

/// <summary>How a token's control chain came to be in it (contract section 2.1). Written in claims as the lower-case name.</summary>
public enum TokenLane
{
    /// <summary>Owner, controller and agent are what the caller said, unverified.</summary>
    Legacy = 0,

    /// <summary>The chain was checked against the control plane at issuance, and the agent is the subject.</summary>
    Canonical = 1,
}

/// <summary>The lane's spelling in claims and answers.</summary>
public static class TokenLanes
{
    public static string ToClaim(this TokenLane lane) => lane == TokenLane.Canonical ? "canonical" : "legacy";

    public static bool TryParse(string? text, out TokenLane lane)
    {
        lane = text == "canonical" ? TokenLane.Canonical : TokenLane.Legacy;
        return text is "canonical" or "legacy";
    }
}
