using System.Net;
using System.Text.Json;
using ClawBureau.Client.Calls;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging.Abstractions;

namespace ClawBureau.Client.Tests;

/// <summary>Services that admit by scoped token, over HTTP and over gRPC, and clients that show one.</summary>
public sealed class GuardTests
{
    [Fact]
    public async Task A_request_shows_its_token_in_any_of_the_three_headers()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        var token = client.Sign().Compact;
        foreach (var headers in new (string, string)[][]
        {
            [("X-CST", token)], [("X-Scoped-Token", token)], [("Authorization", $"Bearer {token}")], [("X-CST", $"bearer {token}")],
            [("X-CST", token), ("X-Scoped-Token", token), ("Authorization", $"Bearer {token}")], [("X-CST", token), ("Authorization", "Basic abc")], [("X-CST", token), ("Authorization", "Bearer opaque")],
        })
        {
            using var answer = await service.GetAsync("/me", headers);
            Assert.Equal((HttpStatusCode.OK, "did:key:zAgent Offline"), (answer.StatusCode, await answer.Content.ReadAsStringAsync()));
        }
        Assert.Equal(0, client.Watches.Count);          // nothing is held open
    }

    [Fact]
    public async Task Headers_that_differ_or_are_blank_are_refused()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        var (one, other) = (client.Sign().Compact, client.Sign().Compact);
        foreach (var headers in new (string, string)[][]
        {
            [("X-CST", one), ("X-Scoped-Token", other)], [("X-CST", one), ("Authorization", $"Bearer {other}")], [("X-Scoped-Token", one), ("Authorization", $"Bearer {other}")], [("X-CST", one), ("X-CST", other)],
            [("X-CST", "")], [("X-CST", ""), ("Authorization", $"Bearer {one}")], [("X-CST", one), ("X-Scoped-Token", " ")],     // there and blank makes no room for another
        })
        {
            using var answer = await service.GetAsync("/me", headers);
            Assert.Equal((HttpStatusCode.Unauthorized, "TOKEN_MALFORMED"), (answer.StatusCode, await CodeOfAsync(answer)));
        }
    }

    [Fact]
    public async Task What_is_wrong_is_told_with_status_and_reason()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        var good = client.Sign();
        var revoked = client.Sign();
        client.Feed.RevokeToken(revoked.TokenHash);
        await client.AppliedAsync(1);
        using var stranger = TestKeys.KeyOf(99);
        (string Path, string? Token, HttpStatusCode Status, string Code)[] cases =
        [
            ("/me", null, HttpStatusCode.Unauthorized, "TOKEN_REQUIRED"),
            ("/me", "a.b", HttpStatusCode.Unauthorized, "TOKEN_MALFORMED"),
            ("/me", revoked.Compact, HttpStatusCode.Unauthorized, "TOKEN_REVOKED"),
            ("/me", client.Sign(key: stranger).Compact, HttpStatusCode.Unauthorized, "TOKEN_UNKNOWN_KID"),
            ("/me", client.Sign(claims => claims with { Audience = Audience.Of("another") }).Compact, HttpStatusCode.Forbidden, "TOKEN_BAD_AUDIENCE"),
            ("/admin", good.Compact, HttpStatusCode.Forbidden, "TOKEN_INSUFFICIENT_SCOPE"),
        ];
        foreach (var (path, token, status, code) in cases)
        {
            using var answer = await service.GetAsync(path, token is null ? [] : [("X-CST", token)]);
            Assert.Equal((path, status, code), (path, answer.StatusCode, await CodeOfAsync(answer)));
            Assert.StartsWith("Bearer", answer.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
        }
        using var open = await service.GetAsync("/open", ("X-CST", revoked.Compact));
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);
        using var admin = await service.GetAsync("/admin", ("X-CST", client.Sign(claims => claims with { Scope = ["notes:admin"] }).Compact));
        Assert.Equal(HttpStatusCode.OK, admin.StatusCode);
    }

    [Fact]
    public async Task When_nothing_can_be_said_freshly_enough_it_is_503_and_nobody_gets_in()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        client.Introspection.Answer = _ => throw new Refusal(Reason.LedgerUnavailable);
        client.Feed.Down = new Refusal(Reason.NotReady);
        client.Feed.Cut();
        await Testing.Eventually.HoldsAsync("the stream is gone", () => !client.Follower.IsConnected);
        client.Clock.Advance(TimeSpan.FromSeconds(3));
        using var answer = await service.GetAsync("/me", ("X-CST", client.Sign().Compact));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "LEDGER_UNAVAILABLE"), (answer.StatusCode, await CodeOfAsync(answer)));
    }

    [Fact]
    public async Task A_request_under_way_is_aborted_when_its_token_is_revoked()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        var (dies, lives) = (client.Sign(), client.Sign());
        using var ends = await service.GetAsync("/stream", ("X-CST", dies.Compact));
        using var stays = await service.GetAsync("/stream", ("X-CST", lives.Compact));
        using var ending = new StreamReader(await ends.Content.ReadAsStreamAsync());
        using var staying = new StreamReader(await stays.Content.ReadAsStreamAsync());
        Assert.Equal(("first", "first"), (await ending.ReadLineAsync(), await staying.ReadLineAsync()));
        var next = staying.ReadLineAsync();

        client.Feed.RevokeToken(dies.TokenHash);
        await Assert.ThrowsAnyAsync<IOException>(() => ending.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(20)));
        Assert.False(next.IsCompleted);
    }

    [Fact]
    public async Task A_gRPC_service_admits_by_token_and_knows_whose_it_is()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        using var channel = GrpcChannel.ForAddress(service.Grpc);
        var calls = channel.Intercept(new RefusalClientInterceptor());
        var introspection = new IntrospectionService.IntrospectionServiceClient(calls);
        foreach (var name in new[] { "x-cst", "x-scoped-token", "authorization" })
        {
            var answer = await introspection.IntrospectTokenAsync(new() { Token = "t" }, new Metadata { { name, $"Bearer {client.Sign().Compact}" } });
            Assert.Equal("did:key:zAgent", answer.Kid);
        }
        foreach (var (token, reason) in new[]
        {
            (null, Reason.TokenRequired), ("a.b.c", Reason.TokenMalformed), (client.Sign(claims => claims with { Scope = ["other"] }).Compact, Reason.TokenInsufficientScope),
        })
        {
            var metadata = token is null ? [] : new Metadata { { "x-cst", token } };
            Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(async () => await introspection.IntrospectTokenAsync(new() { Token = "t" }, metadata))).Reason);
        }
        await new FeedService.FeedServiceClient(calls).ListRevocationsAsync(new());         // open to anybody

        var dies = client.Sign();
        using var stream = new FeedService.FeedServiceClient(calls).GetSnapshot(new(), new Metadata { { "x-cst", dies.Compact } });
        Assert.True(await stream.ResponseStream.MoveNext(CancellationToken.None));
        client.Feed.RevokeToken(dies.TokenHash);
        await Assert.ThrowsAsync<Refusal>(() => stream.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task A_client_shows_its_token_with_every_call_and_replaces_a_rejected_one_exactly_once()
    {
        await using var client = await ClientFixture.StartAsync();
        await using var service = await GuardedService.StartAsync(client);
        using var stranger = TestKeys.KeyOf(99);
        var issuer = new FakeIssuance(client.Clock) { Make = () => client.Sign(key: stranger).Compact };
        var source = new TokenSource(issuer, null, client.Clock, NullLogger<TokenSource>.Instance);
        using var channel = GrpcChannel.ForAddress(service.Grpc, new GrpcChannelOptions { UnsafeUseInsecureChannelCallCredentials = true });
        var calls = channel.Intercept(new ScopedTokenClientInterceptor(source)).Intercept(new RefusalClientInterceptor());
        var introspection = new IntrospectionService.IntrospectionServiceClient(calls);

        // Both tokens are of a key nobody knows: one replacement, one retry, and then it is told.
        Assert.Equal(Reason.TokenUnknownKid, (await Assert.ThrowsAsync<Refusal>(async () => await introspection.IntrospectTokenAsync(new() { Token = "t" }))).Reason);
        Assert.Equal(2, issuer.Issued);
        Assert.Equal(Reason.TokenUnknownKid, (await Assert.ThrowsAsync<Refusal>(async () => await introspection.IntrospectTokenAsync(new() { Token = "t" }))).Reason);
        Assert.Equal(2, issuer.Issued);

        // The first is of an old key, its replacement is good: the caller notices nothing.
        bool isFirst = true;
        issuer = new FakeIssuance(client.Clock)
        {
            Make = () =>
            {
                var made = isFirst ? client.Sign(key: stranger) : client.Sign();
                isFirst = false;
                return made.Compact;
            },
        };
        source = new TokenSource(issuer, null, client.Clock, NullLogger<TokenSource>.Instance);
        introspection = new(channel.Intercept(new ScopedTokenClientInterceptor(source)).Intercept(new RefusalClientInterceptor()));
        var feed = new FeedService.FeedServiceClient(channel.Intercept(new ScopedTokenClientInterceptor(source)).Intercept(new RefusalClientInterceptor()));
        for (int i = 0; i < 3; i++) Assert.Equal("did:key:zAgent", (await introspection.IntrospectTokenAsync(new() { Token = "t" })).Kid);
        Assert.Equal(2, issuer.Issued);
        using var stream = feed.GetSnapshot(new());
        Assert.True(await stream.ResponseStream.MoveNext(CancellationToken.None));

        // What has another cause than the key is not retried.
        issuer.Make = null;
        source = new TokenSource(issuer, null, client.Clock, NullLogger<TokenSource>.Instance);
        introspection = new(channel.Intercept(new ScopedTokenClientInterceptor(source)).Intercept(new RefusalClientInterceptor()));
        Assert.Equal(Reason.TokenMalformed, (await Assert.ThrowsAsync<Refusal>(async () => await introspection.IntrospectTokenAsync(new() { Token = "t" }))).Reason);
        Assert.Equal(3, issuer.Issued);
    }

    private static async Task<string?> CodeOfAsync(HttpResponseMessage answer) =>
        JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("error").GetString();
}
