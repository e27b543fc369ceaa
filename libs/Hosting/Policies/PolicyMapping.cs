using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Policy = ClawBureau.Protos.Policy.V1.Policy;
using Wire = ClawBureau.Protos.Types.V1;
using WireTier = ClawBureau.Protos.Policy.V1.PolicyTier;

namespace ClawBureau.Hosting.Policies;

/// <summary>A policy between the wire and <see cref="ScopePolicy"/>, for the Issuer and for who puts one.</summary>
public static class PolicyMapping
{
    public static Policy ToWire(ScopePolicy policy) => new()
    {
        Version = policy.Version,
        DefaultTier = policy.DefaultTier,
        SensitiveScopePrefixes = { policy.Grants.SensitiveScopePrefixes },
        LegacyExchangeMode = policy.Grants.LegacyExchangeMode switch
        {
            LegacyExchangeMode.Enabled => Wire.LegacyExchangeMode.Enabled,
            LegacyExchangeMode.Disabled => Wire.LegacyExchangeMode.Disabled,
            _ => Wire.LegacyExchangeMode.Migration,
        },
        Tiers =
        {
            policy.Tiers.Values.OrderBy(tier => tier.Name, StringComparer.Ordinal).Select(tier => new WireTier
            {
                Name = tier.Name,
                AllowedScopes = { tier.AllowedScopes },
                AllowedScopePrefixes = { tier.AllowedScopePrefixes },
                AllowWildcards = tier.AllowWildcards,
                AllowAny = tier.AllowAny,
                MaxTtl = Duration.FromTimeSpan(tier.MaxTtl),
                DefaultTtl = Duration.FromTimeSpan(tier.DefaultTtl),
                MaxScopeItems = tier.MaxScopeItems,
                MaxScopeLength = tier.MaxScopeLength,
                AllowedAudiences = { tier.AllowedAudiences ?? [] },
            }),
        },
    };

    /// <summary>The policy as its document reads: whatever a document must not hold is refused here too.</summary>
    /// <exception cref="Refusal">POLICY_INVALID; the metadata names the <c>rule</c>.</exception>
    public static ScopePolicy FromWire(Policy policy)
    {
        if (policy.Version.Length == 0) throw Invalid("version", null);
        if (policy.MaxAuditLag is not null) throw Invalid("max_audit_lag", "max_audit_lag cannot be set yet: this build does not know how far behind the audit log is");
        if (policy.Tiers.DistinctBy(tier => tier.Name).Count() != policy.Tiers.Count) throw Invalid("tiers", "two tiers have one name");
        var byDefault = new GrantSettings();
        var stated = new ScopePolicy(
            policy.Version,
            policy.Tiers.Select(FromWire),
            policy.DefaultTier.Length > 0 ? policy.DefaultTier : "default",
            new GrantSettings
            {
                SensitiveScopePrefixes = policy.SensitiveScopePrefixes.Count > 0 ? [.. policy.SensitiveScopePrefixes] : byDefault.SensitiveScopePrefixes,
                LegacyExchangeMode = policy.LegacyExchangeMode switch
                {
                    Wire.LegacyExchangeMode.Unspecified => byDefault.LegacyExchangeMode,
                    Wire.LegacyExchangeMode.Enabled => LegacyExchangeMode.Enabled,
                    Wire.LegacyExchangeMode.Disabled => LegacyExchangeMode.Disabled,
                    Wire.LegacyExchangeMode.Migration => LegacyExchangeMode.Migration,
                    _ => throw Invalid("legacy_exchange_mode", null),
                },
            });
        return ScopePolicy.ParseDocument(stated.ToDocument());
    }

    private static PolicyTier FromWire(WireTier tier)
    {
        var byDefault = new PolicyTier { Name = tier.Name };
        return byDefault with
        {
            AllowedScopes = [.. tier.AllowedScopes],
            AllowedScopePrefixes = [.. tier.AllowedScopePrefixes],
            AllowWildcards = tier.AllowWildcards,
            AllowAny = tier.AllowAny,
            MaxTtl = Whole(tier.MaxTtl, "max_ttl_seconds", byDefault.MaxTtl),
            DefaultTtl = Whole(tier.DefaultTtl, "default_ttl_seconds", byDefault.DefaultTtl),
            MaxScopeItems = tier.MaxScopeItems == 0 ? byDefault.MaxScopeItems : tier.MaxScopeItems,
            MaxScopeLength = tier.MaxScopeLength == 0 ? byDefault.MaxScopeLength : tier.MaxScopeLength,
            AllowedAudiences = tier.AllowedAudiences.Count == 0 ? null : [.. tier.AllowedAudiences],
        };

        TimeSpan Whole(Duration? duration, string member, TimeSpan unset) => duration switch
        {
            null => unset,
            { Seconds: > 0 and <= Duration.MaxSeconds } => TimeSpan.FromSeconds(duration.Seconds),
            _ => throw Invalid($"tiers.{tier.Name}.{member}", null),
        };
    }

    private static Refusal Invalid(string rule, string? sentence) =>
        new(Reason.PolicyInvalid, sentence, new Dictionary<string, string> { ["rule"] = rule });
}
