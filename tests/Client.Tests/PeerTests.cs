using System.Net;
using ClawBureau.Client.Keys;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Client.Tests;

/// <summary>Calls to others: repeated where that helps, given up in time, and not made at all to one that fails and fails.</summary>
public sealed class PeerTests
{
    private readonly TestClock _clock = new();

    [Fact]
    public async Task What_may_be_over_when_it_is_tried_again_is_tried_once_more_and_nothing_else_is()
    {
        foreach (var (reason, tries) in new[] { (Reason.PeerUnavailable, 2), (Reason.LedgerUnavailable, 2), (Reason.NotReady, 2), (Reason.InvalidRequest, 1), (Reason.CallerNotAllowed, 1), (Reason.TokenRevoked, 1), (Reason.Internal, 1) })
        {
            int asked = 0;
            var calls = new PeerCalls("a peer", TimeSpan.FromSeconds(30), TimeProvider.System);
            var refusal = await Assert.ThrowsAsync<Refusal>(() => calls.AskAsync<int>(_ =>
            {
                asked++;
                throw new Refusal(reason);
            }, CancellationToken.None));
            Assert.Equal((reason, tries), (refusal.Reason, asked));
        }
        int second = 0;
        Assert.Equal(7, await new PeerCalls("a peer", TimeSpan.FromSeconds(30), TimeProvider.System).AskAsync(
            _ => ++second == 1 ? throw new Refusal(Reason.PeerUnavailable) : Task.FromResult(7), CancellationToken.None));
    }

