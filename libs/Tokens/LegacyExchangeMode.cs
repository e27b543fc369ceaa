namespace ClawBureau.Tokens;

/// <summary>What the legacy lane may still do (contract 1.1, "Legacy lane, after validation").</summary>
public enum LegacyExchangeMode
{
    /// <summary>Mints, but no sensitive scopes. Also what an unknown setting means, as the contract says.</summary>
    Migration = 0,

    /// <summary>Mints everything the policy allows.</summary>
    Enabled = 1,

    /// <summary>Mints nothing.</summary>
    Disabled = 2,
}

/// <summary>The mode's spelling in configuration and answers.</summary>
public static class LegacyExchangeModes
{
    /// <summary>The answer's <c>migration_notice</c> in <see cref="LegacyExchangeMode.Migration"/>; null in the other modes.</summary>
    public const string MigrationNotice =
        "Legacy exchange is temporary; migrate to /v1/tokens/issue/canonical for sensitive transitions.";

    public static string ToWire(this LegacyExchangeMode mode) => mode switch
    {
        LegacyExchangeMode.Enabled => "enabled",
        LegacyExchangeMode.Disabled => "disabled",
        _ => "migration",
    };

    public static LegacyExchangeMode Parse(string? text) => JsText.Trim(text ?? "") switch
    {
        "enabled" => LegacyExchangeMode.Enabled,
        "disabled" => LegacyExchangeMode.Disabled,
        _ => LegacyExchangeMode.Migration,
    };
}
