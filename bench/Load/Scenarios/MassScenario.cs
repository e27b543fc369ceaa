using System.Diagnostics;
using System.Security.Cryptography;
using ClawBureau.Client;
using ClawBureau.Client.Feed;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Stack;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// Very much that is dead, on a second stack, revoked through the Issuer as anything is: how long an Introspector and a follower take to
/// begin with it; introspection with it, beside the first stack's in the same rounds; then a whole mission dead by one row, and everything.
/// </summary>
internal static class MassScenario
{
    private const int TargetsPerCall = 1000;
    private const int Revokers = 8;
    private const int Starts = 3;
    private const int SmallSet = 512;
    private static readonly TimeSpan MostStarting = TimeSpan.FromMinutes(2);

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        int many = options.LiveRevocations;
        await using var mass = await LoadStack.StartAsync(report, cancellationToken, keepsAudit: false);
        report($"mass: issuing {options.MissionTokens:N0} tokens of one mission");
        var mission = await mass.IssueAsync(options.MissionTokens, cancellationToken);
        report($"mass: revoking {many:N0} tokens");
        await RevokeAsync(mass, many, cancellationToken);

        measured(await StartsAsync(mass, many, report, cancellationToken));
        measured([await FollowAsync(mass, many, report, cancellationToken)]);

        var few = await stack.IssueAsync(SmallSet, cancellationToken);
        measured(await new Comparison(options, report).RunAsync(
            [
                Introspect(mass, $"introspect c={options.Clients}, {many:N0} live", mission.AsSpan(0, Math.Min(SmallSet, mission.Length)).ToArray(), revoked: false),
                Introspect(stack, $"introspect c={options.Clients}, {await CountLiveAsync(stack, cancellationToken):N0} live", few, revoked: false),
            ], hasBaseline: true, cancellationToken));

