namespace ClawBureau.Tokens;

/// <summary>A sensitive transition of the control plane, and the scope it needs (contract 5.3).</summary>
public sealed record Transition
{
    public static readonly Transition UpdateControllerPolicy = new("controller.policy.update", "control:policy:update");
    public static readonly Transition IssueSensitiveToken = new("token.issue.sensitive", "control:token:issue_sensitive");
    public static readonly Transition RevokeToken = new("token.revoke", "control:token:revoke");
    public static readonly Transition RotateKey = new("key.rotate", "control:key:rotate");

    private Transition(string name, string requiredScope) => (Name, RequiredScope) = (name, requiredScope);

    public string Name { get; }

    /// <summary>What <see cref="ScopeRule"/> must find among the token's scopes.</summary>
    public string RequiredScope { get; }

    public override string ToString() => Name;
}

/// <summary>Whether a token may make one transition.</summary>
/// <param name="Transition">Which.</param>
/// <param name="Denial">Null when it may; else why not.</param>
/// <param name="Sentence">For people, in both cases.</param>
public sealed record TransitionRuling(Transition Transition, Reason? Denial, string Sentence)
{
    public bool IsAllowed => Denial is null;
}

/// <summary>
/// Which sensitive transitions a token's claims allow (contract 5.3). Nothing else is looked at: whether the token is active is
/// for whoever asks. A wildcard counts within its own family only, and a bare <c>*</c> is no control right
/// (<see cref="ScopeRule"/>; contract section 9, item 2).
/// </summary>
public static class TransitionMatrix
{
    /// <summary>All there are, in the contract's order.</summary>
    public static IReadOnlyList<Transition> Transitions { get; } =
        [Transition.UpdateControllerPolicy, Transition.IssueSensitiveToken, Transition.RevokeToken, Transition.RotateKey];

    /// <summary>By its name, exactly; null where there is none.</summary>
    public static Transition? Find(string name) => Transitions.FirstOrDefault(known => known.Name == name);

    /// <summary>One ruling per transition, in the contract's order.</summary>
    public static IReadOnlyList<TransitionRuling> Judge(TokenClaims claims) => [.. Transitions.Select(transition => Judge(claims, transition))];

    /// <summary>The first condition that fails decides: chain, lane, scope.</summary>
    public static TransitionRuling Judge(TokenClaims claims, Transition transition)
    {
        if (!HasChain(claims)) return new(transition, Reason.TokenControlChainMissing, "Token is missing owner/controller/agent chain claims");
        if (claims.Lane != TokenLane.Canonical) return new(transition, Reason.TokenLaneLegacyForbidden, "Sensitive transitions require canonical token lane");
        if (!ScopeRule.SatisfiesAny(claims.Scope, transition.RequiredScope))
            return new(transition, Reason.TokenScopeMissing, $"Missing required scope(s): {transition.RequiredScope}");
        return new(transition, null, "Transition requirements satisfied");
    }

    /// <summary>Owner, controller and agent are all named.</summary>
    internal static bool HasChain(TokenClaims claims) => claims is { OwnerDid: not null, ControllerDid: not null, AgentDid: not null };
}
