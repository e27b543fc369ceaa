using System.Collections.Concurrent;
using System.Globalization;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Suite.Tests;

/// <summary>
/// Callers who take back what they were issued a moment ago, callers who ask about it, and the processes killed and paused
/// meanwhile: what L3 is held against.
/// </summary>
/// <param name="logs">Told of every revocation once it was answered.</param>
internal sealed class RevokingLoad(StackFixture fixture, params FreshnessLog[] logs)
{
    private readonly ConcurrentDictionary<int, string> _tokens = new();
    private readonly ConcurrentQueue<string> _wrong = new();
    private readonly List<Task> _load = [];
    private int _latest = -1;
    private int _interruptions;
    private int _acts;

    /// <summary>Answers that nothing explains.</summary>
    public IReadOnlyCollection<string> Wrong => _wrong;

    /// <summary>Calls that a fault kept from their answer.</summary>
    public int Interruptions => Volatile.Read(ref _interruptions);

    public ServiceInstance[] Of(string name) => [.. fixture.Stack.All(name)];

    /// <summary>Issues a token, lets it live for a moment, takes it back by its hash or its whole mission, and writes down when that was answered.</summary>
    public void Write(Random random, CancellationToken stop) => _load.Add(WriteAsync(random, stop));

    /// <summary>Asks about tokens around those that are being taken back: just before, just after, long after.</summary>
    /// <param name="ask">What became of each: good or revoked; anything else it returns is wrong.</param>
    public void Read(FreshnessLog log, Random random, Func<string, Random, Task<(bool IsGood, bool IsRevoked, string Else)>> ask, CancellationToken stop) =>
        _load.Add(ReadAsync(log, random, ask, stop));

    /// <summary>Returns once the load has gone on for a while.</summary>
    public async Task ProgressAsync()
    {
        var (acts, answers) = (Volatile.Read(ref _acts), logs.Sum(log => log.Answers));
        await Eventually.HoldsAsync("the load goes on", async () =>
        {
            if (_load.Find(l => l.IsFaulted) is { } failed) await failed;
            return Volatile.Read(ref _acts) >= acts + 12 && logs.Sum(log => log.Answers) >= answers + 10 * _load.Count;
        }, TimeSpan.FromSeconds(60));
    }

    /// <summary>Processes that ended by SIGKILL, and processes that the system showed standing still until they were let go.</summary>
    public int Kills { get; private set; }

    /// <inheritdoc cref="Kills"/>
    public int Pauses { get; private set; }

    public Task EndedAsync() => Task.WhenAll(_load);

    public async Task KillAsync(ServiceInstance service)
    {
        service.Process.Kill();
        await service.Process.WaitForExitAsync();
        if (service.Process.ExitCode == 128 + 9) Kills++;
        service.Restart();
        await service.WaitUntilServingAsync(fixture.Stack.Peer, TimeSpan.FromSeconds(60), CancellationToken.None);
    }

    /// <summary>Stops processes where they stand. What they hold keeps nobody else: acts go on before they are let go.</summary>
    public async Task PauseAsync(TimeSpan least, params ServiceInstance[] services)
    {
        foreach (var service in services) Signal("STOP", service);
        try
        {
            int acts = Volatile.Read(ref _acts);
            var passed = Task.Delay(least);
            await Eventually.HoldsAsync($"acts are recorded while {string.Join(" and ", services.Select(s => s.Name))} stand still", () => Volatile.Read(ref _acts) > acts + 6, TimeSpan.FromSeconds(60));
            await passed;
            Pauses += services.Count(s => Signals.IsStopped(s.Process));
        }
        finally
        {
            foreach (var service in services) Signal("CONT", service);
        }
    }

    private async Task WriteAsync(Random random, CancellationToken stop)
    {
        var clients = Of("issuer").Select(i => (Issuance: new IssuanceService.IssuanceServiceClient(fixture.Channel(i).Calls), Revocation: new RevocationService.RevocationServiceClient(fixture.Channel(i).Calls))).ToArray();
        while (!stop.IsCancellationRequested)
        {
            var key = $"{Guid.NewGuid()}";
            var request = StackFixture.Request(key);
            request.MissionId = key;
            var issued = await AnswerAsync(() => clients[random.Next(clients.Length)].Issuance.IssueTokenAsync(request, deadline: DateTime.UtcNow.AddSeconds(5)).ResponseAsync, stop);
            if (issued is null) return;
            int token = Interlocked.Increment(ref _latest);
            _tokens[token] = issued.Token;
            await Task.Delay(random.Next(30), CancellationToken.None);
            bool byMission = random.Next(4) == 0;
            object? revoked = byMission
                ? await AnswerAsync(() => clients[random.Next(clients.Length)].Revocation.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Mission, Value = key } }, deadline: DateTime.UtcNow.AddSeconds(5)).ResponseAsync, stop)
                : await AnswerAsync(() => clients[random.Next(clients.Length)].Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } } }, deadline: DateTime.UtcNow.AddSeconds(5)).ResponseAsync, stop);
            if (revoked is null) return;
            foreach (var log in logs) log.Revoked(token);
            Interlocked.Increment(ref _acts);
        }
    }

    private async Task ReadAsync(FreshnessLog log, Random random, Func<string, Random, Task<(bool IsGood, bool IsRevoked, string Else)>> ask, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            int token = Math.Max(0, Volatile.Read(ref _latest) - random.Next(random.Next(2) == 0 ? 40 : 1000));
            if (!_tokens.TryGetValue(token, out var compact))
            {
                await Task.Delay(1, CancellationToken.None);
                continue;
            }
            long started = FreshnessLog.Now();
            try
            {
                var (isGood, isRevoked, other) = await ask(compact, random);
                if (isGood == isRevoked) _wrong.Enqueue($"token {token} is answered {other}");
                log.Answered(token, started, isGood);
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

    private static void Signal(string name, ServiceInstance service)
    {
        var (code, output) = Programs.Run("kill", ["-" + name, service.Process.Id.ToString(CultureInfo.InvariantCulture)], TimeSpan.FromSeconds(5));
        Assert.True(code == 0, output);
    }
}
