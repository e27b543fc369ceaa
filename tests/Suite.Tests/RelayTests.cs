using System.Collections.Concurrent;
using System.Globalization;
using ClawBureau.Client;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Suite.Tests;

/// <summary>One Introspector, and one that follows it.</summary>
public sealed class RelayedStack : StackFixture
{
    internal override StackOptions Options => base.Options with { Relays = 1 };
}

/// <summary>A relay as a process of its own, killed and paused while it is used.</summary>
public sealed class RelayTests(RelayedStack fixture) : IClassFixture<RelayedStack>
{
    private const int Writers = 3, Readers = 6, LeastAnswers = 1_500;
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(3);
    private readonly FreshnessLog _asked = new(), _decided = new();
    private readonly ConcurrentDictionary<int, string> _tokens = new();
    private int _latest = -1, _acts, _interruptions;

    [Fact]
    public async Task Whatever_is_killed_or_paused_a_relay_gives_no_answer_older_than_it_may_be()
    {
        var relay = fixture.Stack.Relays.Single();
        var origin = fixture.Stack.Introspector;
        await using var service = Service(relay.Address);
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, Writers).Select(_ => WriteAsync(stop.Token))
            .Concat(Enumerable.Range(0, Readers).Select(i => ReadAsync([origin, relay], new Random(i), stop.Token)))
            .Append(DecideAsync(service, stop.Token)).ToList();

        int seed = Random.Shared.Next();
        Func<Task>[] faults = [() => KillAsync(relay), () => KillAsync(origin), () => PauseAsync(relay), () => PauseAsync(origin), () => KillAsync(relay)];
        new Random(seed).Shuffle(faults);
        foreach (var fault in faults)
        {
            await ProgressAsync(load);
            await fault();
        }
        await ProgressAsync(load);
        await Eventually.HoldsAsync("enough was asked", () => _asked.Answers >= LeastAnswers, TimeSpan.FromSeconds(60));
        await stop.CancelAsync();
        await Task.WhenAll(load);