    [Fact]
    public async Task A_peer_that_does_not_answer_in_time_is_unavailable()
    {
        var calls = new PeerCalls("the Issuer", TimeSpan.FromSeconds(2), _clock);
        int asked = 0;
        var answer = calls.AskAsync(async token =>
        {
            asked++;
            await Task.Delay(Timeout.InfiniteTimeSpan, token);
            return 0;
        }, CancellationToken.None);
        await Eventually.HoldsAsync("it is given up", () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return answer.IsCompleted;
        }, pause: TimeSpan.FromMilliseconds(1));
        var refusal = await Assert.ThrowsAsync<Refusal>(() => answer);
        Assert.Equal((Reason.PeerUnavailable, "No answer from the Issuer in time", 2), (refusal.Reason, refusal.Sentence, asked));
    }

    [Fact]
    public async Task The_callers_own_deadline_ends_it_whatever_is_left_of_the_timeout()
    {
        var calls = new PeerCalls("a peer", TimeSpan.FromHours(1), TimeProvider.System);
        using var deadline = new CancellationTokenSource();
        var answer = calls.AskAsync(async token =>
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, token);
            return 0;
        }, deadline.Token);
        await deadline.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answer);
    }

    [Fact]
    public async Task A_peer_that_fails_and_fails_is_not_asked_for_a_while_and_then_again()
    {
        var peer = new Peer(_clock);
        Assert.False(await peer.RefusedAsync());
        peer.IsDown = true;
        for (int i = 0; i < 8; i++) Assert.True(await peer.RefusedAsync());
        int before = peer.Asked;
        Assert.InRange(before, 10, 17);
        Assert.True(await peer.RefusedAsync());
        Assert.Equal(before, peer.Asked);       // nobody was asked

        _clock.Advance(TimeSpan.FromSeconds(1.5));
        Assert.True(await peer.RefusedAsync());
        Assert.Equal(before, peer.Asked);
        peer.IsDown = false;
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.False(await peer.RefusedAsync());
        Assert.Equal(before + 1, peer.Asked);
    }

    [Fact]
    public async Task A_peer_that_never_answered_is_asked_again_soon_and_then_less_and_less_often_up_to_a_second()
    {
        var peer = new Peer(_clock) { IsDown = true };
        for (int i = 0; i < 8; i++) Assert.True(await peer.RefusedAsync());
        Assert.InRange(peer.Asked, 10, 16);
        foreach (int milliseconds in (int[])[100, 200, 400, 800, 1000, 1000])
        {
            int before = peer.Asked;
            Assert.True(await peer.RefusedAsync());
            Assert.Equal(before, peer.Asked);               // nobody was asked
            _clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
            Assert.True(await peer.RefusedAsync());
            Assert.Equal(before + 1, peer.Asked);
        }
        peer.IsDown = false;
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.False(await peer.RefusedAsync());

        // From then on it is one that was up.
        peer.IsDown = true;
        while (!peer.IsBroken) Assert.True(await peer.RefusedAsync());
        int asked = peer.Asked;
        _clock.Advance(TimeSpan.FromSeconds(1.5));
        Assert.True(await peer.RefusedAsync());
        Assert.Equal(asked, peer.Asked);
    }

    /// <summary>One that answers, or does not.</summary>
    private sealed class Peer(TestClock clock)
    {
        private readonly PeerCalls _calls = new("the Issuer", TimeSpan.FromSeconds(30), clock);

        public bool IsDown { get; set; }

        /// <summary>How often it was.</summary>
        public int Asked { get; private set; }

        /// <summary>The last refusal came without asking it.</summary>
        public bool IsBroken { get; private set; }

        public async Task<bool> RefusedAsync()
        {
            var answer = _calls.AskAsync(_ =>
            {
                Asked++;
                return IsDown ? throw new Refusal(Reason.PeerUnavailable) : Task.FromResult(7);
            }, CancellationToken.None);
            await Eventually.HoldsAsync("it is answered", () =>
            {
                if (!answer.IsCompleted) clock.Advance(TimeSpan.FromMilliseconds(5));           // past the pause between the two tries
                return answer.IsCompleted;
            }, pause: TimeSpan.FromMilliseconds(1));
            IsBroken = answer.Exception?.InnerException is Refusal { Sentence: { } sentence } && sentence.Contains("failed too often", StringComparison.Ordinal);
            return answer.IsFaulted;
        }
    }

    [Fact]
    public async Task Keys_are_read_over_HTTP_past_every_copy_and_within_bounds()
    {
        using var key = TestKeys.KeyOf(11);
        var contract = RotationContract.Of(new VerificationKeySet([key.VerificationKey]), [key.KeyId], 300, DateTimeOffset.UtcNow).ToJson();
        byte[] jwks = JsonWebKeys.Write([key.VerificationKey]);
        int status = 200;
        var seen = new List<string>();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        await using var app = builder.Build();
        app.Map("/{**path}", async (HttpContext context) =>
        {
            lock (seen) seen.Add($"{context.Request.Path} {context.Request.Headers.CacheControl}");
            context.Response.StatusCode = status;
            await context.Response.Body.WriteAsync(context.Request.Path == "/v1/jwks" ? jwks : contract);
        });
        await app.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()) };
        var source = new JwksKeySource(http, new PeerCalls("the Edge", TimeSpan.FromSeconds(30), TimeProvider.System));

        var read = await source.ReadAsync(CancellationToken.None);
        Assert.Equal((key.KeyId, KeyState.Active), (Assert.Single(read.Keys.Keys).KeyId, read.Keys.Keys[0].State));
        Assert.Equal(["/v1/keys/rotation-contract no-cache", "/v1/jwks no-cache"], seen);

        status = 503;
        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => source.ReadAsync(CancellationToken.None))).Reason);
        status = 200;
        foreach (var spoilt in new[] { "{", "[]", """{"keys":{}}""", """{"keys":[],"keys":[]}""", """{"keys":[""" + string.Join(',', Enumerable.Repeat("{}", 200_000)) + "]}" })
        {
            jwks = System.Text.Encoding.UTF8.GetBytes(spoilt);
            Assert.Equal(Reason.SigningConfigInvalid, (await Assert.ThrowsAsync<Refusal>(() => source.ReadAsync(CancellationToken.None))).Reason);
        }
        await app.StopAsync();
        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => source.ReadAsync(CancellationToken.None))).Reason);
    }
}
