using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

public sealed class RevocationTests
{
    [Fact]
    public async Task A_token_revoked_by_hash_is_dead_with_its_claims_and_the_time_of_the_act()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = await introspector.MintAsync();
        Assert.True((await introspector.IntrospectAsync(token)).Active);
        var outcome = await introspector.RevokeAsync(token);

        var answer = await introspector.IntrospectAsync(token);
        RequireDead(answer, null);
        Assert.Equal(outcome.RecordedAt, answer.RevokedAt.ToDateTimeOffset());
        Assert.Equal(token.Claims.Sub, answer.Claims.Sub);
        Assert.Equal(introspector.Key.KeyId.ToString(), answer.Kid);
        Assert.Equal((outcome.Seq.Value, outcome.RevocationSeq.Value), (answer.Revision.Seq, answer.Revision.RevocationSeq));
    }

    [Fact]
    public async Task A_token_revoked_by_jti_is_dead_whether_the_ledger_issued_it_or_not()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var issued = await introspector.MintAsync();
        var unknown = introspector.Sign();
        await introspector.RevokeAsync(jti: issued.Claims.Jti);
        await introspector.RevokeAsync(jti: unknown.Claims.Jti);
        RequireDead(await introspector.IntrospectAsync(issued), null);
        RequireDead(await introspector.IntrospectAsync(unknown), null);
        Assert.True((await introspector.IntrospectAsync(introspector.Sign())).Active);
    }

    [Fact]
    public async Task Nothing_that_spells_a_revoked_token_differently_is_active()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        await introspector.RevokeAsync(token);
        var text = token.Compact;
        var parts = text.Split('.');
        string[] spellings =
        [
            .. "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=".Select(c => text[..^1] + c).Where(t => t != text),
            text + "=", text + "==", text + " ", text + "    ", text + "\n", "\t" + text, text + "A", text + ".",
            $"{parts[0]}=.{parts[1]}.{parts[2]}", $"{parts[0]}.{parts[1]}=.{parts[2]}", $"{parts[0]}. {parts[1]}.{parts[2]}",
            text.Replace('-', '+').Replace('_', '/') + "=", text.Replace(".", "%2E", StringComparison.Ordinal), "Bearer " + text, text.ToUpperInvariant(),
        ];
        foreach (var spelling in spellings)
            Assert.Equal((spelling, false), (spelling, (await introspector.IntrospectAsync(spelling)).Active));

        // The same claims, signed again: another text, and the same jti.
        var again = introspector.Sign($$"""{"kid":"{{introspector.Key.KeyId}}","alg":"EdDSA"}""", System.Text.Encoding.UTF8.GetString(token.Claims.ToPayload()));
        Assert.True((await introspector.IntrospectAsync(again)).Active);
        await introspector.RevokeAsync(jti: token.Claims.Jti);
        RequireDead(await introspector.IntrospectAsync(again), null);
    }

    [Fact]
    public async Task A_block_of_any_kind_kills_its_group_and_leaves_a_cut_when_lifted()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        const string owner = "did:key:zOwner";
        foreach (var kind in Enum.GetValues<RevocationKind>().Where(k => k != RevocationKind.Token))
        {
            foreach (var scope in new[] { "", owner })
            {
                var what = $"{kind} of '{scope}'";
                var token = await introspector.MintAsync(Member(await NotBeforeAsync(introspector)));
                var stranger = await introspector.MintAsync(Member(token.Claims.IssuedAt, "Other"));
                var group = GroupKey.Of(kind, scope, ValueOf(kind, token.Claims, introspector.Key.KeyId));
                Assert.True((await introspector.IntrospectAsync(token)).Active, what);

                // Another owner's group of the same name is another group.
                await introspector.BlockAsync(GroupKey.Of(kind, "did:key:zSomebody", ValueOf(kind, token.Claims, introspector.Key.KeyId)));
                Assert.True((await introspector.IntrospectAsync(token)).Active, what);

                var blocked = await introspector.BlockAsync(group);
                var answer = await introspector.IntrospectAsync(token);
                RequireDead(answer, kind);
                Assert.Equal(blocked.RecordedAt, answer.RevokedAt.ToDateTimeOffset());
                bool isAlone = kind is not (RevocationKind.KeyId or RevocationKind.Everything);
                Assert.Equal((what, isAlone || scope != ""), (what, (await introspector.IntrospectAsync(stranger)).Active));

                var lifted = await introspector.LiftAsync(group);
                RequireDead(await introspector.IntrospectAsync(token), kind);
                RequireDead(await introspector.IntrospectAsync(introspector.Sign(Member(lifted.Cut))), kind);
                Assert.True((await introspector.IntrospectAsync(introspector.Sign(Member(lifted.Cut + 1)))).Active, what);
            }
        }

        TokenClaims Member(long issuedAt, string suffix = "") => IntrospectorFixture.Claims("did:key:zAgent" + suffix) with
        {
            AgentDid = Did.Parse("did:key:zAgent" + suffix),
            ControllerDid = Did.Parse("did:key:zController" + suffix),
            OwnerDid = Did.Parse(suffix == "" ? owner : "did:key:zOtherOwner"),
            MissionId = "mission" + suffix,
            Delegation = new Delegation { Id = "delegation" + suffix, DelegatorDid = Did.Parse("did:key:zDelegator" + suffix) },
            Lane = TokenLane.Canonical,
            IssuedAt = issuedAt,
            ExpiresAt = issuedAt + 600,
        };
    }

    [Fact]
    public async Task A_block_comes_before_its_lift_however_often_they_follow_each_other()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var group = GroupKey.Of(RevocationKind.Mission, "", "mission");
        var claims = IntrospectorFixture.Claims() with { MissionId = "mission" };
        for (int i = 0; i < 3; i++)
        {
            await introspector.BlockAsync(group);
            // Several rows about one group arrive in one read; the last one stands.
            var cut = (await introspector.LiftAsync(group)).Cut;
            await introspector.BlockAsync(group);
            Assert.True((await introspector.IntrospectAsync(introspector.Sign(claims with { IssuedAt = cut + 1 }))).Revoked);
            cut = (await introspector.LiftAsync(group)).Cut;
            Assert.True((await introspector.IntrospectAsync(introspector.Sign(claims with { IssuedAt = cut + 1 }))).Active);
        }
    }

    private static async Task<long> NotBeforeAsync(IntrospectorFixture introspector) =>
        Math.Max(DateTimeOffset.UtcNow.ToUnixTimeSeconds(), await introspector.ScalarAsync<long>("SELECT coalesce(max(cut), 0) + 1 FROM ledger.blocked_groups"));

    private static string ValueOf(RevocationKind kind, TokenClaims claims, KeyId signedBy) => kind switch
    {
        RevocationKind.Subject => claims.Sub,
        RevocationKind.Agent => claims.AgentDid.ToString()!,
        RevocationKind.Controller => claims.ControllerDid.ToString()!,
        RevocationKind.Owner => claims.OwnerDid.ToString()!,
        RevocationKind.Delegator => claims.Delegation!.DelegatorDid.ToString()!,
        RevocationKind.Delegation => claims.Delegation!.Id!,
        RevocationKind.Mission => claims.MissionId!,
        RevocationKind.KeyId => signedBy.ToString(),
        RevocationKind.Everything => "",
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no group"),
    };

    private static void RequireDead(IntrospectTokenResponse answer, RevocationKind? by)
    {
        Assert.False(answer.Active);
        Assert.True(answer.Revoked);
        Assert.Equal(Wire.Reason.TokenRevoked, answer.InactiveReason);
        Assert.NotEmpty(answer.InactiveSentence);
        Assert.Equal((Wire.GroupKind)(by ?? 0), answer.RevokedByGroup);
        Assert.NotNull(answer.Claims);
        Assert.NotNull(answer.RevokedAt);
    }
}
