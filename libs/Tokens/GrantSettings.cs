namespace ClawBureau.Tokens;

/// <summary>What decides about a grant beside the policy (contract sections 1.1 and 6.2).</summary>
public sealed record GrantSettings
{
    /// <summary><c>SCOPE_LEGACY_EXCHANGE_MODE</c></summary>
    public LegacyExchangeMode LegacyExchangeMode { get; init; } = LegacyExchangeMode.Migration;

    /// <summary><c>SCOPE_SENSITIVE_SCOPE_PREFIXES</c>: scopes beginning so need the canonical lane and the controller's policy.</summary>
    public IReadOnlyList<string> SensitiveScopePrefixes { get; init; } = ["control:"];

    /// <param name="variables">Looks a variable up; null if it is not set.</param>
    public static GrantSettings Parse(Func<string, string?> variables)
    {
        var settings = new GrantSettings
        {
            LegacyExchangeMode = LegacyExchangeModes.Parse(variables("SCOPE_LEGACY_EXCHANGE_MODE")),
        };
        string[] prefixes =
        [
            .. (variables("SCOPE_SENSITIVE_SCOPE_PREFIXES") ?? "").Split(',').Select(JsText.Trim).Where(entry => entry.Length > 0),
        ];
        return prefixes.Length > 0 ? settings with { SensitiveScopePrefixes = prefixes } : settings;
    }

    public bool IsSensitive(string scope) =>
        SensitiveScopePrefixes.Any(prefix => scope.StartsWith(prefix, StringComparison.Ordinal));
}
