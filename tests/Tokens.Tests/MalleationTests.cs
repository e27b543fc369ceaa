using System.Text;

namespace ClawBureau.Tokens.Tests;

/// <summary>A revoked token must stay revoked however it is re-encoded (contract section 9, item 1; SECURITY.md D4, D6, D7).</summary>
public sealed class MalleationTests
{
    private const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    [Fact]
    public void The_unused_bits_of_every_part_must_be_zero()
    {
        using var key = TestTokens.Key();
        // Headers and payloads of every length modulo 3, so that each part ends in each way.
        foreach (var blanks in new[] { "", " ", "  " })
        {
            var compact = TestTokens.Compact(TestTokens.Header(key) + blanks, TestTokens.Payload() + blanks, key);
            TestTokens.Verify(compact, key);
            var parts = compact.Split('.');
            for (var part = 0; part < 3; part++)
            {
                var unusedBits = parts[part].Length % 4 == 2 ? 4 : parts[part].Length % 4 == 3 ? 2 : 0;
                var last = Alphabet.IndexOf(parts[part][^1]);
                for (var noise = 1; noise < 1 << unusedBits; noise++)
                {
                    var changed = parts.ToArray();
                    changed[part] = parts[part][..^1] + Alphabet[last | noise];
                    AssertMalformed(string.Join('.', changed), key);
                }
            }
        }
    }

