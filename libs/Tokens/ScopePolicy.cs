using System.Collections.Frozen;

namespace ClawBureau.Tokens;

/// <summary>
/// The issuance policy: tiers by name, one version for all (contract section 6.1). Immutable. Unlike the original an unknown
/// tier refuses instead of becoming the default one, and an empty allowlist allows nothing unless <c>allow_any</c> says so.
/// </summary>
public sealed class ScopePolicy
{
    /// <param name="version">Answered and audited, not put into tokens.</param>
    /// <param name="tiers">Names are case-sensitive.</param>
    /// <param name="defaultTier">The tier of requests that name none.</param>
    /// <param name="grants">Legacy mode and sensitive prefixes; null: their defaults.</param>
    public ScopePolicy(string version, IEnumerable<PolicyTier> tiers, string defaultTier = "default", GrantSettings? grants = null)
    {
        Version = version;
        DefaultTier = defaultTier;
        Grants = grants ?? new GrantSettings();
        Tiers = tiers.ToFrozenDictionary(tier => tier.Name, StringComparer.Ordinal);
    }

    public string Version { get; }

    public string DefaultTier { get; }

    public IReadOnlyDictionary<string, PolicyTier> Tiers { get; }

    /// <summary>What decides about a grant beside the tiers.</summary>
    public GrantSettings Grants { get; }

    /// <summary>The policy of a configuration: the single knobs, and over them <c>SCOPE_POLICY_JSON</c>, member by member.</summary>
    /// <param name="variables">Looks a variable up; null if it is not set.</param>
    /// <exception cref="Refusal"><see cref="Reason.PolicyConfigInvalid"/>; the metadata names the <c>rule</c>.</exception>
    public static ScopePolicy Parse(Func<string, string?> variables) => PolicyVariables.Read(variables);

    /// <summary>A policy document alone (docs/policy.md): <c>{"version"?, "tiers": {name: {…}}, …}</c>. What it leaves out has the default
    /// of <see cref="PolicyTier"/> and <see cref="GrantSettings"/>, whatever this process is configured with.</summary>
    /// <param name="document">JSON.</param>
    /// <exception cref="Refusal"><see cref="Reason.PolicyInvalid"/>; the metadata names the <c>rule</c>.</exception>
    public static ScopePolicy ParseDocument(string document)
    {
        var policy = PolicyDocument.Read(document, new ScopePolicy("1", [new PolicyTier { Name = "" }]), Reason.PolicyInvalid);
        return policy.Tiers.ContainsKey(policy.DefaultTier)
            ? policy
            : throw new Refusal(Reason.PolicyInvalid, metadata: new Dictionary<string, string> { ["rule"] = "default_tier" });
    }

    /// <summary>The document this policy is: canonical JSON (RFC 8785) with every member of every tier written out.</summary>
    public string ToDocument() => PolicyDocument.Write(this);

    /// <summary>The tier a request falls under.</summary>
    /// <param name="name">As the request has it; null or blank means the default tier.</param>
    /// <exception cref="Refusal"><see cref="Reason.PolicyTierUnknown"/>; <see cref="Reason.PolicyConfigInvalid"/> if the default tier
    /// itself is missing, which is not the caller's fault.</exception>
    public PolicyTier FindTier(string? name)
    {
        var trimmed = JsText.Trim(name ?? "");
        if (trimmed.Length == 0)
            return Tiers.TryGetValue(DefaultTier, out var byDefault) ? byDefault : throw new Refusal(Reason.PolicyConfigInvalid);
        return Tiers.TryGetValue(trimmed, out var tier) ? tier : throw Refusal.OfField(Reason.PolicyTierUnknown, "tier");
    }

    /// <summary>Judges scopes and audience: sizes, then rules (contract 1.1 rows 3 to 5, 8 and 20).</summary>
    /// <exception cref="Refusal">Of <see cref="FindTier"/>, the row that failed, or <see cref="Reason.AudienceNotAllowed"/>; the
    /// metadata names tier, rule and value.</exception>
    public PolicyDecision Decide(string? tierName, IReadOnlyList<string>? scope, Audience audience)
    {
        var tier = FindTier(tierName);
        tier.RequireSize(scope);
        return DecideIn(tier, PolicyTier.Normalise(scope!), audience);
    }

    internal PolicyDecision DecideIn(PolicyTier tier, IReadOnlyList<string> normalised, Audience audience) => new()
    {
        PolicyVersion = Version,
        Tier = tier,
        Rulings = tier.Judge(normalised, audience),
    };
}
