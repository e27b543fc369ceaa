namespace ClawBureau.Tokens;

/// <summary>
/// The bounds of everything that goes into or comes out of a token. Lengths of text are UTF-16 units, as the contract counts
/// them; the token's own is bytes. Most are this suite's choice; where the contract has a figure it is named.
/// </summary>
public static class TokenLimits
{
    /// <summary>A compact token, in bytes (SECURITY.md, head). Longer ones are malformed; longer ones are never issued.</summary>
    public const int MaxTokenBytes = 16 * 1024;

    /// <summary>Depth of nesting in header and payload; the claims themselves need 2.</summary>
    public const int MaxJsonDepth = 16;

    /// <summary>Members of one JSON object in a token; the claims are 25.</summary>
    public const int MaxJsonMembers = 64;

    /// <summary>Audiences at issuance (SECURITY.md, head); tokens of other issuers may have more, within the token's size.</summary>
    public const int MaxAudiences = 16;

    /// <summary>Scopes in a token; no tier may allow more (contract 1.1 row 4).</summary>
    public const int MaxScopeItems = 64;

    /// <summary>The contract's default for one scope (1.1 row 5).</summary>
    public const int DefaultScopeLength = 128;

    /// <summary>No tier may allow a longer scope than this.</summary>
    public const int MaxScopeLength = 512;

    public const int MaxSubjectLength = 512;
    public const int MaxAudienceLength = 512;
    public const int MaxOwnerRefLength = 512;
    public const int MaxMissionIdLength = 512;
    public const int MaxDelegationIdLength = 256;
    public const int MaxTierLength = 64;

    /// <summary>Digits of <c>delegation_spend_cap_minor</c>.</summary>
    public const int MaxSpendCapDigits = 38;

    /// <summary>The end of the year 9999 in epoch seconds: what DateTimeOffset and the protobuf Timestamp can still hold.</summary>
    public const long MaxEpochSeconds = 253_402_300_799;

    /// <summary>How far in the future an <c>iat</c> may lie, in seconds: clocks differ (DESIGN "Revocation").</summary>
    public const int MaxIssuedAheadSeconds = 30;

    /// <summary>TTL when a request names none, unless the tier's maximum is shorter (contract section 2).</summary>
    public const long DefaultTtlSeconds = 600;

    /// <summary>Keys in one ring; every published set has a bound (SECURITY.md D12).</summary>
    public const int MaxKeys = 64;
}
