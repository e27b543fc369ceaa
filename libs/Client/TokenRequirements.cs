using ClawBureau.Tokens;

namespace ClawBureau.Client;

/// <summary>What a service asks of a token. Empty lists ask nothing. Immutable: make one and keep it.</summary>
public sealed class TokenRequirements
{
    private readonly IReadOnlyList<Transition> _transitions = [];

    public static TokenRequirements None { get; } = new();

    /// <summary>Every one must be in <c>aud</c>.</summary>
    public IReadOnlyList<string> AudienceAll { get; init; } = [];

    /// <summary>At least one must be in <c>aud</c>.</summary>
    public IReadOnlyList<string> AudienceAny { get; init; } = [];

    /// <summary>Every one must be granted; <c>family:*</c> grants its family.</summary>
    public IReadOnlyList<string> ScopeAll { get; init; } = [];

    /// <summary>At least one must be granted.</summary>
    public IReadOnlyList<string> ScopeAny { get; init; } = [];

    /// <summary>Names of transitions that the token must be allowed to make (clawscope-http.md 5.3).</summary>
    /// <exception cref="Refusal">TRANSITION_UNKNOWN: there is none of that name.</exception>
    public IReadOnlyList<string> Transitions
    {
        get => [.. _transitions.Select(transition => transition.Name)];
        init => _transitions = [.. value.Select(name => TransitionMatrix.Find(name) ?? throw Refusal.OfField(Reason.TransitionUnknown, "transitions", $"Unknown transition '{name}'"))];
    }

    /// <summary>Accept tokens of keys that never signed at the issuer.</summary>
    public bool AllowForeign { get; init; }

    /// <summary>The first requirement that the token does not meet.</summary>
    /// <param name="field">The requirement's name on the wire; null when all are met.</param>
    /// <returns>Null when all are met.</returns>
    internal Reason? FindUnmet(TokenClaims claims, bool isForeign, out string? field)
    {
        field = null;
        if (isForeign && !AllowForeign)
        {
            field = "allow_foreign";
            return Reason.TokenForeign;
        }
        for (int i = 0; i < AudienceAll.Count; i++)
            if (!claims.Audience.Contains(AudienceAll[i])) field = "audience_all";
        if (field is null && AudienceAny.Count > 0)
        {
            field = "audience_any";
            for (int i = 0; i < AudienceAny.Count; i++)
                if (claims.Audience.Contains(AudienceAny[i])) field = null;
        }
        if (field is not null) return Reason.TokenBadAudience;

        for (int i = 0; i < ScopeAll.Count; i++)
            if (!ScopeRule.SatisfiesAny(claims.Scope, ScopeAll[i])) field = "scope_all";
        if (field is null && ScopeAny.Count > 0)
        {
            field = "scope_any";
            for (int i = 0; i < ScopeAny.Count; i++)
                if (ScopeRule.SatisfiesAny(claims.Scope, ScopeAny[i])) field = null;
        }
        if (field is not null) return Reason.TokenInsufficientScope;

        for (int i = 0; i < _transitions.Count; i++)
        {
            if (TransitionMatrix.Judge(claims, _transitions[i]).IsAllowed) continue;
            field = "transitions";
            return Reason.TokenControlTransitionForbidden;
        }
        return null;
    }

    /// <summary>What the requirement of that name lists: tells the holder of a refused token what to ask for.</summary>
    internal string Listed(string field) => field switch
    {
        "audience_all" => string.Join(", ", AudienceAll),
        "audience_any" => string.Join(", ", AudienceAny),
        "scope_all" => string.Join(", ", ScopeAll),
        "scope_any" => string.Join(", ", ScopeAny),
        "transitions" => string.Join(", ", Transitions),
        _ => "",
    };
}
