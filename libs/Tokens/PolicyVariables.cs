namespace ClawBureau.Tokens;

/// <summary>
/// The single knobs of contract section 6.1: one tier, and the defaults of the tiers in <c>SCOPE_POLICY_JSON</c>. A value that
/// cannot be read refuses, where the original falls back to a default.
/// </summary>
internal static class PolicyVariables
{
    private const long MaxTtlSeconds = 315_360_000; // ten years

    internal static ScopePolicy Read(Func<string, string?> variables)
    {
        var version = Text(variables, "SCOPE_POLICY_VERSION") ?? "1";
        if (!PolicyDocument.IsVersion(version)) throw Invalid("SCOPE_POLICY_VERSION");
        var tierName = Text(variables, "SCOPE_POLICY_TIER") ?? "default";
        var knobs = new PolicyTier
        {
            Name = tierName,
            MaxTtl = TimeSpan.FromSeconds(Whole(variables, "SCOPE_MAX_TTL_SECONDS", MaxTtlSeconds) ?? 3600),
            AllowWildcards = Flag(variables, "SCOPE_ALLOW_WILDCARDS"),
            AllowedScopes = List(variables, "SCOPE_ALLOWED_SCOPES") ?? [],
            AllowedScopePrefixes = List(variables, "SCOPE_ALLOWED_SCOPE_PREFIXES") ?? [],
            AllowAny = Flag(variables, "SCOPE_ALLOW_ANY"),
            MaxScopeItems = (int)(Whole(variables, "SCOPE_MAX_SCOPE_ITEMS", TokenLimits.MaxScopeItems) ?? TokenLimits.MaxScopeItems),
            MaxScopeLength =
                (int)(Whole(variables, "SCOPE_MAX_SCOPE_LENGTH", TokenLimits.MaxScopeLength) ?? TokenLimits.DefaultScopeLength),
            AllowedAudiences = List(variables, "SCOPE_ALLOWED_AUDIENCES") is not [] and var audiences ? audiences : throw Invalid("SCOPE_ALLOWED_AUDIENCES"),
        };
        var policy = new ScopePolicy(version, [knobs], tierName, GrantSettings.Parse(variables));
        return Text(variables, "SCOPE_POLICY_JSON") is { } json ? PolicyDocument.Read(json, policy, Reason.PolicyConfigInvalid) : policy;
    }

    private static string? Text(Func<string, string?> variables, string name) =>
        variables(name) is { } value && JsText.Trim(value) is { Length: > 0 } text ? text : null;

    private static string[]? List(Func<string, string?> variables, string name) => Text(variables, name) is { } csv
        ? [.. csv.Split(',').Select(JsText.Trim).Where(entry => entry.Length > 0)]
        : null;

    private static bool Flag(Func<string, string?> variables, string name) => Text(variables, name)?.ToLowerInvariant() switch
    {
        null or "0" or "false" or "no" or "n" => false,
        "1" or "true" or "yes" or "y" => true,
        _ => throw Invalid(name),
    };

    private static long? Whole(Func<string, string?> variables, string name, long limit)
    {
        if (Text(variables, name) is not { } text) return null;
        return text.All(char.IsAsciiDigit) && long.TryParse(text, out var number) && number >= 1 && number <= limit
            ? number
            : throw Invalid(name);
    }

    private static Refusal Invalid(string name) =>
        new(Reason.PolicyConfigInvalid, metadata: new Dictionary<string, string> { ["rule"] = name });
}
