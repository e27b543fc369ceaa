using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;

namespace ClawBureau.Suite.Tests;

/// <summary>Two Issuers and two Introspectors on one ledger.</summary>
public sealed class TwoOfEach : StackFixture
{
    internal override StackOptions Options => base.Options with
    {
        Replicas = new Dictionary<string, int> { ["issuer"] = 2, ["introspector"] = 2 },
    };
}

/// <summary>L3, with the processes of a stack killed, paused and cut off from their database while they are used.</summary>
public sealed class RevokedMeansRevokedTests(TwoOfEach fixture) : IClassFixture<TwoOfEach>
{
    private const int Writers = 6, Readers = 16, LeastAnswers = 4_000;
    private int _restarts;

    [Fact]
    public async Task No_introspection_that_starts_after_a_revoke_was_answered_says_active_whatever_is_killed_paused_or_restarted()
    {
        var log = new FreshnessLog();
        var load = new RevokingLoad(fixture, log);
        var (issuers, introspectors) = (load.Of("issuer"), load.Of("introspector"));
        var clients = introspectors.Select(i => new IntrospectionService.IntrospectionServiceClient(fixture.Channel(i).Calls)).ToArray();
        using var stop = new CancellationTokenSource();
        for (int i = 0; i < Writers; i++) load.Write(new Random(i), stop.Token);
        for (int i = 0; i < Readers; i++) load.Read(log, new Random(100 + i), AskAsync, stop.Token);

        int seed = Random.Shared.Next();
        var random = new Random(seed);
        Func<Task>[] faults =
        [
            () => load.KillAsync(issuers[random.Next(2)]), () => load.KillAsync(issuers[random.Next(2)]),
            () => load.KillAsync(introspectors[random.Next(2)]),
            () => PauseAsync(issuers[0]), () => PauseAsync(issuers[1]), () => PauseAsync(issuers[random.Next(2)]),
            () => PauseAsync(introspectors[random.Next(2)]),
            RestartDatabaseAsync,
        ];
        random.Shuffle(faults);
        foreach (var fault in faults)
        {
            await load.ProgressAsync();
            await fault();
        }
        await load.ProgressAsync();
        await Eventually.HoldsAsync("enough was asked", () => log.Answers >= LeastAnswers && log.AnswersAfterRevoke > LeastAnswers / 10 && log.ActiveAnswers > 20, TimeSpan.FromSeconds(60));
        await stop.CancelAsync();
        await load.EndedAsync();

        Assert.True(log.FindViolations().Count == 0, $"seed {seed}: {string.Join("; ", log.FindViolations().Take(5))}");
        Assert.True(load.Wrong.Count == 0, $"seed {seed}: {string.Join("; ", load.Wrong.Take(5))}");
        Assert.Equal((3, 4, 1), (load.Kills, load.Pauses, _restarts));
        Assert.True(load.Interruptions > 0, "no fault interrupted a call: nothing was shown");

        Task PauseAsync(ServiceInstance service) => load.PauseAsync(TimeSpan.FromMilliseconds(random.Next(1500)), service);

        async Task<(bool, bool, string)> AskAsync(string token, Random random)
        {
            var answer = await clients[random.Next(2)].IntrospectTokenAsync(new IntrospectTokenRequest { Token = token }, deadline: DateTime.UtcNow.AddSeconds(5));
            return (answer.Active, answer.Revoked, answer.InactiveReason.ToString());
        }
    }

    private async Task RestartDatabaseAsync()
    {
        var postgres = Assert.IsType<LocalPostgres>(fixture.Stack.Postgres);
        int before = postgres.ProcessId;
        await postgres.StopAsync();
        await postgres.StartAgainAsync(CancellationToken.None);
        if (postgres.ProcessId != before) _restarts++;
    }
}
