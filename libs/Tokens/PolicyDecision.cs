namespace ClawBureau.Tokens;

/// <summary>Why one scope is allowed; <paramref name="Rule"/> is the tier's member that says so, such as
/// <c>allowed_scope_prefixes[1]</c>.</summary>
public sealed record ScopeRuling(string Scope, string Rule);

/// <summary>What the policy said of a request that it allows. What it refuses is a <see cref="Refusal"/>.</summary>
public sealed record PolicyDecision
{
    public required string PolicyVersion { get; init; }

    public required PolicyTier Tier { get; init; }

    /// <summary>The scopes as they go into the claims, each with the rule that allows it.</summary>
    public required IReadOnlyList<ScopeRuling> Rulings { get; init; }
}
