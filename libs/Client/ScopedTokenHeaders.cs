using ClawBureau.Tokens;

namespace ClawBureau.Client;

/// <summary>
/// Where a request carries a scoped token: <c>X-CST</c>, <c>X-Scoped-Token</c>, or <c>Authorization: Bearer</c> with something that has
/// the three parts of a token (clawscope-http.md 0.1 C). Two that differ are a conflict, whichever they are.
/// </summary>
public static class ScopedTokenHeaders
{
    public const string Token = "x-cst", OtherToken = "x-scoped-token", Authorization = "authorization";

    /// <param name="read">Every value of a header; empty where there is none.</param>
    /// <returns>Null: the request carries none.</returns>
    /// <exception cref="Refusal">TOKEN_MALFORMED: it carries two that differ, or one that is blank.</exception>
    public static string? Read(Func<string, IEnumerable<string>> read)
    {
        string? found = null;
        foreach (var (name, isOurs) in new[] { (Token, true), (OtherToken, true), (Authorization, false) })
        {
            foreach (var value in read(name))
            {
                var (text, isBearer) = WithoutScheme(value);
                // Other schemes, and bearers of another kind, are for others to judge.
                if (!isOurs && (!isBearer || text.Count(c => c == '.') != 2)) continue;
                // There but blank, it is a token that is none: it never makes room for another credential.
                if (text.Length == 0) throw new Refusal(Reason.TokenMalformed, "A token header is there and holds no token");
                if (found is not null && !string.Equals(found, text, StringComparison.Ordinal))
                    throw new Refusal(Reason.TokenMalformed, "Conflicting token headers: X-CST, X-Scoped-Token and Authorization must not differ");
                found = text;
            }
        }
        return found;
    }

    private static (string Text, bool IsBearer) WithoutScheme(string value)
    {
        var text = value.Trim();
        return text.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? (text["Bearer ".Length..].Trim(), true) : (text, false);
    }
}
