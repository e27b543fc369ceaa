using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Delegation = ClawBureau.Protos.Types.V1.Delegation;
using TokenClaims = ClawBureau.Protos.Types.V1.TokenClaims;
using TokenLane = ClawBureau.Protos.Types.V1.TokenLane;

namespace ClawBureau.Edge;

/// <summary>Claims as the contract's answers hold them: in its order, absent ones absent, times as numbers (clawscope-http.md 1.2, 2.1, 5.1).</summary>
internal static class ClaimsJson
{
    /// <summary>All claims, as the token itself has them.</summary>
    public static JsJsonWriter AllClaims(this JsJsonWriter json, TokenClaims claims) => json
        .Name("token_version").Value(claims.TokenVersion)
        .SubjectClaims(claims)
        .TimeClaims(claims)
        .GrantClaims(claims)
        .Optional("token_lane", LaneOf(claims.TokenLane))
        .Optional("jti", claims.HasJti ? claims.Jti : null)
        .Optional("nonce", claims.HasNonce ? claims.Nonce : null);

    public static JsJsonWriter SubjectClaims(this JsJsonWriter json, TokenClaims claims) => json
        .Name("sub").Value(claims.Sub)
        .AudienceClaim(claims)
        .Name("scope").Value(claims.Scope);

    public static JsJsonWriter AudienceClaim(this JsJsonWriter json, TokenClaims claims) => claims.Aud is { AsArray: false, Values: [var only] }
        ? json.Name("aud").Value(only)
        : json.Name("aud").Value(claims.Aud?.Values ?? Enumerable.Empty<string>());

    public static JsJsonWriter TimeClaims(this JsJsonWriter json, TokenClaims claims) => json
        .Name("iat").Value(claims.Iat.Seconds)
        .Name("exp").Value(claims.Exp.Seconds);

    /// <summary>owner_ref to delegation_expires_at.</summary>
    public static JsJsonWriter GrantClaims(this JsJsonWriter json, TokenClaims claims)
    {
        json.Optional("owner_ref", claims.HasOwnerRef ? claims.OwnerRef : null)
            .ChainClaims(claims)
            .Optional("policy_hash_b64u", claims.HasPolicyHashB64U ? claims.PolicyHashB64U : null)
            .Optional("control_plane_policy_hash_b64u", claims.HasControlPlanePolicyHashB64U ? claims.ControlPlanePolicyHashB64U : null)
            .Optional("token_scope_hash_b64u", claims.HasTokenScopeHashB64U ? claims.TokenScopeHashB64U : null)
            .Optional("payment_account_did", claims.HasPaymentAccountDid ? claims.PaymentAccountDid : null);
        if (claims.HasSpendCap) json.Name("spend_cap").Value(claims.SpendCap);
        return json.Optional("mission_id", claims.HasMissionId ? claims.MissionId : null).DelegationClaims(claims.Delegation);
    }

    public static JsJsonWriter ChainClaims(this JsJsonWriter json, TokenClaims claims) => json
        .Optional("owner_did", claims.HasOwnerDid ? claims.OwnerDid : null)
        .Optional("controller_did", claims.HasControllerDid ? claims.ControllerDid : null)
        .Optional("agent_did", claims.HasAgentDid ? claims.AgentDid : null);

    public static JsJsonWriter DelegationClaims(this JsJsonWriter json, Delegation? delegation)
    {
        if (delegation is null) return json;
        json.Optional("delegation_id", delegation.HasDelegationId ? delegation.DelegationId : null)
            .Optional("delegator_did", delegation.HasDelegatorDid ? delegation.DelegatorDid : null)
            .Optional("delegate_did", delegation.HasDelegateDid ? delegation.DelegateDid : null)
            .Optional("delegation_policy_hash_b64u", delegation.HasPolicyHashB64U ? delegation.PolicyHashB64U : null)
            .Optional("delegation_spend_cap_minor", delegation.HasSpendCapMinor ? delegation.SpendCapMinor : null);
        return delegation.ExpiresAt is { } end ? json.Name("delegation_expires_at").Value(end.Seconds) : json;
    }

    public static JsJsonWriter Optional(this JsJsonWriter json, string name, string? value) => string.IsNullOrEmpty(value) ? json : json.Name(name).Value(value);

    /// <summary>Epoch seconds, and beside them the ISO form of the same second, as <c>Date.toISOString</c> writes it.</summary>
    public static JsJsonWriter Time(this JsJsonWriter json, string name, Timestamp time) => json
        .Name(name).Value(time.Seconds)
        .Name(name + "_iso").Value(IsoOf(new Timestamp { Seconds = time.Seconds }));

    public static string IsoOf(Timestamp time) => time.ToDateTime().ToString("yyyy-MM-ddTHH:mm:ss.fffZ");

    public static string? LaneOf(TokenLane lane) => lane switch
    {
        TokenLane.Canonical => "canonical",
        TokenLane.Legacy => "legacy",
        _ => null,
    };
}
