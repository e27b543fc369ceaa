namespace ClawBureau.Tokens;

/// <summary>Writes a token's payload, members in the order of contract section 2.1.</summary>
internal static class ClaimsWriter
{
    internal static byte[] Write(TokenClaims claims)
    {
        var writer = new JsJsonWriter().BeginObject();
        writer.Name("token_version").Value(TokenClaims.Version);
        writer.Name("sub").Value(claims.Sub);
        writer.Name("aud");
        if (claims.Audience.IsArray) writer.Value(claims.Audience.Values);
        else writer.Value(claims.Audience.Values[0]);
        writer.Name("scope").Value(claims.Scope);
        writer.Name("iat").Value(claims.IssuedAt);
        writer.Name("exp").Value(claims.ExpiresAt);
        Text("owner_ref", claims.OwnerRef);
        Text("owner_did", claims.OwnerDid?.ToString());
        Text("controller_did", claims.ControllerDid?.ToString());
        Text("agent_did", claims.AgentDid?.ToString());
        Text("policy_hash_b64u", claims.PolicyHash?.ToString());
        Text("control_plane_policy_hash_b64u", claims.ControlPlanePolicyHash?.ToString());
        Text("token_scope_hash_b64u", claims.TokenScopeHash?.ToString());
        Text("payment_account_did", claims.PaymentAccountDid?.ToString());
        if (claims.SpendCap is { } spend) writer.Name("spend_cap").Value(spend);
        Text("mission_id", claims.MissionId);
        if (claims.Delegation is { } delegation)
        {
            Text("delegation_id", delegation.Id);
            Text("delegator_did", delegation.DelegatorDid?.ToString());
            Text("delegate_did", delegation.DelegateDid?.ToString());
            Text("delegation_policy_hash_b64u", delegation.PolicyHash?.ToString());
            Text("delegation_spend_cap_minor", delegation.SpendCapMinor);
            if (delegation.ExpiresAt is { } expires) writer.Name("delegation_expires_at").Value(expires);
        }
        Text("token_lane", claims.Lane?.ToClaim());
        Text("jti", claims.Jti);
        Text("nonce", claims.Nonce);
        return writer.EndObject().ToArray();

        void Text(string name, string? value)
        {
            if (value is not null) writer.Name(name).Value(value);
        }
    }
}
