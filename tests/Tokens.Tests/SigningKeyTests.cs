namespace ClawBureau.Tokens.Tests;

public sealed class SigningKeyTests
{
    public static TheoryData<int, string, string> KeyVectors
    {
        get
        {
            var rows = new TheoryData<int, string, string>();
            foreach (var row in Vectors.Read("keys.json").EnumerateArray())
                rows.Add(row.GetProperty("offset").GetInt32(), row.GetProperty("x").GetString()!, row.GetProperty("kid").GetString()!);
            return rows;
        }
    }

    [Theory, MemberData(nameof(KeyVectors))]
    public void Public_key_and_kid_are_the_contracts(int offset, string x, string kid)
    {
        using var key = TestTokens.Key(offset);
        Assert.Equal(x, Base64UrlText.Encode(key.PublicKey));
        Assert.Equal(kid, key.KeyId.ToString());
        Assert.Equal(KeyId.Parse(kid), KeyId.Of(key.PublicKey));
    }

    [Fact]
    public void Of_64_bytes_the_first_32_are_the_seed()
    {
        using var key = TestTokens.Key();
        using var same = new SigningKey([.. TestTokens.Seed(23), .. new byte[32]]);
        Assert.Equal(key.KeyId, same.KeyId);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(31)]
    [InlineData(33)]
    [InlineData(63)]
    public void Another_length_is_no_key(int length) =>
        Assert.Equal(Reason.SigningConfigInvalid, TestTokens.Refused(() => _ = new SigningKey(new byte[length])).Reason);

    [Fact]
    public void Nothing_that_holds_a_key_prints_it()
    {
        using var key = TestTokens.Key();
        using var ring = KeyRing.FromSeeds([TestTokens.Seed(11)]);
        var seeds = new[] { TestTokens.Seed(23), TestTokens.Seed(11) };
        foreach (var printed in new[] { key.ToString(), $"{key}", ring.ToString(), key.VerificationKey.ToString() })
        {
            foreach (var seed in seeds)
            {
                Assert.DoesNotContain(Convert.ToHexString(seed.AsSpan(0, 8)), printed, StringComparison.OrdinalIgnoreCase);
                Assert.DoesNotContain(Base64UrlText.Encode(seed.AsSpan(0, 6)), printed, StringComparison.Ordinal);
            }
        }
        Assert.Contains(key.KeyId.ToString(), key.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_disposed_key_signs_no_more()
    {
        var key = TestTokens.Key();
        key.Dispose();
        Assert.Throws<ObjectDisposedException>(() => key.Sign([1]));
    }

    [Fact]
    public void Tokens_print_as_their_hash()
    {
        using var key = TestTokens.Key();
        var signed = TokenSigner.Sign(TestTokens.Claims(), key);
        var parsed = TokenParser.Parse(signed.Compact);
        var verified = TestTokens.Verify(signed.Compact, key);
        Assert.All(new object[] { signed, parsed, verified }, token => Assert.Equal(signed.TokenHash.ToString(), token.ToString()));
    }
}