        Assert.True(_asked.FindViolations().Count == 0, $"seed {seed}: {string.Join("; ", _asked.FindViolations().Take(5))}");
        Assert.True(_decided.FindViolations(Bound).Count == 0, $"seed {seed}: behind the relay {string.Join("; ", _decided.FindViolations(Bound).Take(5))}");
        Assert.True(_interruptions > 0, "no fault interrupted a call: nothing was shown");
        Assert.True(_asked.AnswersAfterRevoke > LeastAnswers / 10, $"only {_asked.AnswersAfterRevoke} of {_asked.Answers} answers prove anything");
        Assert.True(_decided is { AnswersAfterRevoke: > 100, ActiveAnswers: > 20 }, $"{_decided.AnswersAfterRevoke} and {_decided.ActiveAnswers} of {_decided.Answers} decisions prove anything");
    }

    [Fact]
    public async Task Waiting_for_a_revocation_waits_for_services_behind_the_relay()
    {
        await using var service = Service(fixture.Stack.Relays.Single().Address);
        var verifier = service.GetRequiredService<TokenVerifier>();
        for (int i = 0; i < 20; i++)
        {
            var token = await IssueAsync();
            await Eventually.HoldsAsync("it is taken", async () => (await TryVerifyAsync(verifier, token.Token)) == true);
            var revoked = await fixture.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = token.TokenHash } } });
            var waited = await new FeedService.FeedServiceClient(fixture.Channel(fixture.Stack.Introspector).Calls).ReadIndexAsync(
                new ReadIndexRequest { AwaitApplied = revoked.Revision, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromSeconds(30)) }, deadline: DateTime.UtcNow.AddSeconds(40));
            Assert.True(waited.AllApplied);
            Assert.False(verifier.TryVerify(token.Token, TokenRequirements.None, out var verification) && verification.IsValid);
        }
    }

    /// <summary>A service of another team, whose revocations come from one Introspector.</summary>
    private ServiceProvider Service(Uri introspector)
    {
        var services = new ServiceCollection();
        services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.None));
        services.AddClawBureau(suite =>
        {
            (suite.Issuer, suite.Introspector) = (fixture.Stack.Issuer.Address, introspector);
            (suite.CaFile, suite.AdminKey) = (fixture.Stack.CaFile, fixture.Stack.AdminKey);
            (suite.Verification.MaxStaleness, suite.Verification.MostBackoff) = (Bound, TimeSpan.FromMilliseconds(500));
        });
        var provider = services.BuildServiceProvider();
        foreach (var hosted in provider.GetServices<IHostedService>()) _ = hosted.StartAsync(CancellationToken.None);
        return provider;
    }

    private async Task<IssueTokenResponse> IssueAsync() => await fixture.Issuance.IssueTokenAsync(StackFixture.Request($"{Guid.NewGuid()}"));

    private static async Task<bool?> TryVerifyAsync(TokenVerifier verifier, string token)
    {
        try
        {
            return (await verifier.VerifyAsync(token, TokenRequirements.None, Freshness.Default, CancellationToken.None)).IsValid;
        }
        catch (Refusal)
        {
            return null;
        }
    }

    private async Task WriteAsync(CancellationToken stop)
    {
        var issuance = fixture.Issuance;
        var revocation = fixture.Revocation;
        while (!stop.IsCancellationRequested)
        {
            var issued = await issuance.IssueTokenAsync(StackFixture.Request($"{Guid.NewGuid()}"), cancellationToken: CancellationToken.None);
            int token = Interlocked.Increment(ref _latest);
            _tokens[token] = issued.Token;
            await Task.Delay(20, CancellationToken.None);
            await revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } } }, cancellationToken: CancellationToken.None);
            _asked.Revoked(token);
            _decided.Revoked(token);
            Interlocked.Increment(ref _acts);
        }
    }

    private async Task ReadAsync(ServiceInstance[] introspectors, Random random, CancellationToken stop)
    {
        var clients = introspectors.Select(i => new IntrospectionService.IntrospectionServiceClient(fixture.Channel(i).Calls)).ToArray();
        while (!stop.IsCancellationRequested)
        {
            int token = Volatile.Read(ref _latest) - random.Next(20);
            if (!_tokens.TryGetValue(token, out var compact))
            {
                await Task.Delay(1, CancellationToken.None);
                continue;
            }
            long started = FreshnessLog.Now();
            try
            {
                var answer = await clients[random.Next(clients.Length)].IntrospectTokenAsync(new IntrospectTokenRequest { Token = compact }, deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: CancellationToken.None);
                _asked.Answered(token, started, answer.Active);
            }
            catch (Exception e) when (e is Refusal refusal && ReasonCatalog.Of(refusal.Reason).GrpcCode == StatusCode.Unavailable || e is RpcException { StatusCode: StatusCode.DeadlineExceeded or StatusCode.Cancelled or StatusCode.Unavailable })
            {
                Interlocked.Increment(ref _interruptions);
                await Task.Delay(5, CancellationToken.None);
            }
        }
    }

    /// <summary>Decides from memory, for as long as it has a lease, on everything that was issued lately.</summary>
    private async Task DecideAsync(ServiceProvider service, CancellationToken stop)
    {
        var verifier = service.GetRequiredService<TokenVerifier>();
        var random = new Random(7);
        while (!stop.IsCancellationRequested)
        {
            for (int i = 0; i < 20; i++)
            {
                int token = Volatile.Read(ref _latest) - random.Next(200);
                if (!_tokens.TryGetValue(token, out var compact)) continue;
                long started = FreshnessLog.Now();
                if (verifier.TryVerify(compact, TokenRequirements.None, out var verification)) _decided.Answered(token, started, verification.IsValid);
                else if (verification.Reason == Reason.TokenUnknownKid) throw new InvalidOperationException("the service has no keys");
            }
            await Task.Delay(1, CancellationToken.None);
        }
    }

    private async Task ProgressAsync(List<Task> load)
    {
        var (acts, answers, decisions) = (Volatile.Read(ref _acts), _asked.Answers, _decided.Answers);
        await Eventually.HoldsAsync("the load goes on", async () =>
        {
            if (load.Find(l => l.IsFaulted) is { } failed) await failed;
            return Volatile.Read(ref _acts) >= acts + 2 * Writers && _asked.Answers >= answers + 10 * Readers && _decided.Answers > decisions + 50;
        }, TimeSpan.FromSeconds(60));
    }

    private async Task KillAsync(ServiceInstance service)
    {
        service.Process.Kill();
        await service.Process.WaitForExitAsync();
        service.Restart();
        await service.WaitUntilServingAsync(fixture.Stack.Peer, TimeSpan.FromSeconds(60), CancellationToken.None);
    }

    /// <summary>Longer than a lease: what was in its buffers is older than any answer may be when it goes on.</summary>
    private async Task PauseAsync(ServiceInstance service)
    {
        Signal("STOP", service);
        try
        {
            long pausedAt = FreshnessLog.Now();
            int acts = Volatile.Read(ref _acts);
            await Eventually.HoldsAsync($"acts are recorded while {service.Name} is stopped for longer than a lease", () => Volatile.Read(ref _acts) > acts + Writers && TimeProvider.System.GetElapsedTime(pausedAt) > Bound + TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(60));
        }
        finally
        {
            Signal("CONT", service);
        }
    }

    private static void Signal(string name, ServiceInstance service)
    {
        var (code, output) = Programs.Run("kill", ["-" + name, service.Process.Id.ToString(CultureInfo.InvariantCulture)], TimeSpan.FromSeconds(5));
        Assert.True(code == 0, output);
    }
}
