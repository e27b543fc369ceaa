namespace ClawBureau.Tokens;

/// <summary>What callers of one tier may ask for (contract section 6.1). An empty allowlist allows nothing.</summary>
public sealed record PolicyTier
{
    public required string Name { get; init; }

    /// <summary>Longest lifetime, whole seconds.</summary>
    public TimeSpan MaxTtl { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Whether a scope may hold <c>*</c>. It must be allowed by a list or prefix all the same.</summary>
    public bool AllowWildcards { get; init; }

    /// <summary>If not empty, exactly these, and <see cref="AllowedScopePrefixes"/> are not looked at.</summary>
    public IReadOnlyList<string> AllowedScopes { get; init; } = [];

    /// <summary>Beginnings of allowed scopes, for example <c>proxy:</c>.</summary>
    public IReadOnlyList<string> AllowedScopePrefixes { get; init; } = [];

    /// <summary>With both lists empty: allow every scope. The original service does so without being told.</summary>
    public bool AllowAny { get; init; }

    /// <summary>1 to <see cref="TokenLimits.MaxScopeItems"/>.</summary>
    public int MaxScopeItems { get; init; } = TokenLimits.MaxScopeItems;

    /// <summary>UTF-16 units, 1 to <see cref="TokenLimits.MaxScopeLength"/>.</summary>
    public int MaxScopeLength { get; init; } = TokenLimits.DefaultScopeLength;

    /// <summary>If not null, every audience must be one of these.</summary>
    public IReadOnlyList<string>? AllowedAudiences { get; init; }

    /// <summary>Rows 3 to 5 of contract 1.1.</summary>
    /// <exception cref="Refusal"><see cref="Reason.InvalidRequest"/>, <see cref="Reason.ScopeTooLarge"/>,
    /// <see cref="Reason.ScopeItemTooLong"/> or <see cref="Reason.TextNotStorable"/>.</exception>
    internal void RequireSize(IReadOnlyList<string>? scope)
    {
        if (scope is not { Count: > 0 })
            throw Refusal.OfField(Reason.InvalidRequest, "scope", "scope must be a non-empty array of strings");
        if (scope.Count > MaxScopeItems)
            throw Refusal.OfField(Reason.ScopeTooLarge, "scope", $"scope must have <= {MaxScopeItems} items");
        foreach (var item in scope)
        {
            if (item.Length == 0 || item.Length > MaxScopeLength)
                throw Refusal.OfField(Reason.ScopeItemTooLong, "scope", $"scope entries must be <= {MaxScopeLength} chars");
            StorableText.Require(item, "scope");
        }
    }

    /// <summary>Row 8: trimmed, blanks dropped, duplicates kept.</summary>
    /// <exception cref="Refusal"><see cref="Reason.InvalidRequest"/>: nothing is left.</exception>
    internal static IReadOnlyList<string> Normalise(IReadOnlyList<string> scope)
    {
        string[] left = [.. scope.Select(JsText.Trim).Where(item => item.Length > 0)];
        return left.Length > 0
            ? left
            : throw Refusal.OfField(Reason.InvalidRequest, "scope", "scope must contain at least one non-empty string");
    }

    /// <summary>Row 20. Which rule allows each scope, in order.</summary>
    /// <exception cref="Refusal"><see cref="Reason.ScopeWildcardNotAllowed"/>, <see cref="Reason.ScopeNotAllowed"/> or
    /// <see cref="Reason.AudienceNotAllowed"/>.</exception>
    internal IReadOnlyList<ScopeRuling> Judge(IReadOnlyList<string> scope, Audience audience)
    {
        if (!AllowWildcards && scope.FirstOrDefault(item => item.Contains('*', StringComparison.Ordinal)) is { } wildcard)
            throw Refuse(Reason.ScopeWildcardNotAllowed, "allow_wildcards", wildcard, sentence: null);
        ScopeRuling[] rulings = [.. scope.Select(item => new ScopeRuling(item, RuleFor(item)))];
        if (AllowedAudiences is { } allowed && audience.Values.FirstOrDefault(value => !allowed.Contains(value)) is { } stranger)
        {
            throw Refuse(Reason.AudienceNotAllowed, "allowed_audiences", stranger,
                $"audience '{stranger}' is not allowed for tier '{Name}'");
        }
        return rulings;
    }

    private string RuleFor(string scope)
    {
        if (AllowedScopes.Count > 0)
            return AllowedScopes.Contains(scope) ? "allowed_scopes" : throw NotAllowed("allowed_scopes");
        if (AllowedScopePrefixes.FirstOrDefault(prefix => scope.StartsWith(prefix, StringComparison.Ordinal)) is { } prefix)
            return $"allowed_scope_prefixes: {prefix}";
        if (AllowedScopePrefixes.Count > 0) throw NotAllowed("allowed_scope_prefixes");
        return AllowAny ? "allow_any" : throw NotAllowed("allow_any");

        Refusal NotAllowed(string rule) =>
            Refuse(Reason.ScopeNotAllowed, rule, scope, $"scope '{scope}' is not allowed for tier '{Name}'");
    }

    private Refusal Refuse(Reason reason, string rule, string value, string? sentence) => new(
        reason, sentence, new Dictionary<string, string> { ["tier"] = Name, ["rule"] = rule, ["value"] = value });
}
