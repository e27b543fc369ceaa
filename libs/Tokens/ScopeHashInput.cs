namespace ClawBureau.Tokens;

/// <summary>
/// A grant as plain values, before anything has judged their form, and its hash (contract section 2.2). The issuer, clawproxy
/// and clawverify each compute it from what they see; the rules here are theirs, to the byte.
/// </summary>
public sealed record ScopeHashInput
{
    public required string Sub { get; init; }
    public required IReadOnlyList<string> Audience { get; init; }
    public required IReadOnlyList<string> Scope { get; init; }
    public string? OwnerRef { get; init; }
    public string? OwnerDid { get; init; }
    public string? ControllerDid { get; init; }
    public string? AgentDid { get; init; }
    public string? PolicyHash { get; init; }
    public string? ControlPlanePolicyHash { get; init; }
    public string? PaymentAccountDid { get; init; }
    public double? SpendCap { get; init; }
    public string? MissionId { get; init; }
    public string? DelegationId { get; init; }
    public string? DelegatorDid { get; init; }
    public string? DelegateDid { get; init; }
    public string? DelegationPolicyHash { get; init; }
    public string? DelegationSpendCapMinor { get; init; }
    public double? DelegationExpiresAt { get; init; }

    public static ScopeHashInput Of(TokenClaims claims) => new()
    {
        Sub = claims.Sub,
        Audience = claims.Audience.Values,
        Scope = claims.Scope,
        OwnerRef = claims.OwnerRef,
        OwnerDid = claims.OwnerDid?.ToString(),
        ControllerDid = claims.ControllerDid?.ToString(),
        AgentDid = claims.AgentDid?.ToString(),
        PolicyHash = claims.PolicyHash?.ToString(),
        ControlPlanePolicyHash = claims.ControlPlanePolicyHash?.ToString(),
        PaymentAccountDid = claims.PaymentAccountDid?.ToString(),
        SpendCap = claims.SpendCap,
        MissionId = claims.MissionId,
        DelegationId = claims.Delegation?.Id,
        DelegatorDid = claims.Delegation?.DelegatorDid?.ToString(),
        DelegateDid = claims.Delegation?.DelegateDid?.ToString(),
        DelegationPolicyHash = claims.Delegation?.PolicyHash?.ToString(),
        DelegationSpendCapMinor = claims.Delegation?.SpendCapMinor,
        DelegationExpiresAt = claims.Delegation?.ExpiresAt,
    };

    public ScopeHash Compute() => ScopeHash.Of(ToCanonicalJson());

    /// <summary>The text that is hashed. Members stand in RFC 8785 order already: the set is fixed, so nothing is sorted here.</summary>
    public byte[] ToCanonicalJson()
    {
        var writer = new JsJsonWriter().BeginObject();
        Text("agent_did", AgentDid);
        writer.Name("aud").Value(Normalised(Audience));
        Text("control_plane_policy_hash_b64u", ControlPlanePolicyHash);
        Text("controller_did", ControllerDid);
        Text("delegate_did", DelegateDid);
        if (DelegationExpiresAt is { } expires && double.IsFinite(expires) && expires > 0)
            writer.Name("delegation_expires_at").Value(Math.Floor(expires));
        Text("delegation_id", DelegationId);
        Text("delegation_policy_hash_b64u", DelegationPolicyHash);
        if (DelegationSpendCapMinor is { } cap && IsDigits(JsText.Trim(cap))) Text("delegation_spend_cap_minor", cap);
        Text("delegator_did", DelegatorDid);
        Text("mission_id", MissionId);
        Text("owner_did", OwnerDid);
        Text("owner_ref", OwnerRef);
        Text("payment_account_did", PaymentAccountDid);
        Text("policy_hash_b64u", PolicyHash);
        writer.Name("scope").Value(Normalised(Scope));
        if (SpendCap is { } spend && double.IsFinite(spend) && spend >= 0) writer.Name("spend_cap").Value(spend);
        writer.Name("sub").Value(JsText.Trim(Sub));
        writer.Name("token_version").Value(TokenClaims.Version);
        return writer.EndObject().ToArray();

        void Text(string name, string? value)
        {
            if (value is not null && JsText.Trim(value) is { Length: > 0 } trimmed) writer.Name(name).Value(trimmed);
        }
    }

    /// <summary>Trimmed, blanks dropped, each once, sorted by UTF-16 unit.</summary>
    private static SortedSet<string> Normalised(IReadOnlyList<string> values) =>
        new(values.Select(JsText.Trim).Where(value => value.Length > 0), StringComparer.Ordinal);

    private static bool IsDigits(string text) => text.Length > 0 && text.All(char.IsAsciiDigit);
}
