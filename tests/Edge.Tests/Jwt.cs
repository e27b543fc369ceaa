using System.Text;
using ClawBureau.Tokens;

namespace ClawBureau.Edge.Tests;

/// <summary>Tokens no issuer would make.</summary>
internal static class Jwt
{
    /// <summary>The contract's key vectors: seed bytes (i + o) mod 256.</summary>
    public static string SeedOf(int o) => Base64UrlText.Encode(SeedBytes(o));

    public static string Make(string header, string payload, int signedBy = 11)
    {
        var input = $"{Part(header)}.{Part(payload)}";
        using var key = new SigningKey(SeedBytes(signedBy));
        return $"{input}.{Base64UrlText.Encode(key.Sign(Encoding.ASCII.GetBytes(input)))}";
    }

    public static string Header(string kid) => $$"""{"alg":"EdDSA","typ":"JWT","kid":"{{kid}}"}""";

    public static string Claims(string version = "\"1\"", long exp = 4102444800) =>
        $$"""{"token_version":{{version}},"sub":"s","aud":"a","scope":["x"],"iat":1700000000,"exp":{{exp}},"token_lane":"legacy","jti":"{{Guid.NewGuid()}}"}""";

    public static string Part(string text) => Base64UrlText.Encode(Encoding.UTF8.GetBytes(text));

    private static byte[] SeedBytes(int o) => [.. Enumerable.Range(0, 32).Select(i => (byte)(i + o))];
}
