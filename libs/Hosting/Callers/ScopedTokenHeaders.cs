using ClawBureau.Tokens;
using Microsoft.AspNetCore.Http;

namespace ClawBureau.Hosting.Callers;

/// <summary>Where a call carries a scoped token: rows 1 and 2 of clawscope-http.md 0.1 C.</summary>
internal static class ScopedTokenHeaders
{
    private const string Token = "x-cst", OtherToken = "x-scoped-token";

    /// <summary>The one of <c>x-cst</c> or <c>x-scoped-token</c>; null when neither is there.</summary>
    /// <exception cref="Refusal">TOKEN_MALFORMED: both are, and differ; or one is there and blank.</exception>
    public static string? Find(IHeaderDictionary headers)
    {
        var (first, second) = (In(headers, Token), In(headers, OtherToken));
        if (first is not null && second is not null && first != second)
            throw new Refusal(Reason.TokenMalformed, "Conflicting CST headers: X-CST and X-Scoped-Token differ");
        return first ?? second;
    }

    /// <summary>What is in <c>authorization</c>, when it has the form of a token: three parts, of which the first is base64url of <c>{"</c>.</summary>
    public static string? FindIn(string authorization)
    {
        var value = WithoutScheme(authorization);
        return value.StartsWith("eyJ", StringComparison.Ordinal) && value.AsSpan().Count('.') == 2 ? value : null;
    }

    // A header that is there but blank is a token that is none: it never makes room for another credential.
    private static string? In(IHeaderDictionary headers, string name) => headers.TryGetValue(name, out var values) ? WithoutScheme(values.ToString()) : null;

    private static string WithoutScheme(string header)
    {
        var value = header.Trim();
        return value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? value["Bearer ".Length..].Trim() : value;
    }
}
