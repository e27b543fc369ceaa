using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>What a token's header says. The key comes from our own set, whatever the header offers.</summary>
internal readonly record struct TokenHeader(TokenAlgorithm Algorithm, bool HasKid, KeyId? KeyId);

/// <summary>Reads a token's header, contract 5.1 rows 2 and 3, with the refusals of SECURITY.md D1, D2, D4 and D5.</summary>
internal static class HeaderReader
{
    // Members that bring a key along (D2), ask for processing we do not do (D4), or make it another format.
    private static readonly HashSet<string> Forbidden =
        ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty"];

    /// <exception cref="JsonException">Not strict JSON.</exception>
    /// <exception cref="Refusal"><see cref="Reason.TokenMalformed"/> or <see cref="Reason.TokenUnsupportedAlg"/>.</exception>
    internal static TokenHeader Read(ReadOnlySpan<byte> utf8)
    {
        var json = StrictJson.Reader(utf8);
        json.Read();
        if (json.TokenType != JsonTokenType.StartObject)
        {
            StrictJson.Skip(ref json);
            StrictJson.RequireEnd(ref json);
            throw new Refusal(Reason.TokenMalformed, "Invalid JWT header");
        }

        string? algorithm = null, type = null, kid = null, forbidden = null;
        var typeIsText = true;
        var names = new HashSet<string>(StringComparer.Ordinal);
        while (StrictJson.NextMember(ref json))
        {
            var name = StrictJson.Text(ref json);
            StrictJson.AddOnce(names, name);
            json.Read();
            var text = json.TokenType == JsonTokenType.String ? StrictJson.Text(ref json) : null;
            StrictJson.Skip(ref json);
            switch (name)
            {
                case "alg": algorithm = text; break;
                case "typ": (type, typeIsText) = (text, text is not null); break;
                case "kid": kid = text; break;
                default:
                    if (Forbidden.Contains(name)) forbidden = name;
                    break;
            }
        }
        StrictJson.RequireEnd(ref json);

        if (!TokenAlgorithms.TryParse(algorithm, out var known)) throw new Refusal(Reason.TokenUnsupportedAlg);
        if (forbidden is not null)
            throw new Refusal(Reason.TokenMalformed, $"Token header member '{forbidden}' is not accepted");
        if (!typeIsText || type is not (null or "JWT"))
            throw new Refusal(Reason.TokenMalformed, "Token header typ must be JWT");
        return WithKid(known, kid);
    }

    /// <summary>A kid that is no text, or blank, counts as missing (contract 5.1 row 9); one that can be no key id stays unknown.</summary>
    private static TokenHeader WithKid(TokenAlgorithm algorithm, string? kid)
    {
        var trimmed = JsText.Trim(kid.AsSpan());
        if (trimmed.IsEmpty) return new TokenHeader(algorithm, HasKid: false, null);
        return new TokenHeader(algorithm, HasKid: true, KeyId.TryParse(trimmed, out var keyId) ? keyId : null);
    }
}
