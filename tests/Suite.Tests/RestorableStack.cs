using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using ClawBureau.Client;
using ClawBureau.Client.Feed;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Suite.Tests;

/// <summary>
/// Two Issuers, two Introspectors, a Verifier, an Edge and an AuditSink, whose database can be put back to an earlier day under
/// them; and a follower of each Introspector, as another team's service has one.
/// </summary>
internal sealed class RestorableStack : IAsyncDisposable
{
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(60);
    private readonly List<PeerChannel> _channels = [];
    private readonly List<ServiceProvider> _followers = [];
    private readonly StackFolder? _auditFolder;
    private readonly LocalPostgres? _audit;
    private readonly HttpClient _edge;
    private int _keys;

    private RestorableStack(LocalStack stack, StackFolder? auditFolder, LocalPostgres? audit)
    {
        (Stack, _auditFolder, _audit) = (stack, auditFolder, audit);
        _edge = new HttpClient { BaseAddress = stack.EdgeHttp, Timeout = TimeSpan.FromSeconds(10) };
    }

    public LocalStack Stack { get; }
    public LocalPostgres Database => (LocalPostgres)Stack.Postgres;
    public ServiceInstance Sink => Stack.First("audit-sink");
    public IReadOnlyList<RevocationFollower> Followers => [.. _followers.Select(f => f.GetRequiredService<RevocationFollower>())];

