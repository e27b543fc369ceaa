using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>What a token's header says. The key comes from our own set, whatever the header offers.</summary>
internal readonly record struct TokenHeader(TokenAlgorithm Algorithm, bool HasKid, KeyId? KeyId);

/// <summary>Reads a token's header, contract 5.1 rows 2 and 3, with the refusals of SECURITY.md D1, D2, D4 and D5.</summary>
internal static class HeaderReader
{
    // Members that bring a key along (D2), ask for processing we do not do (D4), or make it another format.
    private static readonly (byte[] Name, TokenFault Fault)[] Forbidden =
    [
        .. new[] { "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc", "cty" }
            .Select(name => (Encoding.ASCII.GetBytes(name), TokenFault.Malformed($"Token header member '{name}' is not accepted"))),
    ];

    internal static TokenFault? Read(ReadOnlySpan<byte> utf8, out TokenHeader header)
    {
        header = default;
        if (!StrictJson.IsStrict(utf8)) return TokenFault.HeaderEncoding;
        var json = StrictJson.Reader(utf8);
        json.Read();
        if (json.TokenType != JsonTokenType.StartObject) return TokenFault.HeaderNoObject;

        TokenAlgorithm? algorithm = null;
        string? kid = null;
        TokenFault? forbidden = null;
        var isJwt = true;
        while (StrictJson.NextMember(ref json))
        {
            if (json.ValueTextEquals("alg"u8))
            {
                json.Read();
                algorithm = AlgorithmOf(ref json);
            }
            else if (json.ValueTextEquals("typ"u8))
            {
                json.Read();
                isJwt = json.TokenType == JsonTokenType.String && json.ValueTextEquals("JWT"u8);
            }
            else if (json.ValueTextEquals("kid"u8))
            {
                json.Read();
                kid = json.TokenType == JsonTokenType.String ? json.GetString() : null;
            }
            else
            {
                forbidden = FaultOf(ref json) ?? forbidden;
                json.Read();
            }
            json.Skip();
        }

        if (algorithm is not { } known) return TokenFault.UnsupportedAlg;
        if (forbidden is not null) return forbidden;
        if (!isJwt) return TokenFault.HeaderType;
        header = WithKid(known, kid);
        return null;
    }

    /// <summary>Exact spelling only.</summary>
    private static TokenAlgorithm? AlgorithmOf(ref Utf8JsonReader json)
    {
        if (json.TokenType != JsonTokenType.String) return null;
        if (json.ValueTextEquals("EdDSA"u8)) return TokenAlgorithm.EdDsa;
        return json.ValueTextEquals("Ed25519"u8) ? TokenAlgorithm.Ed25519 : null;
    }

    private static TokenFault? FaultOf(ref Utf8JsonReader json)
    {
        foreach (var (name, fault) in Forbidden)
        {
            if (json.ValueTextEquals(name)) return fault;
        }
        return null;
    }

    /// <summary>A kid that is no text, or blank, counts as missing (contract 5.1 row 9); one that can be no key id stays unknown.</summary>
    private static TokenHeader WithKid(TokenAlgorithm algorithm, string? kid)
    {
        var trimmed = JsText.Trim(kid.AsSpan());
        if (trimmed.IsEmpty) return new TokenHeader(algorithm, HasKid: false, null);
        return new TokenHeader(algorithm, HasKid: true, KeyId.TryParse(trimmed, out var keyId) ? keyId : null);
    }
}
