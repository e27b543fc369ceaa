namespace ClawBureau.Tokens.Tests;

public sealed class TextTests
{
    [Fact]
    public void Trim_removes_exactly_what_JavaScript_trims()
    {
        char[] expected =
        [
            '\u0009', '\u000A', '\u000B', '\u000C', '\u000D', '\u0020', '\u00A0', '\u1680', '\u2000', '\u2001', '\u2002', '\u2003',
            '\u2004', '\u2005', '\u2006', '\u2007', '\u2008', '\u2009', '\u200A', '\u2028', '\u2029', '\u202F', '\u205F', '\u3000', '\uFEFF',
        ];
        var trimmed = Enumerable.Range(0, 0x10000).Select(unit => (char)unit).Where(unit => JsText.Trim($"{unit}").Length == 0);
        Assert.Equal(expected, trimmed);
    }

    [Theory]
    [InlineData(" a b ", "a b")]
    [InlineData("", "")]
    [InlineData(" \uFEFF", "")]
    [InlineData("a\u0085", "a\u0085")]
    public void Trim_leaves_the_inside_alone(string text, string trimmed) => Assert.Equal(trimmed, JsText.Trim(text));

    [Theory]
    [InlineData("", true)]
    [InlineData("agent:main:dm:whatsapp:+15551234567", true)]
    [InlineData("😀 é", true)]
    [InlineData("a\0b", false)]
    [InlineData("😀\0", false)]
    public void Text_with_a_zero_cannot_be_stored(string text, bool storable)
    {
        Assert.Equal(storable, StorableText.IsStorable(text));
        if (storable) StorableText.Require(text, "mission_id");
        else Assert.Equal("mission_id", TestTokens.Refused(() => StorableText.Require(text, "mission_id")).Metadata["field"]);
    }

    [Fact]
    public void Text_with_half_a_pair_cannot_be_stored() // no InlineData: attributes cannot hold one
    {
        foreach (var text in new[] { "\ud800", "\udc00a", "a\ud83dx", "😀\ud83d", "\ud83d\ud83d\ude00" })
            Assert.Equal(Reason.TextNotStorable, TestTokens.Refused(() => StorableText.Require(text, "sub")).Reason);
    }

    [Fact]
    public void Every_byte_string_has_exactly_one_spelling()
    {
        const string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        var bytes = new byte[3];
        foreach (var first in alphabet)
        {
            foreach (var second in alphabet)
            {
                var text = $"{first}{second}";
                if (Base64UrlText.TryDecode(text, bytes, out var written))
                    Assert.Equal(text, Base64UrlText.Encode(bytes.AsSpan(0, written)));
                Assert.Equal("AQgw".Contains(second), written == 1);
            }
        }
        Assert.Equal(16, alphabet.Count(last => Base64UrlText.TryDecode($"AA{last}", bytes, out _)));
    }

    [Theory]
    [InlineData("A")]
    [InlineData("AAAAA")]
    [InlineData("AA==")]
    [InlineData("AA=")]
    [InlineData("AA ")]
    [InlineData(" AA")]
    [InlineData("AA\n")]
    [InlineData("A+A")]
    [InlineData("A/A")]
    [InlineData("AB")]
    [InlineData("AAB")]
    [InlineData("AÄA")]
    public void Text_that_is_not_canonical_base64url_does_not_decode(string text)
    {
        Assert.False(Base64UrlText.TryDecode(text, new byte[16], out _));
        Assert.False(Base64UrlText.TryDecode(System.Text.Encoding.UTF8.GetBytes(text), new byte[16], out _));
    }
}
