using System.Text;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Edge;

/// <summary>
/// Which credential of a request is handed on to the owning service, by the form of its headers alone (clawscope-http.md 0.1):
/// nothing is verified here, and a request without one is handed on without one.
/// </summary>
internal static class Credentials
{
    private const string Authorization = "authorization", Token = "x-cst", OtherToken = "x-scoped-token";

    /// <returns>Null: none is handed on.</returns>
    /// <exception cref="Refusal">UNAUTHORIZED, or a row of 0.1 C: TOKEN_MALFORMED, LEGACY_AUTH_FORBIDDEN, TOKEN_REQUIRED.</exception>
    public static Metadata.Entry? Pick(Access access, EdgeOptions options, IHeaderDictionary headers) => access switch
    {
        Access.Public => null,
        Access.Introspection when options.IsIntrospectionPublic => null,
        Access.Client => PickClient(headers),
        Access.Protected when options.ProtectedAuth == ProtectedAuthMode.CanonicalCst => PickToken(headers),
        Access.Protected when IsJws(TokenIn(headers, Authorization)) => throw new Refusal(Reason.Unauthorized, "Invalid admin token"),
        _ => PickKey(headers),
    };

    // In the other mode a token is no credential, and the service behind would take it for one: three parts, of which the first
    // is base64url of a JSON object. No admin key of ours looks like that.
    private static bool IsJws(string text) => text.StartsWith("eyJ", StringComparison.Ordinal) && text.Split('.').Length == 3;

    private static Metadata.Entry? PickKey(IHeaderDictionary headers)
    {
        var key = headers.Authorization.ToString().Trim();
        if (key.Length == 0) return null;
        // Metadata is ASCII; no admin key has anything else.
        return IsAscii(key) ? new Metadata.Entry(Authorization, key) : throw new Refusal(Reason.Unauthorized, "Invalid admin token");
    }

    /// <summary>A client of RFC 7662 or 7009: its admin key as a bearer, or as the secret of HTTP Basic; the id beside it decides nothing.</summary>
    private static Metadata.Entry? PickClient(IHeaderDictionary headers)
    {
        const string basic = "Basic ";
        var value = headers.Authorization.ToString().Trim();
        if (value.Length == 0) throw new Refusal(Reason.Unauthorized, "Missing Authorization header");
        if (!value.StartsWith(basic, StringComparison.OrdinalIgnoreCase)) return PickKey(headers);
        var decoded = new byte[value.Length];
        if (!Convert.TryFromBase64String(value[basic.Length..].Trim(), decoded, out int length)) throw new Refusal(Reason.Unauthorized, "Invalid admin token");
        var pair = Encoding.UTF8.GetString(decoded, 0, length);
        var secret = Uri.UnescapeDataString(pair[(pair.IndexOf(':') + 1)..].Replace('+', ' '));
        return secret.Length > 0 && IsAscii(secret) ? new Metadata.Entry(Authorization, $"Bearer {secret}") : throw new Refusal(Reason.Unauthorized, "Invalid admin token");
    }

    // The numbers are the rows of 0.1 C. Whatever is taken for a token is handed on as one, so that no admin key passes here.
    private static Metadata.Entry PickToken(IHeaderDictionary headers)
    {
        var (first, second, key) = (TokenIn(headers, Token), TokenIn(headers, OtherToken), TokenIn(headers, Authorization));
        if (first.Length > 0 && second.Length > 0 && first != second)                                               // 1
            throw new Refusal(Reason.TokenMalformed, "Conflicting CST headers: X-CST and X-Scoped-Token differ");
        if (first.Length > 0) return AsToken(Token, first);
        if (second.Length > 0) return AsToken(OtherToken, second);
        if (key.Split('.').Length == 3) return AsToken(Token, key);                                                 // 2
        throw new Refusal(key.Length > 0 ? Reason.LegacyAuthForbidden : Reason.TokenRequired);                      // 3, 4
    }

    private static Metadata.Entry AsToken(string name, string token) => IsAscii(token) ? new(name, token) : throw new Refusal(Reason.TokenMalformed);

    private static string TokenIn(IHeaderDictionary headers, string name)
    {
        var value = headers[name].ToString().Trim();
        return value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? value["Bearer ".Length..].Trim() : value;
    }

    private static bool IsAscii(string text) => !text.AsSpan().ContainsAnyExceptInRange(' ', '~');
}
