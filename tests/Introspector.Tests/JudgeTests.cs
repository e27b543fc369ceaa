using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

/// <summary>What is said of a token that nobody revoked: contract 5.1.</summary>
public sealed class JudgeTests
{
    [Fact]
    public async Task An_active_token_is_answered_in_full()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var claims = IntrospectorFixture.Claims() with
        {
            Audience = Audience.Of(["clawproxy.example", "clawbounties.example"]),
            Scope = ["clawproxy:call", "clawproxy:read"],
            OwnerDid = Did.Parse("did:key:zOwner"),
            SpendCap = 12.5,
        };
        var token = await introspector.MintAsync(claims);
        var answer = await introspector.IntrospectAsync(token);

        Assert.True(answer.Active);
        Assert.False(answer.Revoked);
        Assert.Equal(token.TokenHash.ToString(), answer.TokenHash);
        Assert.Equal((introspector.Key.KeyId.ToString(), Wire.KidSource.Header, false), (answer.Kid, answer.KidSource, answer.Foreign));
        Assert.Equal((claims.Sub, claims.MissionId, claims.Jti, claims.Nonce), (answer.Claims.Sub, answer.Claims.MissionId, answer.Claims.Jti, answer.Claims.Nonce));
        Assert.Equal((claims.IssuedAt, claims.ExpiresAt), (answer.Claims.Iat.Seconds, answer.Claims.Exp.Seconds));
        Assert.Equal(claims.Audience.Values, answer.Claims.Aud.Values);
        Assert.Equal(claims.Scope, answer.Claims.Scope);
        Assert.Equal(("did:key:zOwner", 12.5), (answer.Claims.OwnerDid, answer.Claims.SpendCap));
        Assert.Equal((await introspector.EpochAsync(), 2L, 0L), (answer.Revision.Epoch, answer.Revision.Seq, answer.Revision.RevocationSeq));
        Assert.InRange(answer.Age.ToTimeSpan(), TimeSpan.FromTicks(1), TimeSpan.FromSeconds(20));
        Assert.Equal((Wire.Reason.Unspecified, ""), (answer.InactiveReason, answer.InactiveSentence));
        Assert.Null(answer.RevokedAt);
    }

    [Fact]
    public async Task A_token_without_kid_is_tried_with_every_key_and_answered_as_recovered()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        using var other = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 99))]);
        await introspector.SetKeyAsync(KeyState.VerifyOnly, key: other);
        var answer = await introspector.IntrospectAsync(introspector.Sign("""{"alg":"EdDSA","typ":"JWT"}""", Payload()));
        Assert.Equal((true, introspector.Key.KeyId.ToString(), Wire.KidSource.Recovered), (answer.Active, answer.Kid, answer.KidSource));
    }

    [Fact]
    public async Task A_token_of_a_key_that_never_signed_here_is_called_foreign()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        using var other = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 99))]);
        await introspector.SetKeyAsync(KeyState.VerifyOnly, key: other, foreign: true);
        var answer = await introspector.IntrospectAsync(TokenSigner.Sign(IntrospectorFixture.Claims(), other));
        Assert.Equal((true, true), (answer.Active, answer.Foreign));
    }

    [Fact]
    public async Task Every_reason_to_be_inactive_is_an_answer_and_the_first_of_the_contracts_order_is_the_one_told()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        using var cutOff = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 99))]);
        using var retired = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 120))]);
        await introspector.SetKeyAsync(KeyState.VerifyOnly, DateTimeOffset.UtcNow.AddSeconds(-2), cutOff);
        await introspector.SetKeyAsync(KeyState.Retired, key: retired);
        var good = introspector.Sign().Compact;
        var revoked = introspector.Sign();
        await introspector.RevokeAsync(revoked);
        var expired = IntrospectorFixture.Claims() with { IssuedAt = 1_700_000_000, ExpiresAt = DateTimeOffset.UtcNow.ToUnixTimeSeconds() };

        // Each has the fault it is named for and, where it can, those that come later in the order.
        (string What, string Token, Reason Reason)[] cases =
        [
            ("no JWT", "only.two", Reason.TokenMalformed),
            ("longer than 16,384 bytes", good + new string('A', 16_384), Reason.TokenMalformed),
            ("a header that is no JSON", introspector.Sign("{", "{"), Reason.TokenMalformed),
            ("HS256, and a payload that is no JSON", introspector.Sign("""{"alg":"HS256"}""", "{"), Reason.TokenUnsupportedAlg),
            ("alg none", introspector.Sign("""{"alg":"none"}""", Payload()), Reason.TokenUnsupportedAlg),
            ("a payload that is no JSON", introspector.Sign(Header(introspector.Key), "{"), Reason.TokenMalformed),
            ("version 2, and no claims", introspector.Sign(Header(introspector.Key), """{"token_version":"2"}"""), Reason.TokenUnknownVersion),
            ("claims missing, and expired", introspector.Sign(Header(introspector.Key), """{"token_version":"1","exp":1}"""), Reason.TokenInvalidClaims),
            ("expired this second, with an unknown kid", introspector.Sign("""{"alg":"EdDSA","kid":"0123456789abcdef"}""", Payload(expired)), Reason.TokenExpired),
            ("issued a minute ahead", introspector.Sign(Header(introspector.Key), Payload(IntrospectorFixture.Claims() with { IssuedAt = DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 60 })), Reason.TokenIssuedInFuture),
            ("unknown kid, and a wrong signature", WithoutSignature("""{"alg":"EdDSA","kid":"0123456789abcdef"}"""), Reason.TokenUnknownKid),
            ("past its key's cut-off, and a wrong signature", WithoutSignature(Header(cutOff)), Reason.TokenKidExpired),
            ("past its key's cut-off", TokenSigner.Sign(IntrospectorFixture.Claims(), cutOff).Compact, Reason.TokenKidExpired),
            ("of a retired key", TokenSigner.Sign(IntrospectorFixture.Claims(), retired).Compact, Reason.TokenKidExpired),
            ("wrong signature", WithoutSignature(Header(introspector.Key)), Reason.TokenSignatureInvalid),
            ("without kid, of no accepted key", WithoutSignature("""{"alg":"EdDSA"}"""), Reason.TokenSignatureInvalid),
            ("revoked", revoked.Compact, Reason.TokenRevoked),
        ];
        var singles = new List<IntrospectTokenResponse>();
        foreach (var (what, token, reason) in cases)
        {
            var answer = await introspector.IntrospectAsync(token);
            singles.Add(answer);
            Assert.Equal((what, false, (Wire.Reason)reason), (what, answer.Active, answer.InactiveReason));
            Assert.Equal((what, reason == Reason.TokenRevoked), (what, answer.Revoked));
            Assert.Equal(TokenHash.Of(token).ToString(), answer.TokenHash);
            Assert.NotEmpty(answer.InactiveSentence);
            Assert.Equal((what, reason == Reason.TokenRevoked), (what, answer.Claims is not null));
            Assert.NotNull(answer.Revision);
        }
        singles.Add(await introspector.IntrospectAsync(good));
        Assert.True(singles[^1].Active);

        // Many at once are judged as each alone is, bit for bit (SECURITY.md D8), twice: the second time by what is remembered.
        string[] all = [.. cases.Select(c => c.Token), good];
        var batch = await introspector.Introspection.BatchIntrospectTokensAsync(new() { Tokens = { all, all } });
        foreach (var single in singles) (single.Revision, single.Age) = (null, null);
        Assert.Equal(singles.Concat(singles), batch.Results.Select(result => result.Answer));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("\t\r\n\u00a0")]
    public async Task A_blank_token_is_a_wrong_request(string token)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var refusal = await Assert.ThrowsAsync<Refusal>(() => introspector.IntrospectAsync(token));
        Assert.Equal((Reason.InvalidRequest, "token"), (refusal.Reason, refusal.Metadata["field"]));
    }

    [Fact]
    public async Task While_no_key_is_known_a_well_formed_token_cannot_be_judged_and_the_first_key_ends_that()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(withKey: false);
        var token = introspector.Sign();
        Assert.Equal(Reason.SigningNotConfigured, (await introspector.RefusedAsync(token)).Reason);
        Assert.Equal(Wire.Reason.TokenMalformed, (await introspector.IntrospectAsync("no token")).InactiveReason);

        await introspector.SetKeyAsync(KeyState.Active);
        Assert.True((await introspector.IntrospectAsync(token)).Active);
    }

    [Fact]
    public async Task A_caller_who_shows_nothing_learns_nothing()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var stranger = new IntrospectionService.IntrospectionServiceClient(introspector.Process.Channel(adminKey: null).Calls);
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await stranger.IntrospectTokenAsync(new IntrospectTokenRequest { Token = introspector.Sign().Compact }));
        Assert.Equal((Reason.Unauthorized, Grpc.Core.StatusCode.Unauthenticated), (refusal.Reason, ReasonCatalog.Of(refusal.Reason).GrpcCode));
    }

    [Fact]
    public async Task A_key_that_stops_being_accepted_is_not_accepted_at_the_next_introspection()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        Assert.True((await introspector.IntrospectAsync(token)).Active);

        await introspector.SetKeyAsync(KeyState.VerifyOnly, DateTimeOffset.UtcNow.AddHours(1));
        Assert.True((await introspector.IntrospectAsync(token)).Active);
        await introspector.SetKeyAsync(KeyState.VerifyOnly, DateTimeOffset.UtcNow.AddSeconds(-2));
        Assert.Equal(Wire.Reason.TokenKidExpired, (await introspector.IntrospectAsync(token)).InactiveReason);
        await introspector.SetKeyAsync(KeyState.VerifyOnly);
        Assert.True((await introspector.IntrospectAsync(token)).Active);
        await introspector.SetKeyAsync(KeyState.Retired);
        Assert.Equal(Wire.Reason.TokenKidExpired, (await introspector.IntrospectAsync(token)).InactiveReason);
    }

    [Fact]
    public async Task A_token_verified_before_is_asked_about_revocation_all_the_same()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var cache = introspector.Process.Services.GetRequiredService<VerifiedTokenCache>();
        var token = introspector.Sign();
        for (int call = 0; call < 3; call++) Assert.True((await introspector.IntrospectAsync(token)).Active);
        await introspector.RevokeAsync(token);
        Assert.Equal(Wire.Reason.TokenRevoked, (await introspector.IntrospectAsync(token)).InactiveReason);
        Assert.Equal(1, cache.Misses);
    }

    [Fact]
    public async Task No_token_stands_in_any_log()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_LOG_LEVEL"] = "Trace" });
        var active = introspector.Sign();
        var revoked = introspector.Sign();
        await introspector.RevokeAsync(revoked);
        string[] texts = [active.Compact, revoked.Compact, active.Compact + "=", WithoutSignature(Header(introspector.Key)), introspector.Sign("{", "{\"a\"")];
        foreach (var text in texts) await introspector.IntrospectAsync(text);
        using (var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), followerId: Guid.NewGuid().ToString()))
            await watcher.UntilDeliveredAsync(1);
        // Where a UUID belongs, a token is refused and not written down.
        using (var confused = await introspector.WatchAsync(followerId: active.Compact))
            Assert.Equal(Reason.InvalidRequest, (await Assert.ThrowsAsync<Refusal>(confused.NextAsync)).Reason);
        using (var confused = await introspector.WatchAsync(epoch: active.Compact))
            Assert.Equal(Reason.InvalidRequest, (await Assert.ThrowsAsync<Refusal>(confused.NextAsync)).Reason);

        var parts = texts.SelectMany(t => t.Split('.').Skip(1)).Where(p => p.Length > 8).ToList();
        Assert.NotEmpty(introspector.Process.Logs);
        Assert.DoesNotContain(introspector.Process.Logs, line => parts.Any(p => line.Contains(p, StringComparison.Ordinal)));
    }

    private static string Header(SigningKey key) => $$"""{"alg":"EdDSA","typ":"JWT","kid":"{{key.KeyId}}"}""";

    private static string Payload(TokenClaims? claims = null) => System.Text.Encoding.UTF8.GetString((claims ?? IntrospectorFixture.Claims()).ToPayload());

    private static string WithoutSignature(string header) =>
        $"{Base64UrlText.Encode(System.Text.Encoding.UTF8.GetBytes(header))}.{Base64UrlText.Encode(IntrospectorFixture.Claims().ToPayload())}.{Base64UrlText.Encode(new byte[64])}";
}
