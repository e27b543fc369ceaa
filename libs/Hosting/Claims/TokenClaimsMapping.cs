using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Hosting.Claims;

/// <summary>A token's claims as every service sends them.</summary>
public static class TokenClaimsMapping
{
    public static Wire.TokenClaims ToWire(TokenClaims claims)
    {
        var wire = new Wire.TokenClaims
        {
            TokenVersion = TokenClaims.Version,
            Sub = claims.Sub,
            Aud = new Wire.Audience { Values = { claims.Audience.Values }, AsArray = claims.Audience.IsArray },
            Scope = { claims.Scope },
            Iat = new Timestamp { Seconds = claims.IssuedAt },
            Exp = new Timestamp { Seconds = claims.ExpiresAt },
            TokenLane = claims.Lane switch
            {
                TokenLane.Canonical => Wire.TokenLane.Canonical,
                TokenLane.Legacy => Wire.TokenLane.Legacy,
                _ => Wire.TokenLane.Unspecified,
            },
        };
        if (claims.OwnerRef is { } ownerRef) wire.OwnerRef = ownerRef;
        if (claims.OwnerDid is { } owner) wire.OwnerDid = owner.ToString();
        if (claims.ControllerDid is { } controller) wire.ControllerDid = controller.ToString();
        if (claims.AgentDid is { } agent) wire.AgentDid = agent.ToString();
        if (claims.PolicyHash is { } policy) wire.PolicyHashB64U = policy.ToString();
        if (claims.ControlPlanePolicyHash is { } control) wire.ControlPlanePolicyHashB64U = control.ToString();
        if (claims.TokenScopeHash is { } scope) wire.TokenScopeHashB64U = scope.ToString();
        if (claims.PaymentAccountDid is { } payment) wire.PaymentAccountDid = payment.ToString();
        if (claims.SpendCap is { } cap) wire.SpendCap = cap;
        if (claims.MissionId is { } mission) wire.MissionId = mission;
        if (claims.Jti is { } jti) wire.Jti = jti;
        if (claims.Nonce is { } nonce) wire.Nonce = nonce;
        if (claims.Delegation is { } delegation) wire.Delegation = ToWire(delegation);
        return wire;
    }

    private static Wire.Delegation ToWire(Delegation delegation)
    {
        var wire = new Wire.Delegation();
        if (delegation.Id is { } id) wire.DelegationId = id;
        if (delegation.DelegatorDid is { } delegator) wire.DelegatorDid = delegator.ToString();
        if (delegation.DelegateDid is { } @delegate) wire.DelegateDid = @delegate.ToString();
        if (delegation.PolicyHash is { } policy) wire.PolicyHashB64U = policy.ToString();
        if (delegation.SpendCapMinor is { } cap) wire.SpendCapMinor = cap;
        if (delegation.ExpiresAt is { } end) wire.ExpiresAt = new Timestamp { Seconds = end };
        return wire;
    }
}
