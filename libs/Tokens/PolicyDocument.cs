using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// The JSON form of a policy, contract section 6.1 with this suite's additions (allow_any, max_scope_items, max_scope_length,
/// allowed_audiences). A member nobody knows refuses: a misspelt limit must not be no limit.
/// </summary>
internal static class PolicyDocument
{
    private const long MaxTtlSeconds = 315_360_000; // ten years

    /// <param name="json">The document.</param>
    /// <param name="defaults">What a tier has where it says nothing.</param>
    /// <param name="defaultVersion">The version where the document says nothing.</param>
    /// <param name="defaultTier">The tier of requests that name none.</param>
    /// <param name="reason">The refusal to throw: the operator's configuration or the caller's document is wrong.</param>
    internal static ScopePolicy Read(string json, PolicyTier defaults, string defaultVersion, string defaultTier, Reason reason)
    {
        var root = ParseStrictly(json, reason);
        if (root.ValueKind != JsonValueKind.Object) throw Invalid(reason, "document");
        var version = defaultVersion;
        var tiers = new List<PolicyTier>();
        foreach (var member in root.EnumerateObject())
        {
            switch (member.Name)
            {
                case "version":
                    version = NonBlank(member.Value) ?? throw Invalid(reason, "version");
                    break;
                case "tiers" when member.Value.ValueKind == JsonValueKind.Object:
                    foreach (var tier in member.Value.EnumerateObject())
                        tiers.Add(ReadTier(tier.Name, tier.Value, defaults, reason));
                    break;
                default:
                    throw Invalid(reason, member.Name);
            }
        }
        return tiers.Count > 0 ? new ScopePolicy(version, tiers, defaultTier) : throw Invalid(reason, "tiers");
    }

    internal static string Write(ScopePolicy policy)
    {
        var writer = new JsJsonWriter().BeginObject();
        writer.Name("version").Value(policy.Version);
        writer.Name("tiers").BeginObject();
        foreach (var tier in policy.Tiers.Values.OrderBy(tier => tier.Name, StringComparer.Ordinal))
        {
            writer.Name(tier.Name).BeginObject();
            writer.Name("max_ttl_seconds").Value((long)tier.MaxTtl.TotalSeconds);
            writer.Name("allow_wildcards").Value(tier.AllowWildcards);
            writer.Name("allowed_scopes").Value(tier.AllowedScopes);
            writer.Name("allowed_scope_prefixes").Value(tier.AllowedScopePrefixes);
            writer.Name("allow_any").Value(tier.AllowAny);
            writer.Name("max_scope_items").Value(tier.MaxScopeItems);
            writer.Name("max_scope_length").Value(tier.MaxScopeLength);
            if (tier.AllowedAudiences is { } audiences) writer.Name("allowed_audiences").Value(audiences);
            writer.EndObject();
        }
        writer.EndObject().EndObject();
        return Encoding.UTF8.GetString(writer.Written);
    }

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
                "allow_wildcards" when Flag(value) is { } allowed => tier with { AllowWildcards = allowed },
                "allowed_scopes" when Texts(value) is { } scopes => tier with { AllowedScopes = scopes },
                "allowed_scope_prefixes" when Texts(value) is { } prefixes => tier with { AllowedScopePrefixes = prefixes },
                "allow_any" when Flag(value) is { } any => tier with { AllowAny = any },
                "max_scope_items" when Whole(value, TokenLimits.MaxScopeItems) is { } items => tier with { MaxScopeItems = (int)items },
                "max_scope_length" when Whole(value, TokenLimits.MaxScopeLength) is { } length => tier with { MaxScopeLength = (int)length },
                "allowed_audiences" when Texts(value) is { } audiences => tier with { AllowedAudiences = audiences },
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
            var reader = StrictJson.Reader(bytes);
            reader.Read();
            StrictJson.Skip(ref reader);
            StrictJson.RequireEnd(ref reader);
            return JsonElement.Parse(bytes);
        }
        catch (Exception notStrict) when (notStrict is JsonException or EncoderFallbackException)
        {
            throw new Refusal(reason, metadata: new Dictionary<string, string> { ["rule"] = "document" }, inner: notStrict);
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
    private static string[]? Texts(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array) return null;
        string[] texts = [.. value.EnumerateArray().Select(NonBlank).OfType<string>()];
        return texts.Length == value.GetArrayLength() ? texts : null;
    }

    private static string? NonBlank(JsonElement value) =>
        value.ValueKind == JsonValueKind.String && JsText.Trim(value.GetString()!) is { Length: > 0 } text ? text : null;

    private static Refusal Invalid(Reason reason, string rule) =>
        new(reason, metadata: new Dictionary<string, string> { ["rule"] = rule });
}
