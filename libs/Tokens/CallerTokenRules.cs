namespace ClawBureau.Tokens;

/// <summary>
/// What a token must be to open a protected call, once it is known to be active: rows 7 to 9 of contract 0.1 C. The audience
/// is not looked at, as the contract has it.
/// </summary>
public static class CallerTokenRules
{
    /// <param name="claims">Of a token of ours that is neither expired nor revoked.</param>
    /// <param name="anyOfScopes">One of them is enough; wildcards count within their family.</param>
    /// <param name="transitions">All of them must be allowed.</param>
    /// <exception cref="Refusal"><see cref="Reason.TokenControlChainMissing"/>, <see cref="Reason.TokenInsufficientScope"/> or
    /// <see cref="Reason.TokenControlTransitionForbidden"/>: the first row that fails.</exception>
    public static void Require(TokenClaims claims, IReadOnlyList<string> anyOfScopes, IReadOnlyList<Transition> transitions)
    {
        if (!TransitionMatrix.HasChain(claims) || claims.Lane != TokenLane.Canonical) throw new Refusal(Reason.TokenControlChainMissing); // 7
        if (!anyOfScopes.Any(required => ScopeRule.SatisfiesAny(claims.Scope, required))) // 8
        {
            var required = string.Join(", ", anyOfScopes);
            throw new Refusal(Reason.TokenInsufficientScope, $"Token does not include required scope(s): {required}", Required(required));
        }
        var forbidden = transitions.Where(transition => !TransitionMatrix.Judge(claims, transition).IsAllowed).ToArray();
        if (forbidden.Length > 0) // 9
        {
            throw new Refusal(
                Reason.TokenControlTransitionForbidden,
                $"Token is not authorized for transition(s): {string.Join(", ", forbidden.Select(transition => transition.Name))}",
                Required(string.Join(", ", forbidden.Select(transition => transition.RequiredScope))));
        }
    }

    private static Dictionary<string, string> Required(string scopes) => new(1) { ["required"] = scopes };
}
