namespace ClawBureau.Tokens;

/// <summary>What callers of one tier may ask for (contract section 6.1). An empty allowlist allows nothing.</summary>
public sealed record PolicyTier
{
    public required string Name { get; init; }

    /// <summary>Longest lifetime, whole seconds.</summary>
    public TimeSpan MaxTtl { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Lifetime of a request that names none, whole seconds, cut to <see cref="MaxTtl"/>.</summary>
    public TimeSpan DefaultTtl { get; init; } = TimeSpan.FromSeconds(TokenLimits.DefaultTtlSeconds);

    /// <summary>Whether a scope may hold <c>*</c>. It must be allowed by a list or prefix all the same; one that would reach beyond its
    /// own family, such as <c>*</c> or <c>co*</c>, by <see cref="AllowedScopes"/>, word for word.</summary>
    public bool AllowWildcards { get; init; }

    /// <summary>If not empty, exactly these, and <see cref="AllowedScopePrefixes"/> are not looked at.</summary>
    public IReadOnlyList<string> AllowedScopes { get; init; } = [];

    /// <summary>Beginnings of allowed scopes, for example <c>proxy:</c>. One without a colon names a family, and does not reach into
    /// another whose name begins alike.</summary>
    public IReadOnlyList<string> AllowedScopePrefixes { get; init; } = [];

    /// <summary>With both lists empty: allow every scope. The original service does so without being told.</summary>
    public bool AllowAny { get; init; }

    /// <summary>1 to <see cref="TokenLimits.MaxScopeItems"/>.</summary>
    public int MaxScopeItems { get; init; } = TokenLimits.MaxScopeItems;

    /// <summary>UTF-16 units, 1 to <see cref="TokenLimits.MaxScopeLength"/>.</summary>
    public int MaxScopeLength { get; init; } = TokenLimits.DefaultScopeLength;

    /// <summary>If not null, every audience must be one of these; not empty.</summary>
    public IReadOnlyList<string>? AllowedAudiences { get; init; }

    /// <summary>Rows 3 to 5 of contract 1.1.</summary>
    /// <exception cref="Refusal"><see cref="Reason.InvalidRequest"/>, <see cref="Reason.ScopeTooLarge"/>,
    /// <see cref="Reason.ScopeItemTooLong"/> or <see cref="Reason.TextNotStorable"/>.</exception>
    internal void RequireSize(IReadOnlyList<string>? scope)
    {
        if (scope is not { Count: > 0 })
            throw Refusal.OfField(Reason.InvalidRequest, "scope", "scope must be a non-empty array of strings");
        if (scope.Count > MaxScopeItems)
            throw TooMuch(Reason.ScopeTooLarge, "max_scope_items", $"scope must have <= {MaxScopeItems} items");
        foreach (var item in scope)
        {
            if (item.Length == 0 || item.Length > MaxScopeLength)
                throw TooMuch(Reason.ScopeItemTooLong, "max_scope_length", $"scope entries must be <= {MaxScopeLength} chars");
            StorableText.Require(item, "scope");
        }

        Refusal TooMuch(Reason reason, string rule, string sentence) => new(
            reason, sentence, new Dictionary<string, string> { ["field"] = "scope", ["tier"] = Name, ["rule"] = rule });
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
        {
            var exact = PlaceOf(AllowedScopes, allowed => allowed == scope);
            return exact >= 0 ? $"allowed_scopes[{exact}]" : throw NotAllowed("allowed_scopes");
        }
        var crossesFamilies = ScopeRule.FamilyOf(scope).Contains('*');
        if (AllowedScopePrefixes.Count > 0)
        {
            var place = crossesFamilies ? -1 : PlaceOf(AllowedScopePrefixes, prefix => Reaches(prefix, scope));
            return place >= 0 ? $"allowed_scope_prefixes[{place}]" : throw NotAllowed("allowed_scope_prefixes");
        }
        return AllowAny && !crossesFamilies ? "allow_any" : throw NotAllowed("allow_any");

        Refusal NotAllowed(string rule) =>
            Refuse(Reason.ScopeNotAllowed, rule, scope, $"scope '{scope}' is not allowed for tier '{Name}'");
    }

    private static bool Reaches(string prefix, string scope) =>
        scope.StartsWith(prefix, StringComparison.Ordinal)
        && (prefix.Contains(':', StringComparison.Ordinal) || ScopeRule.FamilyOf(scope).Length is var family && (family == prefix.Length || family == scope.Length));

    private static int PlaceOf(IReadOnlyList<string> list, Func<string, bool> fits)
    {
        for (var place = 0; place < list.Count; place++)
        {
            if (fits(list[place])) return place;
        }
        return -1;
    }

    private Refusal Refuse(Reason reason, string rule, string value, string? sentence) => new(
        reason, sentence, new Dictionary<string, string> { ["tier"] = Name, ["rule"] = rule, ["value"] = value });
}
