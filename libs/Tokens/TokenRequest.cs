namespace ClawBureau.Tokens;

/// <summary>
/// A request for a token as it arrived: nothing is trimmed or judged yet (contract 1.1). Null is absent; a field of the wrong
/// type is absent too, which is for whoever reads the request to say.
/// </summary>
public sealed record TokenRequest
{
    public string? Tier { get; init; }
    public string? Sub { get; init; }
    public Audience? Audience { get; init; }
    public IReadOnlyList<string>? Scope { get; init; }

    /// <summary>Seconds; fractions are floored.</summary>
    public double? TtlSeconds { get; init; }

    /// <summary>Epoch seconds; fractions are floored; wins over <see cref="TtlSeconds"/>.</summary>
    public double? ExpiresAt { get; init; }

    public string? OwnerRef { get; init; }
    public string? OwnerDid { get; init; }
    public string? ControllerDid { get; init; }
    public string? AgentDid { get; init; }

    /// <summary>What the request calls its lane; the endpoint decides, this only has to agree where delegation is asked for.</summary>
    public string? Lane { get; init; }

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

    /// <summary>Epoch seconds; fractions are floored; not finite counts as absent.</summary>
    public double? DelegationExpiresAt { get; init; }
}
