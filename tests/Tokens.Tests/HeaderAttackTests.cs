using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens.Tests;

/// <summary>SECURITY.md D1 to D5: the header chooses neither algorithm nor key, and brings nothing along.</summary>
public sealed class HeaderAttackTests
{
    [Theory]
    [InlineData("""{"alg":"none"}""")]
    [InlineData("""{"alg":"None"}""")]
    [InlineData("""{"alg":"nOnE"}""")]
    [InlineData("""{"alg":""}""")]
    [InlineData("""{"alg":"HS256"}""")]
    [InlineData("""{"alg":"RS256"}""")]
    [InlineData("""{"alg":"ES256"}""")]
    [InlineData("""{"alg":"Ed448"}""")]
    [InlineData("""{"alg":"eddsa"}""")]
    [InlineData("""{"alg":"ed25519"}""")]
    [InlineData("""{"alg":" EdDSA"}""")]
    [InlineData("""{"alg":"EdDSA\u0000"}""")]
    [InlineData("""{"alg":["EdDSA"]}""")]
    [InlineData("""{"alg":{"name":"EdDSA"}}""")]
    [InlineData("""{"alg":null}""")]
    [InlineData("""{"alg":1}""")]
    [InlineData("""{}""")]
    [InlineData("""{"alg":"none","jwk":{},"crit":["b64"]}""")]
    public void Another_algorithm_is_unsupported(string header) => AssertRefused(header, Reason.TokenUnsupportedAlg);

    [Theory]
    [InlineData("""{"alg":"EdDSA","alg":"EdDSA"}""")]
    [InlineData("""{"alg":"EdDSA","alg":"none"}""")]
    [InlineData("""{"alg":"none","alg":"EdDSA"}""")]
    [InlineData("""{"alg":"EdDSA","\u0061lg":"none"}""")]
    [InlineData("""{"alg":"EdDSA","kid":"a","kid":"b"}""")]
    [InlineData("""{"alg":"EdDSA","other":{"a":1,"a":2}}""")]
    [InlineData("""{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}}""")]
    [InlineData("""{"alg":"EdDSA","jku":"https://attacker.example/jwks"}""")]
    [InlineData("""{"alg":"EdDSA","x5u":"https://attacker.example/cert"}""")]
    [InlineData("""{"alg":"EdDSA","x5c":[]}""")]
    [InlineData("""{"alg":"EdDSA","x5t":"AA"}""")]
    [InlineData("""{"alg":"EdDSA","x5t#S256":"AA"}""")]
    [InlineData("""{"alg":"EdDSA","crit":[]}""")]
    [InlineData("""{"alg":"EdDSA","crit":["exp"]}""")]
    [InlineData("""{"alg":"EdDSA","b64":false}""")]
    [InlineData("""{"alg":"EdDSA","b64":true}""")]
    [InlineData("""{"alg":"EdDSA","zip":"DEF"}""")]
    [InlineData("""{"alg":"EdDSA","enc":"A256GCM"}""")]
    [InlineData("""{"alg":"EdDSA","cty":"JWT"}""")]
    [InlineData("""{"alg":"EdDSA","jwk":null}""")]
    [InlineData("""{"alg":"EdDSA","typ":"at+jwt"}""")]
    [InlineData("""{"alg":"EdDSA","typ":"jwt"}""")]
    [InlineData("""{"alg":"EdDSA","typ":""}""")]
    [InlineData("""{"alg":"EdDSA","typ":null}""")]
    [InlineData("""{"alg":"EdDSA","typ":["JWT"]}""")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("\"EdDSA\"")]
    [InlineData("")]
    [InlineData("{")]
    public void A_header_that_brings_anything_along_is_malformed(string header) => AssertRefused(header, Reason.TokenMalformed);

    [Theory]
    [InlineData("../../dev/null")]
    [InlineData("' OR 1=1 --")]
    [InlineData("9f5ef94aaeb7425d\\u0000")]
    [InlineData("9F5EF94AAEB7425D")]
    [InlineData("9f5ef94aaeb7425")]
    [InlineData("9f5ef94aaeb7425dd")]
    [InlineData("９f5ef94aaeb7425d")]
    [InlineData("fe2b99fd9afaa999")]
    [InlineData("0000000000000000")]
    [InlineData("a\\nb")]
    public void A_kid_that_is_no_key_of_ours_is_unknown(string kid) =>
        AssertRefused($$"""{"alg":"EdDSA","kid":"{{kid}}"}""", Reason.TokenUnknownKid);

    [Fact]
    public void A_kid_of_10_kB_is_unknown_and_not_repeated()
    {
        var kid = new string('k', 10_000);
        var refusal = AssertRefused($$"""{"alg":"EdDSA","kid":"{{kid}}"}""", Reason.TokenUnknownKid);
        Assert.True(refusal.Message.Length < 200);
    }