    /// <param name="auditApart">The audit log's database is on a server of its own, as docs/recovery.md asks for.</param>
    public static async Task<RestorableStack> StartAsync(bool auditApart)
    {
        StackFolder? folder = null;
        LocalPostgres? audit = null;
        var variables = new Dictionary<string, string?> { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" };
        try
        {
            if (auditApart)
            {
                folder = StackFolder.CreateTemporary();
                audit = await LocalPostgres.StartFromTemplateAsync(PostgresBinaries.Find()!, folder.Path, durable: false, CancellationToken.None);
                await DatabaseAccess.SetPasswordsAsync(audit, CancellationToken.None);
                variables["CLAW_DATABASE_AUDIT"] = DatabaseAccess.Of(audit, PostgresServer.Database).Audit;
            }
            var stack = await LocalStack.StartAsync(new StackOptions
            {
                Database = null,
                Durable = false,
                PlainHttp = true,
                Replicas = new Dictionary<string, int> { ["issuer"] = 2, ["introspector"] = 2 },
                Variables = variables,
            }, _ => { }, CancellationToken.None);
            var restorable = new RestorableStack(stack, folder, audit);
            foreach (var introspector in restorable.Of("introspector")) await restorable.FollowAsync(introspector);
            return restorable;
        }
        catch
        {
            if (audit is not null) await audit.DisposeAsync();
            folder?.Release();
            throw;
        }
    }

    public ServiceInstance[] Of(string name) => [.. Stack.Services.Where(s => s.Place.Name == name)];

    public PeerChannel Channel(ServiceInstance service)
    {
        var channel = PeerChannel.Create(service.Address, Stack.Peer);
        lock (_channels) _channels.Add(channel);
        return channel;
    }

    public BaseBackup BackUp() => BaseBackup.Take(Database, Stack.StateFolder);

    /// <summary>Runs the command on this stack.</summary>
    public Task<Ran> RunAsync(params string[] arguments) => Claw.RunAsync([.. arguments, "--state", Stack.StateFolder], null);

    public async Task<NpgsqlConnection> OpenAdminAsync()
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Stack.Database.Admin) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        return connection;
    }

    /// <summary>Where the ledger stands.</summary>
    public async Task<(Guid Epoch, long Seq, long RevocationSeq)> ReadHeadAsync()
    {
        await using var ledger = await OpenAdminAsync();
        await using var command = new NpgsqlCommand("SELECT epoch, seq, revocation_seq FROM ledger.head", ledger);
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        return (reader.GetGuid(0), reader.GetInt64(1), reader.GetInt64(2));
    }

    public static IssueTokenRequest Request(string key, string? mission = null)
    {
        var request = StackFixture.Request(key);
        request.MissionId = mission ?? $"mission of {key}";
        return request;
    }

    /// <summary>So many tokens, by either Issuer in turn.</summary>
    public async Task<List<IssueTokenResponse>> IssueAsync(int count, string? mission = null)
    {
        var issued = new List<IssueTokenResponse>();
        foreach (int i in Enumerable.Range(0, count))
        {
            var client = new IssuanceService.IssuanceServiceClient(Channel(Of("issuer")[i % 2]).Calls);
            issued.Add(await Answered.ByAsync(() => client.IssueTokenAsync(Request(Key(), mission))));
        }
        return issued;
    }

    public string Key() => $"restore-{Interlocked.Increment(ref _keys)}";

    public async Task RevokeAsync(IEnumerable<IssueTokenResponse> tokens)
    {
        var request = new RevokeTokensRequest { Targets = { tokens.Select(t => new RevocationTarget { TokenHash = t.TokenHash }) } };
        var answer = await Answered.ByAsync(() => Revocation(0).RevokeTokensAsync(request));
        Assert.All(answer.Results, r => Assert.NotNull(r.Revocation));
    }

    public async Task BlockAsync(string mission) => await Answered.ByAsync(() => Revocation(1).BlockGroupAsync(new BlockGroupRequest { Group = OfMission(mission) }));

    public async Task LiftAsync(string mission) => await Answered.ByAsync(() => Revocation(0).LiftBlockAsync(new LiftBlockRequest { Group = OfMission(mission) }));

    private static Group OfMission(string mission) => new() { Kind = GroupKind.Mission, Value = mission };

    private RevocationService.RevocationServiceClient Revocation(int issuer) => new(Channel(Of("issuer")[issuer]).Calls);

    /// <summary>The audit log has everything.</summary>
    public Task WaitUntilAuditedAsync() => Eventually.HoldsAsync("the audit log has everything", async () =>
    {
        var (epoch, seq, _) = await ReadHeadAsync();
        try
        {
            var cursor = await new Protos.Audit.V1.AuditService.AuditServiceClient(Channel(Sink).Calls).GetSourceCursorAsync(new() { Source = "ledger" });
            return cursor.LastSeq == seq && (cursor.Epoch == epoch.ToString() || seq == 0 || await ReadPreviousLastSeqAsync() == seq);
        }
        catch (Refusal)
        {
            return false;
        }
    }, Most);

    /// <summary>Every follower has everything.</summary>
    public Task WaitUntilFollowedAsync() => Eventually.HoldsAsync("every follower has everything", async () =>
    {
        var (epoch, _, revocationSeq) = await ReadHeadAsync();
        return Followers.All(f => f.Lease?.Revision is { } revision && revision.Epoch == epoch && revision.RevocationSeq.Value == revocationSeq);
    }, Most);

    /// <summary>Every replica of every service does what it is for.</summary>
    public async Task WaitUntilServedAsync()
    {
        var token = (await Eventually.OfAsync("an Issuer issues", () => TryAsync(() => new IssuanceService.IssuanceServiceClient(Channel(Of("issuer")[0]).Calls).IssueTokenAsync(Request(Key())).ResponseAsync), Most))!;
        foreach (var (name, ask) in Calls(token.Token))
            await Eventually.HoldsAsync($"{name} is answered", async () => await TryAsync(ask) is not null, Most);

        async Task<T?> TryAsync<T>(Func<Task<T>> ask)
            where T : class
        {
            try
            {
                return await ask();
            }
            catch (Exception e) when (e is Refusal or RpcException or HttpRequestException or TaskCanceledException)
            {
                return null;
            }
        }
    }

    /// <summary>Starts to ask everybody for everything.</summary>
    public Asking AskEverybody(string token) => new(Calls(token));

    public async Task<IntrospectTokenResponse> IntrospectAsync(string token, ServiceInstance introspector) =>
        await Answered.ByAsync(() => new IntrospectionService.IntrospectionServiceClient(Channel(introspector).Calls).IntrospectTokenAsync(new IntrospectTokenRequest { Token = token }));

    /// <summary>What every process that decides about tokens says of one of them, each as fresh as can be.</summary>
    public async Task<IReadOnlyList<(string Who, bool Revoked)>> JudgeAsync(IssueTokenResponse token)
    {
        var answers = new List<(string, bool)>();
        foreach (var introspector in Of("introspector"))
        {
            var answer = await IntrospectAsync(token.Token, introspector);
            Assert.True(answer.Active != answer.Revoked, $"{introspector.Name} says {answer.InactiveReason}");
            answers.Add((introspector.Name, answer.Revoked));
        }
        var verified = await Answered.ByAsync(() => Verification.VerifyTokenAsync(FreshVerify(token.Token)));
        Assert.True(verified.Verdict.Status == VerificationStatus.Valid || verified.Revoked, $"the Verifier says {verified.Verdict.Reason}");
        answers.Add(("verifier", verified.Revoked));
        return answers;
    }

    private VerificationService.VerificationServiceClient Verification => new(Channel(Stack.First("verifier")).Calls);

    private static VerifyTokenRequest FreshVerify(string token) => new() { Token = token, Consistency = new Consistency { Linearizable = new() } };

    /// <summary>Of what was known, what is not denied any more.</summary>
    public static IReadOnlyList<string> FindForgotten(IEnumerable<RevocationEntry> known, IEnumerable<RevocationEntry> now)
    {
        var all = now.ToList();
        var hashes = all.Where(e => e.TokenHash is not null).Select(e => e.TokenHash!.Value).ToHashSet();
        var groups = all.Where(e => e.Group is not null).ToDictionary(e => e.Group!.Value);
        return [.. known.Where(e => e.Group is { } group
            ? !groups.TryGetValue(group, out var stands) || (e.Blocked && !stands.Blocked) || e.Cut > stands.Cut
            : !hashes.Contains(e.TokenHash!.Value)).Select(e => $"{e.TokenHash?.ToString() ?? e.Group?.ToString()} of {e.RevocationSeq}")];
    }

    /// <summary>L5, over everything there is.</summary>
    public async Task CheckAuditedAsync()
    {
        await WaitUntilAuditedAsync();
        await using var ledger = await OpenAdminAsync();
        Assert.Empty(AuditedActs.FindViolations(await AuditedActs.ReadLedgerAsync(ledger), await AuditedActs.ReadLogAsync(Channel(Sink))));
    }

    /// <summary>kill -9, as a machine dies.</summary>
    public static async Task KillAsync(ServiceInstance service)
    {
        service.Process.Kill();
        await service.Process.WaitForExitAsync();
    }

    public async Task StartAgainAsync(ServiceInstance service)
    {
        service.Restart();
        Stack.Describe();
        await service.WaitUntilServingAsync(Stack.Peer, Most, CancellationToken.None);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var follower in _followers)
        {
            foreach (var hosted in follower.GetServices<IHostedService>()) await hosted.StopAsync(CancellationToken.None);
            await follower.DisposeAsync();
        }
        _edge.Dispose();
        foreach (var channel in _channels) channel.Dispose();
        await Stack.DisposeAsync();
        if (_audit is not null) await _audit.DisposeAsync();
        _auditFolder?.Release();
    }

    private async Task FollowAsync(ServiceInstance introspector)
    {
        var follower = new ServiceCollection().AddLogging().AddClawBureau(options =>
            (options.Issuer, options.Introspector, options.CaFile, options.AdminKey) = (Stack.Issuer.Address, introspector.Address, Stack.CaFile, Stack.AdminKey)).BuildServiceProvider();
        _followers.Add(follower);
        foreach (var hosted in follower.GetServices<IHostedService>()) await hosted.StartAsync(CancellationToken.None);
        await follower.GetRequiredService<RevocationFollower>().Loaded;
    }

    private async Task<long?> ReadPreviousLastSeqAsync()
    {
        await using var ledger = await OpenAdminAsync();
        await using var command = new NpgsqlCommand("SELECT r.previous_last_seq FROM ledger.recoveries r JOIN ledger.head h USING (epoch)", ledger);
        return (long?)await command.ExecuteScalarAsync();
    }

    /// <summary>Whatever rests on the ledger, of each replica.</summary>
    private IReadOnlyList<(string Name, Func<Task<object>> Ask)> Calls(string token)
    {
        var calls = new List<(string, Func<Task<object>>)>();
        foreach (var issuer in Of("issuer"))
        {
            var channel = Channel(issuer);
            var (issuance, revocation) = (new IssuanceService.IssuanceServiceClient(channel.Calls), new RevocationService.RevocationServiceClient(channel.Calls));
            calls.Add(($"{issuer.Name} issue", async () => await issuance.IssueTokenAsync(Request(Key()))));
            calls.Add(($"{issuer.Name} revoke", async () => await revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = Key() } } })));
            calls.Add(($"{issuer.Name} block", async () => await revocation.BlockGroupAsync(new BlockGroupRequest { Group = OfMission(Key()) })));
        }
        foreach (var introspector in Of("introspector"))
        {
            var channel = Channel(introspector);
            var (introspection, feed) = (new IntrospectionService.IntrospectionServiceClient(channel.Calls), new FeedService.FeedServiceClient(channel.Calls));
            calls.Add(($"{introspector.Name} introspect", async () => await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = token })));
            calls.Add(($"{introspector.Name} list", async () => await feed.ListRevocationsAsync(new ListRevocationsRequest { PageSize = 1 })));
            calls.Add(($"{introspector.Name} read index", async () => await feed.ReadIndexAsync(new ReadIndexRequest())));
            calls.Add(($"{introspector.Name} snapshot", () => BeginSnapshotAsync(feed)));
        }
        var verification = Verification;
        calls.Add(("verifier verify", async () => await verification.VerifyTokenAsync(FreshVerify(token))));
        calls.Add(("edge introspect", () => OverHttpAsync(HttpMethod.Post, "/v1/tokens/introspect", new { token })));
        calls.Add(("edge revoke", () => OverHttpAsync(HttpMethod.Post, "/v1/tokens/revoke", new { token = Key() })));
        calls.Add(("edge issue", () => OverHttpAsync(HttpMethod.Post, "/v1/tokens/issue", new { sub = "did:key:zAgent", aud = "clawproxy.example", scope = (string[])["clawproxy:call"] })));
        calls.Add(("edge stream", () => OverHttpAsync(HttpMethod.Get, "/v1/revocations/stream?limit=1", null)));
        return calls;
    }

    private static async Task<object> BeginSnapshotAsync(FeedService.FeedServiceClient feed)
    {
        using var call = feed.GetSnapshot(new GetSnapshotRequest());
        await call.ResponseStream.MoveNext(CancellationToken.None);
        return call.ResponseStream.Current;
    }

    private async Task<object> OverHttpAsync(HttpMethod method, string path, object? body)
    {
        using var request = new HttpRequestMessage(method, path) { Headers = { { "Authorization", $"Bearer {Stack.AdminKey}" } } };
        if (body is not null) request.Content = JsonContent.Create(body);
        using var answer = await _edge.SendAsync(request);
        if (answer.IsSuccessStatusCode) return path;
        var code = (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetString();
        Assert.True(answer.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout, $"{path} answers {(int)answer.StatusCode} {code}");
        throw code == "LEDGER_NEEDS_RECOVERY" ? new Refusal(Reason.LedgerNeedsRecovery) : new Refusal(Reason.PeerUnavailable);
    }

    /// <summary>Asks for the same again and again, and keeps what came.</summary>
    public sealed class Asking : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly ConcurrentDictionary<string, Reason> _refused = new();     // the last reason
        private readonly ConcurrentQueue<string> _served = new();
        private readonly IReadOnlyList<string> _names;
        private readonly Task _asking;

        public Asking(IReadOnlyList<(string Name, Func<Task<object>> Ask)> calls)
        {
            _names = [.. calls.Select(c => c.Name)];
            _asking = Task.WhenAll(calls.Select(c => Task.Run(() => AskAsync(c.Name, c.Ask))));
        }

        /// <summary>What was answered with more than a refusal.</summary>
        public IReadOnlyCollection<string> Served => _served;

        /// <summary>Everything has been refused with this reason, and is still.</summary>
        public Task UntilRefusedAsync(Reason reason) => Eventually.HoldsAsync($"everything is refused with {reason}: {string.Join(", ", _names)}", async () =>
        {
            if (_asking.IsFaulted) await _asking;
            return _names.All(name => _refused.TryGetValue(name, out var last) && last == reason);
        }, Most);

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _asking;
            _stop.Dispose();
        }

        private async Task AskAsync(string name, Func<Task<object>> ask)
        {
            while (!_stop.IsCancellationRequested)
            {
                try
                {
                    await ask();
                    _served.Enqueue(name);
                }
                catch (Refusal refusal)
                {
                    _refused[name] = refusal.Reason;
                }
                catch (Exception e) when (e is RpcException or HttpRequestException or TaskCanceledException)
                {
                    _refused[name] = Reason.PeerUnavailable;
                }
                // There are a dozen and a half of them: asked more often, they leave no processor to what is to come back.
                await Task.Delay(50);
            }
        }
    }
}
