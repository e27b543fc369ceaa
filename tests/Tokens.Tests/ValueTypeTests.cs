using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens.Tests;

public sealed class ValueTypeTests
{
    [Fact]
    public void Token_hash_is_the_SHA256_of_the_UTF8_text()
    {
        var expected = SHA256.HashData(Encoding.UTF8.GetBytes("a.b.é"));
        Assert.Equal(Convert.ToHexStringLower(expected), TokenHash.Of("a.b.é").ToString());
        Assert.Equal(expected, TokenHash.Of(Encoding.UTF8.GetBytes("a.b.é")).ToArray());
        Assert.Equal(TokenHash.Of("a.b.é"), TokenHash.FromBytes(expected));
    }

    [Fact]
    public void Token_hash_is_read_trimmed_and_in_either_case()
    {
        var hash = TokenHash.Of("token");
        Assert.True(TokenHash.TryParse($"\uFEFF {hash.ToString().ToUpperInvariant()}\n", out var read));
        Assert.Equal(hash, read);
        Assert.Equal(hash.GetHashCode(), read.GetHashCode());
        Assert.True(hash == read);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("abc")]
    [InlineData("zz00000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("00000000000000000000000000000000000000000000000000000000000000000")]
    public void What_is_not_64_hex_digits_is_no_token_hash(string? text) => Assert.False(TokenHash.TryParse(text, out _));

    [Fact]
    public void Default_values_are_harmless()
    {
        Assert.Equal(new string('0', 64), default(TokenHash).ToString());
        Assert.Equal(32, default(TokenHash).ToArray().Length);
        Assert.Equal(43, default(ScopeHash).ToString().Length);
        Assert.Equal("", default(PolicyHash).ToString());
        Assert.Equal("", default(Did).ToString());
        Assert.False(default(Did).IsNarrow);
        Assert.Equal("0000000000000000", default(KeyId).ToString());
        Assert.Equal(default(Did).GetHashCode(), default(Did).GetHashCode());
    }

    [Fact]
    public void Writing_a_hash_needs_room()
    {
        Span<byte> room = stackalloc byte[32];
        Assert.True(TokenHash.Of("t").TryWriteBytes(room));
        Assert.Equal(TokenHash.Of("t"), TokenHash.FromBytes(room));
        Assert.False(TokenHash.Of("t").TryWriteBytes(room[1..]));
    }

    [Theory]
    [InlineData("did:key:z6MkeXUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC", true)]
    [InlineData("did:web:example.com", true)]
    [InlineData("did:web:example.com:agents:7", false)]
    [InlineData("did:pkh:eip155:1:0xAb", false)]
    [InlineData("did:web:localhost%3A8443", true)]
    public void Wide_DIDs_are_accepted_and_the_narrow_ones_known(string text, bool narrow)
    {
        Assert.True(Did.TryParse(text, out var did));
        Assert.Equal(text, did.ToString());
        Assert.Equal(narrow, did.IsNarrow);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("did:")]
    [InlineData("did:key")]
    [InlineData("did:key:")]
    [InlineData("did::x")]
    [InlineData("DID:key:x")]
    [InlineData("did:Key:x")]
    [InlineData("did:key:x\n")]
    [InlineData(" did:key:x")]
    [InlineData("did:key:x#1")]
    [InlineData("did:key:é")]
    public void What_is_no_DID_is_refused(string? text) => Assert.False(Did.TryParse(text, out _));

    [Fact]
    public void A_DID_has_a_longest_length()
    {
        Assert.True(Did.TryParse("did:jwk:" + new string('a', Did.MaxLength - 8), out _));
        Assert.False(Did.TryParse("did:jwk:" + new string('a', Did.MaxLength - 7), out _));
    }

    [Theory]
    [InlineData("9f5ef94aaeb7425d", true)]
    [InlineData("9F5EF94AAEB7425D", false)]
    [InlineData("9f5ef94aaeb7425", false)]
    [InlineData("9f5ef94aaeb7425dd", false)]
    [InlineData("9f5ef94aaeb7425g", false)]
    [InlineData("９f5ef94aaeb7425d", false)]
    public void A_key_id_is_16_lower_case_hex_digits(string text, bool valid)
    {
        Assert.Equal(valid, KeyId.TryParse(text, out var keyId));
        if (valid) Assert.Equal(text, keyId.ToString());
    }

    [Fact]
    public void A_policy_hash_is_any_43_characters_of_the_alphabet()
    {
        Assert.True(PolicyHash.TryParse(new string('a', 43), out var hash));
        Assert.Equal(new string('a', 43), hash.ToString());
        Assert.False(PolicyHash.TryParse(new string('a', 42), out _));
        Assert.False(PolicyHash.TryParse(new string('a', 42) + "+", out _));
        Assert.False(PolicyHash.TryParse(new string('a', 43) + "\n", out _));
        Assert.Equal(new string('A', 43), PolicyHash.FromBytes(new byte[32]).ToString());
    }

    [Fact]
    public void Audiences_differ_by_form_and_values()
    {
        Assert.NotEqual(Audience.Of("a"), Audience.Of(["a"]));
        Assert.Equal(Audience.Of(["a", "b"]), Audience.Of(["a", "b"]));
        Assert.Equal(Audience.Of(["a", "b"]).GetHashCode(), Audience.Of(["a", "b"]).GetHashCode());
        Assert.True(Audience.Of(["a", "b"]).Contains("b"));
        Assert.False(Audience.Of(["a", "b"]).Contains("B"));
    }
}