    [Theory]
    [InlineData("""{"alg":"EdDSA","typ":"JWT","kid":"9f5ef94aaeb7425d"}""")]
    [InlineData("""{"alg":"Ed25519","typ":"JWT","kid":"9f5ef94aaeb7425d"}""")]
    [InlineData("""{"alg":"EdDSA","kid":"9f5ef94aaeb7425d"}""")]
    [InlineData(""" { "kid" : "9f5ef94aaeb7425d", "alg" : "EdDSA", "other" : [1, {"a": 1}] } """)]
    public void Headers_that_other_issuers_write_are_read(string header)
    {
        using var key = TestTokens.Key();
        TestTokens.Verify(TestTokens.Compact(header, TestTokens.Payload(), key), key);
    }

    [Fact]
    public void What_was_authenticated_with_the_public_key_as_a_shared_secret_is_refused_in_every_form_of_the_key()
    {
        using var key = TestTokens.Key();
        byte[] der = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00, .. key.PublicKey]; // RFC 8410, section 10.1
        byte[][] secrets =
        [
            key.PublicKey.ToArray(), der, Encoding.ASCII.GetBytes(PemEncoding.WriteString("PUBLIC KEY", der)), Encoding.ASCII.GetBytes(Base64UrlText.Encode(key.PublicKey)),
            JsonWebKeys.Write([key.VerificationKey]),
        ];
        foreach (var secret in secrets)
        {
            foreach (var (algorithm, reason) in ((string, Reason)[])[("HS256", Reason.TokenUnsupportedAlg), ("EdDSA", Reason.TokenSignatureInvalid), ("Ed25519", Reason.TokenSignatureInvalid)])
            {
                var header = TestTokens.Header(key).Replace("EdDSA", algorithm, StringComparison.Ordinal);
                var input = TestTokens.Compact(header, TestTokens.Payload(), key)[..^87];
                var forged = $"{input}.{Base64UrlText.Encode(HMACSHA256.HashData(secret, Encoding.ASCII.GetBytes(input)))}";
                Assert.Equal(reason, TestTokens.Refused(() => TestTokens.Verify(forged, key)).Reason);
            }
        }
    }

    [Fact]
    public void Nothing_that_reads_or_verifies_a_token_can_open_a_connection() =>
        // No trap for packets is as tight as having nothing to send them with.
        Assert.DoesNotContain(typeof(TokenParser).Assembly.GetReferencedAssemblies(), assembly => assembly.Name!.StartsWith("System.Net", StringComparison.Ordinal));

    [Fact]
    public void No_published_JWS_vector_is_accepted_and_none_does_harm()
    {
        // None of them is Ed25519; what they test beside that, base64, formats, keys in headers, must end in a refusal too.
        using var key = TestTokens.Key();
        var seen = 0;
        foreach (var group in Vectors.Read("json_web_signature_test.json").GetProperty("testGroups").EnumerateArray())
        {
            foreach (var test in group.GetProperty("tests").EnumerateArray())
            {
                var jws = test.GetProperty("jws");
                var text = jws.ValueKind == System.Text.Json.JsonValueKind.String ? jws.GetString()! : jws.GetRawText();
                var refusal = TestTokens.Refused(() => TestTokens.Verify(text, key));
                Assert.Contains(refusal.Reason, new[] { Reason.TokenMalformed, Reason.TokenUnsupportedAlg });
                seen++;
            }
        }
        Assert.Equal(401, seen);
    }

    [Fact]
    public void Bad_base64_of_the_published_vectors_never_decodes()
    {
        // 367 and 370 are the text of 357, and 372 and 373 are marked valid for decoders that skip what they do not know.
        int[] wellSpelt = [357, 358, 359, 367, 370, 376, 377];
        var buffer = new byte[4096];
        var group = Vectors.Read("json_web_signature_test.json").GetProperty("testGroups").EnumerateArray()
            .Single(candidate => candidate.GetProperty("comment").GetString() == "base64");
        foreach (var test in group.GetProperty("tests").EnumerateArray())
        {
            var parts = test.GetProperty("jws").GetString()!.Split('.');
            var decodes = parts.Length == 3 && parts.All(part => Base64UrlText.TryDecode(part, buffer, out _));
            var id = test.GetProperty("tcId").GetInt32();
            Assert.True(decodes == wellSpelt.Contains(id), $"test {id}");
        }
    }

    private static Refusal AssertRefused(string header, Reason reason)
    {
        using var key = TestTokens.Key();
        var refusal = TestTokens.Refused(() => TestTokens.Verify(TestTokens.Compact(header, TestTokens.Payload(), key), key));
        Assert.Equal(reason, refusal.Reason);
        return refusal;
    }
}
