using System.Security.Cryptography;

namespace ClawBureau.Tokens.Tests;

public sealed class GroupKeyTests
{
    [Fact]
    public void A_group_key_is_the_hash_of_kind_owner_scope_and_value_each_with_its_length()
    {
        var expected = SHA256.HashData([0, 8, 0, 0, 0, 2, (byte)'o', (byte)'w', 0, 0, 0, 3, (byte)'m', 0xC3, 0xA9]);
        Assert.Equal(expected, GroupKey.Of(RevocationKind.Mission, "ow", "mé").Hash);
    }

    [Fact]
    public void Moving_a_character_between_scope_and_value_names_another_group()
    {
        Assert.NotEqual(GroupKey.Of(RevocationKind.Mission, "ab", "c"), GroupKey.Of(RevocationKind.Mission, "a", "bc"));
        Assert.NotEqual(GroupKey.Of(RevocationKind.Mission, "", "x"), GroupKey.Of(RevocationKind.Subject, "", "x"));
    }

    [Fact]
    public void A_group_key_shows_nothing_of_its_value() =>
        Assert.DoesNotContain("5551234567", GroupKey.Of(RevocationKind.Mission, "", "agent:main:dm:whatsapp:+15551234567").ToString(), StringComparison.Ordinal);
}
