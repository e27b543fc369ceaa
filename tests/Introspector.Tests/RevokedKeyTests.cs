using ClawBureau.Ledger;
using ClawBureau.Tokens;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

public sealed class RevokedKeyTests
{
    [Fact]
    public async Task Tokens_of_a_revoked_key_introspect_revoked_and_those_that_only_name_it_do_not()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        Assert.True((await introspector.IntrospectAsync(token)).Active);
        var revoked = await RevokeKeyAsync(introspector);

        var answer = await introspector.IntrospectAsync(token);
        Assert.Equal((false, true, Wire.Reason.TokenRevoked, Wire.GroupKind.KeyId), (answer.Active, answer.Revoked, answer.InactiveReason, answer.RevokedByGroup));
        Assert.Equal((introspector.Key.KeyId.ToString(), revoked.RecordedAt.ToUnixTimeSeconds()), (answer.Kid, answer.RevokedAt.Seconds));
        Assert.Equal(revoked.RevocationSeq.Value, answer.Revision.RevocationSeq);

        using var other = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 99))]);
        var parts = token.Compact.Split('.');
        var forged = $"{parts[0]}.{parts[1]}.{TokenSigner.Sign(token.Claims, other).Compact.Split('.')[2]}";
        Assert.Equal(Wire.Reason.TokenSignatureInvalid, (await introspector.IntrospectAsync(forged)).InactiveReason);
    }

    [Fact]
    public async Task Lifting_the_block_of_a_revoked_key_makes_nothing_good()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        await RevokeKeyAsync(introspector);
        await introspector.AppendAsync(new LiftBlockAct { Caller = "admin:test", Correlation = Correlation.None, Group = GroupKey.Of(RevocationKind.KeyId, "", introspector.Key.KeyId.ToString()) });
        Assert.False((await introspector.IntrospectAsync(token)).Active);
        Assert.False((await introspector.IntrospectAsync(introspector.Sign())).Active);      // signed since
    }

    private static Task<ActOutcome> RevokeKeyAsync(IntrospectorFixture introspector) => introspector.AppendAsync(new KeyAct
    {
        Caller = "service:issuer",
        Correlation = Correlation.None,
        Keys = [KeyEntry.Of(introspector.Key.VerificationKey, KeyState.Retired) with { IsRevoked = true }],
        Revoked = introspector.Key.KeyId,
    });
}