        var revocation = new RevocationService.RevocationServiceClient(mass.Connect(mass.Stack.Issuer, 1)(0));
        measured(await BesideEmptyAsync($"introspect c={options.Clients}, a mission of {mission.Length:N0}", revoked: false));
        await revocation.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Mission, Value = LoadStack.Request().MissionId } }, cancellationToken: cancellationToken);
        measured(await BesideEmptyAsync($"introspect c={options.Clients}, that mission blocked by one row", revoked: true));
        await revocation.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Everything } }, cancellationToken: cancellationToken);
        measured(await BesideEmptyAsync($"introspect c={options.Clients}, everything blocked by one row", revoked: true));

        Task<IReadOnlyList<Row>> BesideEmptyAsync(string name, bool revoked) => new Comparison(options, report).RunAsync(
            [Introspect(mass, name, mission, revoked), mass.Empty(mass.Stack.Introspector, options.Clients)], hasBaseline: true, cancellationToken);

        Side Introspect(LoadStack at, string name, string[] tokens, bool revoked)
        {
            var connect = at.Connect(at.Stack.Introspector, options.Clients);
            var clients = Enumerable.Range(0, options.Clients).Select(client => new IntrospectionService.IntrospectionServiceClient(connect(client))).ToArray();
            int next = 0;
            return new Side(name, async client =>
            {
                var answer = await clients[client].IntrospectTokenAsync(new IntrospectTokenRequest { Token = tokens[(uint)Interlocked.Increment(ref next) % tokens.Length] }, cancellationToken: cancellationToken);
                if (answer.Active == revoked || answer.Revoked != revoked) throw new InvalidOperationException($"a token is answered as active {answer.Active}, revoked {answer.Revoked}");
                return 1;
            }, options.Clients, at.Stack.Introspector.Process);
        }
    }

    private static async Task RevokeAsync(LoadStack mass, int many, CancellationToken cancellationToken)
    {
        var connect = mass.Connect(mass.Stack.Issuer, Revokers);
        var calls = Enumerable.Range(0, (many + TargetsPerCall - 1) / TargetsPerCall);
        await Parallel.ForEachAsync(calls, new ParallelOptions { MaxDegreeOfParallelism = Revokers, CancellationToken = cancellationToken }, async (call, token) =>
        {
            var request = new RevokeTokensRequest { Reason = "bench" };
            for (int i = call * TargetsPerCall; i < Math.Min(many, (call + 1) * TargetsPerCall); i++)
                request.Targets.Add(new RevocationTarget { TokenHash = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) });
            var answer = await new RevocationService.RevocationServiceClient(connect(call % Revokers)).RevokeTokensAsync(request, cancellationToken: token);
            if (answer.Results.Any(result => result.Revocation is null)) throw new InvalidOperationException("a token was not revoked");
        });
    }

    /// <summary>The Introspector from its start to its first answer, beside the same rows read and thrown away.</summary>
    private static async Task<IReadOnlyList<Row>> StartsAsync(LoadStack mass, int many, Action<string> report, CancellationToken cancellationToken)
    {
        var introspector = mass.Stack.Introspector;
        await using var database = NpgsqlDataSource.Create(mass.Stack.Database.Admin);
        var counted = new Rounds();
        var rounds = await counted.RunAsync(Starts, async done =>
        {
            report($"Introspector start, {many:N0} live: round {done + 1} of {Starts}");
            introspector.Stop();
            long began = Stopwatch.GetTimestamp();
            introspector.Restart();
            await introspector.WaitUntilServingAsync(mass.Stack.Peer, MostStarting, cancellationToken);
            var start = Stopwatch.GetElapsedTime(began);
            introspector.Process.Refresh();
            var cpu = introspector.Process.TotalProcessorTime;
            began = Stopwatch.GetTimestamp();
            if (await ReadRowsAsync(database, cancellationToken) < many) throw new InvalidOperationException("the ledger has fewer revocations than were made");
            return (Start: start, Cpu: cpu, Read: Stopwatch.GetElapsedTime(began));
        });
        var (name, baseline) = ($"Introspector start, {many:N0} live", "the same rows read by plain SQL");
        return
        [
            new Row(name, Comparison.Median(rounds.Select(r => many / r.Start.TotalSeconds)), Comparison.Median(rounds.Select(r => r.Start.TotalMilliseconds)), rounds.Max(r => r.Start.TotalMilliseconds),
                rounds.Average(r => r.Cpu.TotalMicroseconds) / many, null, baseline, Comparison.Median(rounds.Select(r => r.Read / r.Start)), null, counted.Discarded, counted.Stolen),
            new Row(baseline, Comparison.Median(rounds.Select(r => many / r.Read.TotalSeconds)), Comparison.Median(rounds.Select(r => r.Read.TotalMilliseconds)), rounds.Max(r => r.Read.TotalMilliseconds),
                null, null, null, null, null, 0, 0),
        ];
    }

    private static async Task<int> ReadRowsAsync(NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT revocation_seq, seq, revoked_at, reason, token_hash, jti, expires_at FROM ledger.revoked_tokens ORDER BY revocation_seq");
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        int rows = 0;
        for (; await reader.ReadAsync(cancellationToken); rows++) _ = reader.GetFieldValue<byte[]>(4);
        return rows;
    }

    /// <summary>A follower from its start until it holds everything, and what that takes in memory.</summary>
    private static async Task<Row> FollowAsync(LoadStack mass, int many, Action<string> report, CancellationToken cancellationToken)
    {
        long bytes = 0;
        var counted = new Rounds();
        var rounds = await counted.RunAsync(Starts, async done =>
        {
            report($"follower start, {many:N0} live: round {done + 1} of {Starts}");
            var (introspector, cpu, began) = (Cpu(mass.Stack.Introspector), Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
            await using var services = new ServiceCollection()
                .AddLogging(logging => logging.SetMinimumLevel(LogLevel.Error))
                .AddClawBureau(o => (o.Issuer, o.Introspector, o.CaFile, o.AdminKey) = (mass.Stack.Issuer.Address, mass.Stack.Introspector.Address, mass.Stack.CaFile, mass.Stack.AdminKey))
                .BuildServiceProvider();
            foreach (var hosted in services.GetServices<IHostedService>()) await hosted.StartAsync(cancellationToken);
            var follower = services.GetRequiredService<RevocationFollower>();
            await follower.Loaded.WaitAsync(MostStarting, cancellationToken);
            var elapsed = Stopwatch.GetElapsedTime(began);
            var (server, client) = (Cpu(mass.Stack.Introspector) - introspector, Environment.CpuUsage.TotalTime - cpu);
            if (follower.Revocations.Count < many) throw new InvalidOperationException("a snapshot has fewer revocations than were made");
            bytes = follower.Revocations.MemoryBytes / follower.Revocations.Count;
            foreach (var hosted in services.GetServices<IHostedService>()) await hosted.StopAsync(cancellationToken);
            return (Elapsed: elapsed, Server: server, Client: client);
        });
        return new Row(
            $"follower start, {many:N0} live, {bytes} bytes each", Comparison.Median(rounds.Select(r => many / r.Elapsed.TotalSeconds)),
            Comparison.Median(rounds.Select(r => r.Elapsed.TotalMilliseconds)), rounds.Max(r => r.Elapsed.TotalMilliseconds),
            rounds.Average(r => r.Server.TotalMicroseconds) / many, rounds.Average(r => r.Client.TotalMicroseconds) / many, null, null, null, counted.Discarded, counted.Stolen);

        static TimeSpan Cpu(ServiceInstance service)
        {
            service.Process.Refresh();
            return service.Process.TotalProcessorTime;
        }
    }

    private static async Task<long> CountLiveAsync(LoadStack stack, CancellationToken cancellationToken)
    {
        await using var database = NpgsqlDataSource.Create(stack.Stack.Database.Admin);
        await using var command = database.CreateCommand("SELECT count(*) FROM ledger.revoked_tokens");
        return (long)(await command.ExecuteScalarAsync(cancellationToken))!;
    }
}
