namespace ClawBureau.Tokens;

/// <summary>
/// Claims of a token that acts for somebody else (contract 1.1 row 16). Each is optional on the wire; a delegation exists
/// when at least one is there.
/// </summary>
public sealed record Delegation
{
    /// <summary><c>delegation_id</c></summary>
    public string? Id { get; init; }

    /// <summary><c>delegator_did</c>: for whom. Equal to the owner where both are set.</summary>
    public Did? DelegatorDid { get; init; }

    /// <summary><c>delegate_did</c>: who acts; the token's subject.</summary>
    public Did? DelegateDid { get; init; }

    /// <summary><c>delegation_policy_hash_b64u</c></summary>
    public PolicyHash? PolicyHash { get; init; }

    /// <summary><c>delegation_spend_cap_minor</c>: decimal digits, in the currency's smallest unit, leading zeros kept.</summary>
    public string? SpendCapMinor { get; init; }

    /// <summary><c>delegation_expires_at</c>, epoch seconds. Our tokens never outlive it.</summary>
    public long? ExpiresAt { get; init; }

    public bool IsEmpty =>
        Id is null && DelegatorDid is null && DelegateDid is null && PolicyHash is null && SpendCapMinor is null && ExpiresAt is null;
}
