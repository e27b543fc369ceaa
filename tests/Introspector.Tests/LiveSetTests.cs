using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector.Tests;

public sealed class LiveSetTests
{
    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1_795_194_899);
    private static readonly KeyId Kid = KeyId.Parse("fe2b99fd9afaa999");
    private readonly LiveSet _live = new();

    [Fact]
    public void A_revocation_is_kept_until_24_hours_after_the_token_expired_and_no_longer()
    {
        var token = TokenHash.Of("token");
        var claims = IntrospectorFixture.Claims();
        _live.Apply(Row(1) with { TokenHash = token, Jti = claims.Jti, ExpiresAt = Now });
        _live.DropExpired(Now.AddHours(24));
        Assert.NotNull(_live.Find(token, claims with { Jti = null }, Kid));
        Assert.NotNull(_live.Find(TokenHash.Of("another text"), claims, Kid));

        _live.DropExpired(Now.AddHours(24).AddSeconds(1));
        Assert.Null(_live.Find(token, claims, Kid));
        Assert.Equal(0, _live.Count);
    }

    [Fact]
    public void A_revocation_without_an_end_and_a_cut_are_kept_for_ever()
    {
        var claims = IntrospectorFixture.Claims();
        _live.Apply(Row(1) with { TokenHash = TokenHash.Of("token") });
        _live.Apply(Row(2) with { Group = GroupKey.Of(RevocationKind.Subject, "", claims.Sub), Cut = claims.IssuedAt });
        _live.DropExpired(DateTimeOffset.MaxValue.AddDays(-2));
        Assert.NotNull(_live.Find(TokenHash.Of("token"), claims with { Sub = "another" }, Kid));
        Assert.Equal(RevocationKind.Subject, _live.Find(TokenHash.Of("x"), claims, Kid)?.Group);
        Assert.Null(_live.Find(TokenHash.Of("x"), claims with { IssuedAt = claims.IssuedAt + 1 }, Kid));
    }

    [Fact]
    public void An_older_row_never_replaces_a_newer_one()
    {
        var claims = IntrospectorFixture.Claims();
        var group = GroupKey.Of(RevocationKind.Mission, "", claims.MissionId!);
        _live.Apply(Row(5) with { Group = group, Blocked = true });
        _live.Apply(Row(4) with { Group = group, Cut = 1 });
        Assert.NotNull(_live.Find(TokenHash.Of("x"), claims, Kid));
        _live.Apply(Row(6) with { Group = group, Cut = 1 });
        Assert.Null(_live.Find(TokenHash.Of("x"), claims, Kid));
    }

    private static RevocationRow Row(long seq) => new() { RevocationSeq = new RevocationSeq(seq), Seq = new Seq(seq), RevokedAt = Now };
}