    [Theory]
    [InlineData("=")]
    [InlineData("==")]
    [InlineData(" ")]
    [InlineData("    ")]
    [InlineData("\n")]
    [InlineData("\t")]
    [InlineData("\0")]
    [InlineData("\u00a0")]
    [InlineData("\ufeff")]
    [InlineData("%3D")]
    [InlineData("A")]
    public void Nothing_may_stand_between_or_around_the_parts(string noise)
    {
        using var key = TestTokens.Key();
        var parts = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), key).Split('.');
        for (var part = 0; part < 3; part++)
        {
            foreach (var changedPart in new[] { noise + parts[part], parts[part] + noise, parts[part].Insert(9, noise) })
            {
                var changed = parts.ToArray();
                changed[part] = changedPart;
                AssertRefused(string.Join('.', changed), key);
            }
        }
    }

    [Fact]
    public void The_other_base64_alphabet_is_not_ours()
    {
        using var key = TestTokens.Key();
        // Claims whose encoding has both of the characters that differ.
        var compact = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(",\"mission_id\":\"~~~???>>>ÿÿÿ¾¾¾\""), key);
        TestTokens.Verify(compact, key);
        Assert.Contains('-', compact);
        Assert.Contains('_', compact);
        AssertRefused(compact.Replace('-', '+'), key);
        AssertRefused(compact.Replace('_', '/'), key);
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("...")]
    [InlineData("a.b")]
    [InlineData("token")]
    public void Text_of_another_form_is_no_token(string text)
    {
        using var key = TestTokens.Key();
        AssertMalformed(text, key);
    }

    [Fact]
    public void A_token_has_two_dots_and_no_more()
    {
        using var key = TestTokens.Key();
        var compact = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), key);
        AssertMalformed(compact + ".", key);
        AssertMalformed("." + compact, key);
        AssertMalformed(compact + "." + compact.Split('.')[2], key);
        AssertMalformed(compact[..compact.LastIndexOf('.')], key);
        AssertMalformed(compact.Insert(5, "."), key);
    }

    [Fact]
    public void The_JSON_serialisation_of_a_JWS_is_no_token()
    {
        using var key = TestTokens.Key();
        var parts = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), key).Split('.');
        AssertMalformed($$"""{"payload":"{{parts[1]}}","protected":"{{parts[0]}}","signature":"{{parts[2]}}"}""", key);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(63)]
    [InlineData(65)]
    [InlineData(128)]
    public void A_signature_of_another_length_is_refused(int length)
    {
        using var key = TestTokens.Key();
        var compact = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(), key);
        var changed = compact[..(compact.LastIndexOf('.') + 1)] + Base64UrlText.Encode(new byte[length]);
        Assert.Equal(Reason.TokenSignatureInvalid, TestTokens.Refused(() => TestTokens.Verify(changed, key)).Reason);
    }

    [Theory]
    [InlineData(""","sub":"s" """)]
    [InlineData(""","sub":"admin" """)]
    [InlineData(""","s\u0075b":"admin" """)]
    [InlineData(""","exp":9999999999""")]
    [InlineData(""","token_version":"2" """)]
    [InlineData(""","unknown":1,"unknown":1""")]
    [InlineData(""","unknown":1,"\u0075nknown":2""")]
    [InlineData(""","unknown":{"a":{"b":1,"b":2}}""")]
    [InlineData(""","unknown":[{"a":1,"a":1}]""")]
    public void A_member_that_stands_twice_is_refused_everywhere_in_the_payload(string more)
    {
        using var key = TestTokens.Key();
        AssertMalformed(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(more), key), key);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("{} {}")]
    [InlineData("{}x")]
    [InlineData("{'a':1}")]
    [InlineData("{\"a\":1,}")]
    [InlineData("{\"a\":NaN}")]
    [InlineData("{\"a\":01}")]
    [InlineData("{\"a\":/**/1}")]
    [InlineData("{\"a\":\"\\ud800\"}")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{\"a\":[\"\\udc00\"]}")]
    [InlineData("\ufeff{}")]
    public void A_payload_that_is_no_JSON_is_malformed(string payload)
    {
        using var key = TestTokens.Key();
        AssertMalformed(TestTokens.Compact(TestTokens.Header(key), payload, key), key);
    }

    [Fact]
    public void A_payload_that_is_no_UTF8_is_malformed()
    {
        using var key = TestTokens.Key();
        var header = Encoding.ASCII.GetBytes(TestTokens.Header(key));
        byte[] valid = Encoding.UTF8.GetBytes(TestTokens.Payload(",\"mission_id\":\"#\""));
        foreach (byte[] bad in new byte[][] { [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82] })
        {
            var at = Array.LastIndexOf(valid, (byte)'#');
            byte[] payload = [.. valid[..at], .. bad, .. valid[(at + 1)..]];
            AssertMalformed(TestTokens.Compact(header, payload, key), key);
            byte[] name = [.. Encoding.UTF8.GetBytes("{\""), .. bad, .. Encoding.UTF8.GetBytes("\":1}")];
            AssertMalformed(TestTokens.Compact(header, name, key), key);
        }
    }

    [Fact]
    public void Depth_and_members_are_bounded()
    {
        using var key = TestTokens.Key();
        string Nested(int depth) => $",\"unknown\":{new string('[', depth)}{new string(']', depth)}";
        TestTokens.Verify(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(Nested(TokenLimits.MaxJsonDepth - 1)), key), key);
        AssertMalformed(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(Nested(TokenLimits.MaxJsonDepth)), key), key);

        const int claims = 6;
        string Members(int count) => string.Concat(Enumerable.Range(claims, count - claims).Select(index => $",\"u{index}\":1"));
        TestTokens.Verify(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(Members(TokenLimits.MaxJsonMembers)), key), key);
        AssertMalformed(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(Members(TokenLimits.MaxJsonMembers + 1)), key), key);
    }

    [Fact]
    public void A_token_of_16_KiB_is_read_and_a_longer_one_is_not()
    {
        using var key = TestTokens.Key();
        var length = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload(",\"mission_id\":\"\""), key).Length;
        var fill = (TokenLimits.MaxTokenBytes - length) / 4 * 3;
        var fits = TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload($",\"mission_id\":\"{new string('m', fill)}\""), key);
        Assert.InRange(fits.Length, TokenLimits.MaxTokenBytes - 3, TokenLimits.MaxTokenBytes);
        TestTokens.Verify(fits, key);
        AssertMalformed(TestTokens.Compact(TestTokens.Header(key), TestTokens.Payload($",\"mission_id\":\"{new string('m', fill + 4)}\""), key), key);
        AssertMalformed(new string('a', 10_000_000), key);
    }

    [Fact]
    public void Random_mutations_are_refused_and_nothing_else_happens()
    {
        using var key = TestTokens.Key();
        var random = new Random(4711);
        var compact = TokenSigner.Sign(TestTokens.Claims(), key).Compact;
        var bytes = Encoding.ASCII.GetBytes(compact);
        for (var round = 0; round < 20_000; round++)
        {
            var changed = Mutated(random, bytes);
            if (changed.AsSpan().SequenceEqual(bytes)) continue;
            Assert.Throws<Refusal>(() => JwsVerifier.Verify(TokenParser.Parse(changed), TestTokens.Keys(key), TestTokens.Now));
        }
    }

    [Fact]
    public void Random_payloads_are_read_or_refused_and_nothing_else_happens()
    {
        using var key = TestTokens.Key();
        var random = new Random(4712);
        var header = Encoding.ASCII.GetBytes(TestTokens.Header(key));
        var payload = Encoding.UTF8.GetBytes(TestTokens.Payload(",\"unknown\":{\"a\":[1,\"\\u00e9\",null,true]},\"aud2\":\"é\",\"spend_cap\":1e-7"));
        for (var round = 0; round < 20_000; round++)
        {
            var (changedHeader, changedPayload) = round % 4 == 0 ? (Mutated(random, header), payload) : (header, Mutated(random, payload));
            var text = Encoding.ASCII.GetBytes($"{Base64UrlText.Encode(changedHeader)}.{Base64UrlText.Encode(changedPayload)}.");
            try
            {
                TokenParser.Parse(text);
            }
            catch (Refusal refusal)
            {
                Assert.InRange((int)refusal.Reason, (int)Reason.TokenMalformed, (int)Reason.TokenInvalidClaims);
            }
        }
    }

    private static byte[] Mutated(Random random, byte[] original)
    {
        var bytes = original.ToList();
        for (var changes = random.Next(1, 4); changes > 0 && bytes.Count > 0; changes--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(5))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes.RemoveAt(at); break;
                case 2: bytes.Insert(at, (byte)random.Next(256)); break;
                case 3: bytes[at] = (byte)"{}[]\",:\\.0e-u"[random.Next(13)]; break;
                default:
                    var length = random.Next(Math.Min(20, bytes.Count - at));
                    bytes.InsertRange(random.Next(bytes.Count), bytes.GetRange(at, length));
                    break;
            }
        }
        return [.. bytes];
    }

    private static void AssertMalformed(string compact, SigningKey key) =>
        Assert.Equal(Reason.TokenMalformed, AssertRefused(compact, key).Reason);

    private static Refusal AssertRefused(string compact, SigningKey key)
    {
        var refusal = TestTokens.Refused(() => TestTokens.Verify(compact, key));
        if (compact.Length > 20) Assert.DoesNotContain(compact[..20], refusal.ToString(), StringComparison.Ordinal);
        return refusal;
    }
}
