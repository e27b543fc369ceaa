namespace ClawBureau.Tokens;

/// <summary>
/// A request that holds by itself: every field judged, the policy asked. What is still open depends on others: the control
/// chain (canonical lane), the time, revocation. Made by <see cref="GrantRules"/>.
/// </summary>
public sealed record TokenGrant
{
    public required TokenLane Lane { get; init; }
    public required PolicyDecision Policy { get; init; }
    public required string Sub { get; init; }
    public required Audience Audience { get; init; }

    /// <summary>Trimmed, no blanks, duplicates kept.</summary>
    public required IReadOnlyList<string> Scope { get; init; }

    /// <summary>Of <see cref="Scope"/>, what the controller's policy has to allow.</summary>
    public IReadOnlyList<string> SensitiveScopes { get; init; } = [];

    /// <summary>Whole seconds; null where the request named none.</summary>
    public long? TtlSeconds { get; init; }

    /// <summary>Epoch seconds; null where the request named none; wins over <see cref="TtlSeconds"/>.</summary>
    public long? ExpiresAt { get; init; }

    public string? OwnerRef { get; init; }
    public Did? OwnerDid { get; init; }
    public Did? ControllerDid { get; init; }
    public Did? AgentDid { get; init; }
    public PolicyHash? PolicyHash { get; init; }

    /// <summary>As the request has it. In the canonical lane the issuer compares it with the controller's policy and then puts
    /// that policy's hash here.</summary>
    public PolicyHash? ControlPlanePolicyHash { get; init; }

    public Did? PaymentAccountDid { get; init; }
    public double? SpendCap { get; init; }
    public string? MissionId { get; init; }
    public Delegation? Delegation { get; init; }

    /// <summary>Completes the claims, ready to sign.</summary>
    /// <param name="now">The time of issuance; its second becomes <c>iat</c>.</param>
    /// <param name="jti">A new UUIDv4.</param>
    /// <param name="nonce">Another one.</param>
    /// <exception cref="Refusal"><see cref="Reason.TtlExpired"/>, <see cref="Reason.TtlTooLong"/>, or
    /// <see cref="Reason.DelegationExpiryExceeded"/>: what is delegated never outlives what delegates it (DESIGN, L10).</exception>
    public TokenClaims ToClaims(DateTimeOffset now, string jti, string nonce)
    {
        var issuedAt = now.ToUnixTimeSeconds();
        var claims = new TokenClaims
        {
            Sub = Sub,
            Audience = Audience,
            Scope = Scope,
            IssuedAt = issuedAt,
            ExpiresAt = ExpiryFrom(issuedAt),
            OwnerRef = OwnerRef,
            OwnerDid = OwnerDid,
            ControllerDid = ControllerDid,
            AgentDid = AgentDid,
            PolicyHash = PolicyHash,
            ControlPlanePolicyHash = ControlPlanePolicyHash,
            PaymentAccountDid = PaymentAccountDid,
            SpendCap = SpendCap,
            MissionId = MissionId,
            Delegation = Delegation,
            Lane = Lane,
            Jti = jti,
            Nonce = nonce,
        };
        return claims with { TokenScopeHash = claims.ComputeScopeHash() };
    }

    /// <summary>When a token issued at that second would expire; both epoch seconds.</summary>
    /// <exception cref="Refusal">As of <see cref="ToClaims"/>.</exception>
    public long ExpiryFrom(long issuedAt)
    {
        var maxTtl = (long)Policy.Tier.MaxTtl.TotalSeconds;
        var asked = ExpiresAt ?? issuedAt + (TtlSeconds ?? Math.Min((long)Policy.Tier.DefaultTtl.TotalSeconds, maxTtl));
        if (asked <= issuedAt) throw new Refusal(Reason.TtlExpired);
        if (asked - issuedAt > maxTtl)
        {
            throw new Refusal(Reason.TtlTooLong, $"ttl exceeds max ({maxTtl}s)",
                new Dictionary<string, string> { ["max_ttl_seconds"] = maxTtl.ToString(), ["tier"] = Policy.Tier.Name, ["rule"] = "max_ttl_seconds" });
        }
        if (Delegation?.ExpiresAt is not { } end || asked <= end) return asked;
        // A lifetime nobody asked for is simply cut; one that was asked for is refused, so that nobody counts on it.
        var mayBeCut = ExpiresAt is null && TtlSeconds is null && end > issuedAt;
        return mayBeCut ? end : throw new Refusal(Reason.DelegationExpiryExceeded);
    }
}
