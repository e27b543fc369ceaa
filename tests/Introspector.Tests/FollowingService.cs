using ClawBureau.Client;
using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting.Peers;
using ClawBureau.Ledger.Reading;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging.Abstractions;

namespace ClawBureau.Introspector.Tests;

/// <summary>A service that verifies offline while its lease lasts, as ClawBureau.Client does it, with its revocations from one Introspector.</summary>
internal sealed class FollowingService : IAsyncDisposable
{
    private readonly CancellationTokenSource _ended = new();
    private readonly IntrospectionPeer _introspection;
    private readonly TokenVerifier _verifier;
    private readonly Task _running;

    private FollowingService(IntrospectorFixture ledger, PeerChannel introspector)
    {
        var (options, time, live) = (new ClientOptions { MaxStaleness = TimeSpan.FromMinutes(1) }, TimeProvider.System, new RevocationSet());
        var clock = new SteadyClock(time);
        var keys = new KeyCache(new LedgerKeys(new LedgerReader(ledger.Admin)), options, time, NullLogger<KeyCache>.Instance);
        Follower = new RevocationFollower(introspector.Calls, live, keys, new TokenWatches(live), options, clock, time, NullLogger<RevocationFollower>.Instance);
        _introspection = new IntrospectionPeer(introspector.Calls, new PeerCalls("the Introspector", options.CallTimeout, time), options, time);
        _verifier = new TokenVerifier(keys, Follower, _introspection, new VerifiedTokenCache(), options, clock, time);
        _running = Task.WhenAll(keys.RunAsync(_ended.Token), Follower.RunAsync(_ended.Token));
    }

    public RevocationFollower Follower { get; }

    public static async Task<FollowingService> StartAsync(IntrospectorFixture ledger, TestProcess introspector)
    {
        var service = new FollowingService(ledger, introspector.ServiceChannel("verifier"));
        await Eventually.HoldsAsync("it decides by itself", () => service.SaysYes(ledger.Sign().Compact));
        return service;
    }

    /// <summary>Decides from memory, without asking anybody.</summary>
    public bool SaysYes(string token) => _verifier.TryVerify(token, TokenRequirements.None, out var verification) && verification.IsValid;

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _running;
        _introspection.Dispose();
        _ended.Dispose();
    }
}
