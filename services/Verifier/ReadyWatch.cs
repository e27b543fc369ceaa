using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting.Health;

namespace ClawBureau.Verifier;

/// <summary>
/// Ready once keys and revocations were loaded. A lease that is lost later does not take the process out of service: it asks the
/// Introspector then, and says why where that does not answer either.
/// </summary>
internal sealed class ReadyWatch(KeyCache keys, RevocationFollower follower, Readiness readiness) : BackgroundService
{
    private const string Keys = "keys", Revocations = "revocations";

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        readiness.SetNotReady(Keys, "loading keys from the Issuer");
        readiness.SetNotReady(Revocations, "loading revocations from the Introspector");
        return base.StartAsync(cancellationToken);
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(WatchAsync(Keys, keys.Loaded, stoppingToken), WatchAsync(Revocations, follower.Loaded, stoppingToken));

    private async Task WatchAsync(string condition, Task loaded, CancellationToken cancellationToken)
    {
        await loaded.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (loaded.IsCompletedSuccessfully) readiness.SetReady(condition);
    }
}
