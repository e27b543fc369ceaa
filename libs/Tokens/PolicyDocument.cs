using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// The JSON form of a policy: contract section 6.1 with this suite's additions, as docs/policy.md tells them. A member nobody knows
/// refuses: a misspelt limit must not be no limit.
/// </summary>
internal static class PolicyDocument
{
    private const long MaxTtlSeconds = 315_360_000; // ten years
    private const int MaxVersionLength = 64;
    private const int MaxEntries = 1024;

    /// <param name="json">The document.</param>
    /// <param name="defaults">What holds where the document says nothing; its one tier is every tier's default.</param>
    /// <param name="reason">The refusal to throw: the operator's configuration or the caller's document is wrong.</param>
    internal static ScopePolicy Read(string json, ScopePolicy defaults, Reason reason)
    {
        var root = ParseStrictly(json, reason);
        if (root.ValueKind != JsonValueKind.Object) throw Invalid(reason, "document");
        var (version, defaultTier, grants) = (defaults.Version, defaults.DefaultTier, defaults.Grants);
        var ofTier = defaults.Tiers.Values.Single();
        var tiers = new List<PolicyTier>();
        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            switch (member.Name)
            {
                case "version" when NonBlank(value) is { } text && IsVersion(text):
                    version = text;
                    break;
                case "default_tier" when NonBlank(value) is { } text:
                    defaultTier = text;
                    break;
                case "legacy_exchange_mode" when NonBlank(value) is { } text && LegacyExchangeModes.Parse(text) is var mode && mode.ToWire() == text:
                    grants = grants with { LegacyExchangeMode = mode };
                    break;
                // None at all would open the legacy lane to everything: there is no reason to write that.
                case "sensitive_scope_prefixes" when Texts(value, TokenLimits.MaxScopeLength) is { Length: > 0 } prefixes:
                    grants = grants with { SensitiveScopePrefixes = prefixes };
                    break;
                case "tiers" when value.ValueKind == JsonValueKind.Object:
                    foreach (var tier in value.EnumerateObject())
                        tiers.Add(ReadTier(tier.Name, tier.Value, ofTier, reason));
                    break;
                default:
                    throw Invalid(reason, member.Name);
            }
        }
        return tiers.Count > 0 ? new ScopePolicy(version, tiers, defaultTier, grants) : throw Invalid(reason, "tiers");
    }

    /// <summary>Members in RFC 8785's order.</summary>
    internal static string Write(ScopePolicy policy)
    {
        var writer = new JsJsonWriter().BeginObject();
        writer.Name("default_tier").Value(policy.DefaultTier);
        writer.Name("legacy_exchange_mode").Value(policy.Grants.LegacyExchangeMode.ToWire());
        writer.Name("sensitive_scope_prefixes").Value(policy.Grants.SensitiveScopePrefixes);
        writer.Name("tiers").BeginObject();
        foreach (var tier in policy.Tiers.Values.OrderBy(tier => tier.Name, StringComparer.Ordinal))
        {
            writer.Name(tier.Name).BeginObject();
            writer.Name("allow_any").Value(tier.AllowAny);
            writer.Name("allow_wildcards").Value(tier.AllowWildcards);
            if (tier.AllowedAudiences is { } audiences) writer.Name("allowed_audiences").Value(audiences);
            writer.Name("allowed_scope_prefixes").Value(tier.AllowedScopePrefixes);
            writer.Name("allowed_scopes").Value(tier.AllowedScopes);
            writer.Name("default_ttl_seconds").Value((long)tier.DefaultTtl.TotalSeconds);
            writer.Name("max_scope_items").Value(tier.MaxScopeItems);
            writer.Name("max_scope_length").Value(tier.MaxScopeLength);
            writer.Name("max_ttl_seconds").Value((long)tier.MaxTtl.TotalSeconds);
            writer.EndObject();
        }
        writer.EndObject();
        writer.Name("version").Value(policy.Version).EndObject();
        return Encoding.UTF8.GetString(writer.Written);
    }

    internal static bool IsVersion(string text) => text.Length <= MaxVersionLength && StorableText.IsStorable(text);

    private static PolicyTier ReadTier(string name, JsonElement json, PolicyTier defaults, Reason reason)
    {
        if (name.Length > TokenLimits.MaxTierLength || JsText.IsBlank(name) || JsText.Trim(name) != name
            || !StorableText.IsStorable(name) || json.ValueKind != JsonValueKind.Object)
            throw Invalid(reason, "tiers");
        var tier = defaults with { Name = name };
        foreach (var member in json.EnumerateObject())
        {
            var value = member.Value;
            tier = member.Name switch
            {
                "max_ttl_seconds" when Whole(value, MaxTtlSeconds) is { } seconds => tier with { MaxTtl = TimeSpan.FromSeconds(seconds) },
                "default_ttl_seconds" when Whole(value, MaxTtlSeconds) is { } seconds => tier with { DefaultTtl = TimeSpan.FromSeconds(seconds) },
                "allow_wildcards" when Flag(value) is { } allowed => tier with { AllowWildcards = allowed },
                "allowed_scopes" when Texts(value, TokenLimits.MaxScopeLength) is { } scopes => tier with { AllowedScopes = scopes },
                "allowed_scope_prefixes" when Texts(value, TokenLimits.MaxScopeLength) is { } prefixes => tier with { AllowedScopePrefixes = prefixes },
                "allow_any" when Flag(value) is { } any => tier with { AllowAny = any },
                "max_scope_items" when Whole(value, TokenLimits.MaxScopeItems) is { } items => tier with { MaxScopeItems = (int)items },
                "max_scope_length" when Whole(value, TokenLimits.MaxScopeLength) is { } length => tier with { MaxScopeLength = (int)length },
                // No audience at all is a tier that grants nothing: left out, it means any.
                "allowed_audiences" when Texts(value, TokenLimits.MaxAudienceLength) is { Length: > 0 } audiences => tier with { AllowedAudiences = audiences },
                _ => throw Invalid(reason, $"tiers.{name}.{member.Name}"),
            };
        }
        return tier;
    }

    private static JsonElement ParseStrictly(string json, Reason reason)
    {
        try
        {
            var bytes = new UTF8Encoding(false, throwOnInvalidBytes: true).GetBytes(json);
            return StrictJson.IsStrict(bytes) ? JsonElement.Parse(bytes) : throw Invalid(reason, "document");
        }
        catch (EncoderFallbackException notUnicode)
        {
            throw new Refusal(reason, metadata: new Dictionary<string, string> { ["rule"] = "document" }, inner: notUnicode);
        }
    }

    /// <summary>1 to the limit, fractions floored as the original does.</summary>
    private static long? Whole(JsonElement value, long limit) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number >= 1 && number < limit + 1d
            ? (long)number
            : null;

    private static bool? Flag(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => null,
    };

    /// <summary>Blank entries are no entries but mistakes: as a prefix, the empty text would allow everything.</summary>
    private static string[]? Texts(JsonElement value, int longest)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > MaxEntries) return null;
        string[] texts = [.. value.EnumerateArray().Select(NonBlank).OfType<string>().Where(text => text.Length <= longest && StorableText.IsStorable(text))];
        return texts.Length == value.GetArrayLength() ? texts : null;
    }

    private static string? NonBlank(JsonElement value) =>
        value.ValueKind == JsonValueKind.String && JsText.Trim(value.GetString()!) is { Length: > 0 } text ? text : null;

    private static Refusal Invalid(Reason reason, string rule) =>
        new(reason, metadata: new Dictionary<string, string> { ["rule"] = rule });
}
