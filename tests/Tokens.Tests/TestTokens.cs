using System.Text;

namespace ClawBureau.Tokens.Tests;

/// <summary>Tokens and keys for tests, well-formed and otherwise.</summary>
internal static class TestTokens
{
    internal const string Jti = "0b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0001";
    internal const string Nonce = "0b2c5b1e-6d1a-4f0e-9d55-6a5c3a1f0002";

    internal static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1_795_194_899);

    /// <summary>The contract's key vectors: seed byte i is (i + offset) mod 256.</summary>
    internal static byte[] Seed(int offset) => [.. Enumerable.Range(0, 32).Select(index => (byte)(index + offset))];

    internal static SigningKey Key(int offset = 23) => new(Seed(offset));

    internal static VerificationKeySet Keys(params SigningKey[] keys) => new(keys.Select(key => key.VerificationKey));

    internal static TokenClaims Claims() => new()
    {
        Sub = "did:key:zAgent",
        Audience = Audience.Of("staging.clawproxy.com"),
        Scope = ["clawproxy:call"],
        IssuedAt = Now.ToUnixTimeSeconds(),
        ExpiresAt = Now.ToUnixTimeSeconds() + 600,
        MissionId = "agent:main:dm:whatsapp:+15551234567",
        Lane = TokenLane.Legacy,
        Jti = Jti,
        Nonce = Nonce,
    };

    internal static string Header(SigningKey key) => $$"""{"alg":"EdDSA","typ":"JWT","kid":"{{key.KeyId}}"}""";

    /// <summary>The smallest payload that passes, with room for more members (begin them with a comma).</summary>
    internal static string Payload(string more = "") =>
        $$"""{"token_version":"1","sub":"s","aud":"a","scope":["x"],"iat":1795194899,"exp":1795195499{{more}}}""";

    /// <summary>A compact token over any two texts, with a signature that is right for them.</summary>
    internal static string Compact(string header, string payload, SigningKey key) =>
        Compact(Encoding.UTF8.GetBytes(header), Encoding.UTF8.GetBytes(payload), key);

    internal static string Compact(byte[] header, byte[] payload, SigningKey key)
    {
        var input = $"{Base64UrlText.Encode(header)}.{Base64UrlText.Encode(payload)}";
        return $"{input}.{Base64UrlText.Encode(key.Sign(Encoding.ASCII.GetBytes(input)))}";
    }

    /// <summary>Parses and verifies under the key, at <see cref="Now"/>.</summary>
    internal static VerifiedToken Verify(string compact, SigningKey key) =>
        JwsVerifier.Verify(TokenParser.Parse(compact), Keys(key), Now);

    internal static Refusal Refused(Action action) => Assert.Throws<Refusal>(action);
}
