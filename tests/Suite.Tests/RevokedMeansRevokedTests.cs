using System.Collections.Concurrent;
using System.Globalization;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;
using Reason = ClawBureau.Tokens.Reason;

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
    private readonly FreshnessLog _log = new();
    private readonly ConcurrentDictionary<int, string> _tokens = new();
    private readonly ConcurrentQueue<string> _wrong = new();
    private int _latest = -1;
    private int _interruptions;
    private int _acts;

    [Fact]
    public async Task No_introspection_that_starts_after_a_revoke_was_answered_says_active_whatever_is_killed_paused_or_restarted()
    {
        var (issuers, introspectors) = (Of("issuer"), Of("introspector"));
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, Writers).Select(i => WriteAsync(issuers, new Random(i), stop.Token))
            .Concat(Enumerable.Range(0, Readers).Select(i => ReadAsync(introspectors, new Random(100 + i), stop.Token))).ToList();

        int seed = Random.Shared.Next();
        var random = new Random(seed);
        Func<Task>[] faults =
        [
            () => KillAsync(issuers[random.Next(2)]), () => KillAsync(issuers[random.Next(2)]),
            () => KillAsync(introspectors[random.Next(2)]),
            () => PauseAsync(issuers[0], random), () => PauseAsync(issuers[1], random), () => PauseAsync(issuers[random.Next(2)], random),
            () => PauseAsync(introspectors[random.Next(2)], random),
            RestartDatabaseAsync,
        ];
        random.Shuffle(faults);
        foreach (var fault in faults)
        {
            await ProgressAsync(load);
            await fault();
        }
        await ProgressAsync(load);
        await Eventually.HoldsAsync("enough was asked", async () =>
        {
            await Task.Delay(20);
            return _log.Answers >= LeastAnswers;
        }, TimeSpan.FromSeconds(60));
        await stop.CancelAsync();
        await Task.WhenAll(load);

        Assert.True(_log.FindViolations().Count == 0, $"seed {seed}: {string.Join("; ", _log.FindViolations().Take(5))}");
        Assert.True(_wrong.IsEmpty, $"seed {seed}: {string.Join("; ", _wrong.Take(5))}");
        Assert.True(_interruptions > 0, "no fault interrupted a call: nothing was shown");
        Assert.True(_log.AnswersAfterRevoke > LeastAnswers / 10, $"only {_log.AnswersAfterRevoke} of {_log.Answers} answers prove anything");
        Assert.True(_log.ActiveAnswers > 20, $"only {_log.ActiveAnswers} answers were active");
    }

    private ServiceInstance[] Of(string name) => [.. fixture.Stack.Services.Where(s => s.Place.Name == name)];

    /// <summary>Issues a token, lets it live for a moment, takes it back by its hash or its whole mission, and writes down when that was answered.</summary>
    private async Task WriteAsync(ServiceInstance[] issuers, Random random, CancellationToken stop)
    {
        var clients = issuers.Select(i => (Issuance: new IssuanceService.IssuanceServiceClient(fixture.Channel(i).Calls), Revocation: new RevocationService.RevocationServiceClient(fixture.Channel(i).Calls))).ToArray();
        while (!stop.IsCancellationRequested)
        {
            var key = $"{Guid.NewGuid()}";
            var request = StackFixture.Request(key);
            request.MissionId = key;
            var issued = await AnswerAsync(() => clients[random.Next(2)].Issuance.IssueTokenAsync(request, deadline: DateTime.UtcNow.AddSeconds(5)).ResponseAsync, stop);
            if (issued is null) return;
            int token = Interlocked.Increment(ref _latest);
            _tokens[token] = issued.Token;
            await Task.Delay(random.Next(30), CancellationToken.None);
            bool byMission = random.Next(4) == 0;
            object? revoked = byMission
                ? await AnswerAsync(() => clients[random.Next(2)].Revocation.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Mission, Value = key } }, deadline: DateTime.UtcNow.AddSeconds(5)).ResponseAsync, stop)
                : await AnswerAsync(() => clients[random.Next(2)].Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } } }, deadline: DateTime.UtcNow.AddSeconds(5)).ResponseAsync, stop);
            if (revoked is null) return;
            _log.Revoked(token);
            Interlocked.Increment(ref _acts);
        }
    }

    private async Task ReadAsync(ServiceInstance[] introspectors, Random random, CancellationToken stop)
    {
        var clients = introspectors.Select(i => new IntrospectionService.IntrospectionServiceClient(fixture.Channel(i).Calls)).ToArray();
        while (!stop.IsCancellationRequested)
        {
            // Around what is being taken back: just before, just after, long after.
            int token = Volatile.Read(ref _latest) - random.Next(40);
            if (!_tokens.TryGetValue(token, out var compact))
            {
                await Task.Delay(1, CancellationToken.None);
                continue;
            }
            long started = FreshnessLog.Now();
            try
            {
                var answer = await clients[random.Next(2)].IntrospectTokenAsync(new IntrospectTokenRequest { Token = compact }, deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: CancellationToken.None);
                if (answer.Active == answer.Revoked) _wrong.Enqueue($"token {token} is answered {answer.InactiveReason}");
                _log.Answered(token, started, answer.Active);
            }
            catch (Exception e) when (IsInterruption(e))
            {
                Interlocked.Increment(ref _interruptions);
                await Task.Delay(5, CancellationToken.None);
            }
        }
    }

    /// <summary>Repeats a call, which is safe to, until it is answered.</summary>
    /// <returns>Null: it is time to stop.</returns>
    private async Task<T?> AnswerAsync<T>(Func<Task<T>> call, CancellationToken stop)
        where T : class
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                return await call();
            }
            catch (Exception e) when (IsInterruption(e))
            {
                Interlocked.Increment(ref _interruptions);
                await Task.Delay(5, CancellationToken.None);
            }
        }
        return null;
    }

    private static bool IsInterruption(Exception e) => e switch
    {
        Refusal refusal => ReasonCatalog.Of(refusal.Reason).GrpcCode == StatusCode.Unavailable || refusal.Reason == Reason.LedgerOutcomeUnknown,
        RpcException rpc => rpc.StatusCode is StatusCode.DeadlineExceeded or StatusCode.Cancelled or StatusCode.Unavailable,
        _ => false,
    };

    private async Task ProgressAsync(List<Task> load)
    {
        var (acts, answers) = (Volatile.Read(ref _acts), _log.Answers);
        await Eventually.HoldsAsync("the load goes on", async () =>
        {
            if (load.Find(l => l.IsFaulted) is { } failed) await failed;
            await Task.Delay(20);
            return Volatile.Read(ref _acts) >= acts + 2 * Writers && _log.Answers >= answers + 10 * Readers;
        }, TimeSpan.FromSeconds(60));
    }

    private async Task KillAsync(ServiceInstance service)
    {
        service.Process.Kill();
        await service.Process.WaitForExitAsync();
        if (service.Process.HasExited) service.Restart();
        await service.WaitUntilServingAsync(fixture.Stack.Peer, TimeSpan.FromSeconds(60), CancellationToken.None);
    }

    /// <summary>Stops a process where it stands. What it holds keeps nobody else: acts go on before it is let go.</summary>
    private async Task PauseAsync(ServiceInstance service, Random random)
    {
        Signal("STOP", service);
        try
        {
            int acts = Volatile.Read(ref _acts);
            await Eventually.HoldsAsync($"acts are recorded while {service.Name} is stopped", async () =>
            {
                await Task.Delay(20);
                return Volatile.Read(ref _acts) > acts + Writers;
            }, TimeSpan.FromSeconds(60));
            await Task.Delay(random.Next(1500));
        }
        finally
        {
            Signal("CONT", service);
        }
    }

    private async Task RestartDatabaseAsync()
    {
        var postgres = Assert.IsType<LocalPostgres>(fixture.Stack.Postgres);
        await postgres.StopAsync();
        await postgres.StartAgainAsync(CancellationToken.None);
    }

    private static void Signal(string name, ServiceInstance service)
    {
        var (code, output) = Programs.Run("kill", ["-" + name, service.Process.Id.ToString(CultureInfo.InvariantCulture)], TimeSpan.FromSeconds(5));
        Assert.True(code == 0, output);
    }
}
