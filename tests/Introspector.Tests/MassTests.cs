using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector.Tests;

/// <summary>Right also where there is very much of it; how fast, and with a million, is for `claw bench mass` to say.</summary>
public sealed class MassTests
{
    [Fact]
    public async Task Fifty_thousand_revocations_are_recorded_loaded_found_and_told_from_what_is_not_revoked()
    {
        const int many = 50_000, atOnce = 8_192;        // half of the writer's queue
        await using var introspector = await IntrospectorFixture.StartAsync(before: async fixture =>
        {
            foreach (var some in Enumerable.Range(1, many).Chunk(atOnce))
                await Task.WhenAll(some.Select(i => fixture.RevokeAsync(TokenHash.Of($"mass {i}"))));
        });
        var live = introspector.Live;
        Assert.Equal(many, live.Count);
        var claims = IntrospectorFixture.Claims();
        for (int i = 1; i <= many; i += 97) Assert.NotNull(live.Find(TokenHash.Of($"mass {i}"), claims, introspector.Key.KeyId));
        Assert.Null(live.Find(TokenHash.Of("mass 0"), claims, introspector.Key.KeyId));
        Assert.Null(live.Find(TokenHash.Of($"mass {many + 1}"), claims, introspector.Key.KeyId));

        var token = introspector.Sign();
        Assert.True((await introspector.IntrospectAsync(token)).Active);
        await introspector.RevokeAsync(token);
        Assert.True((await introspector.IntrospectAsync(token)).Revoked);
    }

    [Fact]
    public async Task Everything_revoked_is_one_row_and_what_is_issued_after_the_lift_lives()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var everything = GroupKey.Of(RevocationKind.Everything, "", "");
        var tokens = Enumerable.Range(0, 1_000).Select(_ => introspector.Sign()).ToList();
        Assert.Equal(1_000, await CountAsync(introspector, tokens, answer => answer.Active));
        var blocked = await introspector.BlockAsync(everything);
        Assert.Equal(1, blocked.RevocationSeq.Value);
        Assert.Equal(1_000, await CountAsync(introspector, tokens, answer => answer is { Active: false, Revoked: true, RevokedByGroup: Protos.Types.V1.GroupKind.Everything }));

        var lifted = await introspector.LiftAsync(everything);
        Assert.Equal(1_000, await CountAsync(introspector, tokens, answer => answer.Revoked));       // the cut: nothing comes back
        var later = introspector.Sign(IntrospectorFixture.Claims() with { IssuedAt = lifted.Cut + 1 });
        Assert.True((await introspector.IntrospectAsync(later)).Active);
    }

    [Fact]
    public async Task A_mission_of_ten_thousand_tokens_dies_with_one_row_and_no_other_token_with_it()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var tokens = Enumerable.Range(0, 10_000).Select(i => introspector.Sign(IntrospectorFixture.Claims() with { MissionId = "a mission" })).ToList();
        var others = Enumerable.Range(0, 1_000).Select(i => introspector.Sign(IntrospectorFixture.Claims() with { MissionId = $"another {i}" })).ToList();
        var outcome = await introspector.BlockAsync(GroupKey.Of(RevocationKind.Mission, "", "a mission"));
        Assert.Equal(1, outcome.RevocationSeq.Value);
        Assert.Equal(10_000, await CountAsync(introspector, tokens, answer => answer is { Revoked: true, RevokedByGroup: Protos.Types.V1.GroupKind.Mission }));
        Assert.Equal(1_000, await CountAsync(introspector, others, answer => answer.Active));
        Assert.Equal(1, introspector.Live.Count);
    }

    private static async Task<int> CountAsync(IntrospectorFixture introspector, IReadOnlyList<SignedToken> tokens, Func<IntrospectTokenResponse, bool> which)
    {
        int count = 0;
        foreach (var some in tokens.Chunk(1_000))
        {
            var response = await introspector.Introspection.BatchIntrospectTokensAsync(new() { Tokens = { some.Select(token => token.Compact) } });
            count += response.Results.Count(result => which(result.Answer));
        }
        return count;
    }
}
