using System.Net;
using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ClawBureau.Client.Tests;

/// <summary>A verifying client, and what it talks to, over real gRPC; time moves when the test says so.</summary>
internal sealed class ClientFixture : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly GrpcChannel _channel;
    private readonly CancellationTokenSource _ended = new();
    private readonly Task _running;
    private readonly IntrospectionPeer _introspection;

    private ClientFixture(WebApplication app, FakeFeed feed, FakeIntrospection introspection, TestClock clock, ClientOptions options)
    {
        (_app, Feed, Introspection, Clock, Options) = (app, feed, introspection, clock, options);
        _channel = GrpcChannel.ForAddress(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        var calls = _channel.Intercept(new RefusalClientInterceptor());
        Steady = new SteadyClock(clock);
        Keys = new KeyCache(Source, options, clock, NullLogger<KeyCache>.Instance);
        Watches = new TokenWatches(Revocations);
        Follower = new RevocationFollower(calls, Revocations, Keys, Watches, options, Steady, clock, NullLogger<RevocationFollower>.Instance);
        // Calls are bounded by real time: on a busy machine they are no subject of these tests.
        _introspection = new IntrospectionPeer(calls, new PeerCalls("the Introspector", TimeSpan.FromSeconds(10), TimeProvider.System), options, clock);
        Verifier = new TokenVerifier(Keys, Follower, _introspection, new VerifiedTokenCache(), options, Steady, clock);
        _running = Task.WhenAll(Keys.RunAsync(_ended.Token), Follower.RunAsync(_ended.Token));
    }

    /// <summary>The seed of the contract's key vector o = 11.</summary>
    public SigningKey Key { get; } = TestKeys.KeyOf(11);

    public CountedKeys Source { get; } = new();
    public FakeFeed Feed { get; }
    public FakeIntrospection Introspection { get; }
    public TestClock Clock { get; }
    public ClientOptions Options { get; }
    public SteadyClock Steady { get; }
    public RevocationSet Revocations { get; } = new();
    public KeyCache Keys { get; }
    public TokenWatches Watches { get; }
    public RevocationFollower Follower { get; }
    public TokenVerifier Verifier { get; }
    public long Asked => _introspection.Asked;

    /// <param name="before">Prepares the feed.</param>
    /// <param name="waits">False: it does not wait for keys and a lease.</param>
    public static async Task<ClientFixture> StartAsync(Action<FakeFeed>? before = null, ClientOptions? options = null, bool waits = true)
    {
        var clock = new TestClock(DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds()));
        var feed = new FakeFeed(clock);
        var introspection = new FakeIntrospection();
        before?.Invoke(feed);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(feed);
        builder.Services.AddSingleton(introspection);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        var app = builder.Build();
        app.MapGrpcService<FakeFeed>();
        app.MapGrpcService<FakeIntrospection>();
        await app.StartAsync();
        var fixture = new ClientFixture(app, feed, introspection, clock, options ?? new ClientOptions { CatchUpTimeout = TimeSpan.FromSeconds(30) });
        if (!waits) return fixture;
        await fixture.Keys.Loaded;
        await fixture.HasLeaseAsync();
        return fixture;
    }

    public SignedToken Sign(Func<TokenClaims, TokenClaims>? change = null, SigningKey? key = null)
    {
        var claims = TestKeys.Canonical(Steady.UtcNow.ToUnixTimeSeconds());
        return TokenSigner.Sign(change?.Invoke(claims) ?? claims, key ?? Key);
    }

    public ValueTask<Verification> VerifyAsync(string token, TokenRequirements? requirements = null, Freshness freshness = default) =>
        Verifier.VerifyAsync(token, requirements ?? TokenRequirements.None, freshness, CancellationToken.None);

    /// <summary>Also the keys are then as new as the feed says.</summary>
    public Task HasLeaseAsync() => Eventually.HoldsAsync("there is a lease", () => Follower.LeaseLeft > TimeSpan.Zero && !Keys.IsBehind);

    public Task AppliedAsync(long through) => Eventually.HoldsAsync($"everything through {through} is applied", async () =>
    {
        try
        {
            return (await Follower.CatchUpAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(5))).Revision.RevocationSeq.Value >= through;
        }
        catch (Refusal)
        {
            Clock.Advance(TimeSpan.FromMilliseconds(20));       // it comes back after a pause
            return false;
        }
    });

    /// <summary>
    /// Lets time pass in small steps until it holds, so that whoever waits wakes up in between. Each step takes a moment of real time
    /// too: the wire is real, and silence that is measured by the test's clock would else set in before anything can arrive.
    /// </summary>
    public Task HoldsAsync(string what, Func<bool> condition, int milliseconds = 10) => Eventually.HoldsAsync(what, () =>
    {
        if (condition()) return true;
        Clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
        return false;
    }, pause: TimeSpan.FromMilliseconds(1));

    public async ValueTask DisposeAsync()
    {
        Feed.Release();
        await _ended.CancelAsync();
        await _running;
        _introspection.Dispose();
        _channel.Dispose();
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
        _ended.Dispose();
        Key.Dispose();
    }
}

/// <summary>Keys that a test sets, and how often they were asked for.</summary>
internal sealed class CountedKeys : IKeySource
{
    private int _reads;

    public int Reads => Volatile.Read(ref _reads);

    public VerificationKeySet Keys { get; set; } = new([TestKeys.KeyOf(11).VerificationKey.With(KeyState.Active, null)]);

    public long Seq { get; set; } = 1;

    public Refusal? Down { get; set; }

    /// <summary>Held up while this is not complete.</summary>
    public Task Gate { get; set; } = Task.CompletedTask;

    public async Task<KeyReading> ReadAsync(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _reads);
        await Gate;
        return Down is { } refusal ? throw refusal : new KeyReading(Keys, "", Seq);
    }
}
