namespace ClawBureau.Tokens;

/// <summary>
/// The claims of a scoped token, <c>token_version</c> "1" (contract section 2.1). Times are epoch seconds. What is null is
/// absent from the payload.
/// </summary>
public sealed record TokenClaims
{
    /// <summary>The only version there is, a string.</summary>
    public const string Version = "1";

    /// <summary><c>sub</c>: usually a DID, but any non-blank text in the legacy lane.</summary>
    public required string Sub { get; init; }

    /// <summary><c>aud</c></summary>
    public required Audience Audience { get; init; }

    /// <summary><c>scope</c>: in the order asked for, duplicates kept.</summary>
    public required IReadOnlyList<string> Scope { get; init; }

    /// <summary><c>iat</c></summary>
    public required long IssuedAt { get; init; }

    /// <summary><c>exp</c>: the first second in which the token is no longer good.</summary>
    public required long ExpiresAt { get; init; }

    /// <summary><c>owner_ref</c></summary>
    public string? OwnerRef { get; init; }

    /// <summary><c>owner_did</c>: verified in the canonical lane only, as are the next two.</summary>
    public Did? OwnerDid { get; init; }

    /// <summary><c>controller_did</c></summary>
    public Did? ControllerDid { get; init; }

    /// <summary><c>agent_did</c>: equal to the subject in the canonical lane.</summary>
    public Did? AgentDid { get; init; }

    /// <summary><c>policy_hash_b64u</c>: the Work Policy Contract the token is pinned to.</summary>
    public PolicyHash? PolicyHash { get; init; }

    /// <summary><c>control_plane_policy_hash_b64u</c>: the controller's sensitive policy at issuance.</summary>
    public PolicyHash? ControlPlanePolicyHash { get; init; }

    /// <summary><c>token_scope_hash_b64u</c> as it stands in the token; <see cref="ComputeScopeHash"/> says what it should be.</summary>
    public ScopeHash? TokenScopeHash { get; init; }

    /// <summary><c>payment_account_did</c></summary>
    public Did? PaymentAccountDid { get; init; }

    /// <summary><c>spend_cap</c>: a finite number in the payment account's major unit.</summary>
    public double? SpendCap { get; init; }

    /// <summary><c>mission_id</c>: the job; OpenClaw sends its session key.</summary>
    public string? MissionId { get; init; }

    /// <summary>The <c>delegat*</c> claims together; null when none is there.</summary>
    public Delegation? Delegation { get; init; }

    /// <summary><c>token_lane</c>; always there in our tokens.</summary>
    public TokenLane? Lane { get; init; }

    /// <summary><c>jti</c>: a UUIDv4 in our tokens.</summary>
    public string? Jti { get; init; }

    /// <summary><c>nonce</c>: a UUIDv4 in our tokens.</summary>
    public string? Nonce { get; init; }

    /// <summary>The hash of the grant these claims express; times, ids and lane do not count (contract 2.2).</summary>
    public ScopeHash ComputeScopeHash() => ScopeHashInput.Of(this).Compute();

    /// <summary>The payload: UTF-8 JSON, members in the contract's order, as JSON.stringify writes it.</summary>
    public byte[] ToPayload() => ClaimsWriter.Write(this);
}
