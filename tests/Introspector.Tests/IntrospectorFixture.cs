using System.Text;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Health;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Consistency = ClawBureau.Protos.Types.V1.Consistency;

namespace ClawBureau.Introspector.Tests;

/// <summary>An Introspector, and beside it the one writer of its ledger, on a database of their own.</summary>
internal sealed class IntrospectorFixture : IAsyncDisposable
{
    private readonly NpgsqlDataSource _writing;
    private readonly List<TestProcess> _replicas = [];
    private readonly Lazy<LedgerReader> _reading;

    private IntrospectorFixture(TestDatabase database, NpgsqlDataSource writing, LedgerWriter writer)
    {
        (Database, _writing, Writer) = (database, writing, writer);
        _reading = new(() => new LedgerReader(writing));
        Admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database.Admin) { Pooling = false }.ConnectionString);
    }

    /// <summary>The seed of the contract's key vector o = 11.</summary>
    public SigningKey Key { get; } = new([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]);

    public TestDatabase Database { get; }
    public LedgerWriter Writer { get; }
    public NpgsqlDataSource Admin { get; }

    /// <summary>The first replica.</summary>
    public TestProcess Process => _replicas[0];
    public LedgerFollower Follower => Process.Services.GetRequiredService<LedgerFollower>();
    public RevocationSet Live => Process.Services.GetRequiredService<RevocationSet>();
    public Readiness Readiness => Process.Services.GetRequiredService<Readiness>();
    public IntrospectionService.IntrospectionServiceClient Introspection => new(Process.Channel().Calls);
    public FeedService.FeedServiceClient Feed => new(Process.Channel().Calls);

    /// <summary>A database, a writer, the key in the ledger unless not wanted, and a ready Introspector.</summary>
    /// <param name="through">Puts a wire between the Introspector and its database.</param>
    public static async Task<IntrospectorFixture> StartAsync(
        Tuning? tuning = null,
        IReadOnlyDictionary<string, string?>? settings = null,
        Func<string, string>? through = null,
        Action<IServiceCollection>? add = null,
        Func<IntrospectorFixture, Task>? before = null,
        bool withKey = true)
    {
        var database = await TestDatabases.CreateAsync();
        var writing = LedgerDatabase.ForWriting(database.Issuer);
        var writer = new LedgerWriter(writing, new LedgerOptions(), NullLogger<LedgerWriter>.Instance);
        await writer.StartAsync(CancellationToken.None);
        var fixture = new IntrospectorFixture(database, writing, writer);
        if (withKey) await fixture.SetKeyAsync(KeyState.Active);
        if (before is not null) await before(fixture);
        await fixture.AddReplicaAsync(tuning, settings, through, add);
        return fixture;
    }

    /// <summary>Starts another Introspector on the same ledger and waits until it is ready.</summary>
    public async Task<TestProcess> AddReplicaAsync(
        Tuning? tuning = null, IReadOnlyDictionary<string, string?>? settings = null, Func<string, string>? through = null, Action<IServiceCollection>? add = null)
    {
        var process = await StartProcessAsync(Database, tuning ?? new Tuning(), settings, through, add);
        _replicas.Add(process);
        await WaitUntilReadyAsync(process);
        return process;
    }

    /// <summary>Starts an Introspector that follows another one, or a relay, and waits until it is ready. Its keys are the ledger's.</summary>
    public async Task<TestProcess> AddRelayAsync(
        TestProcess? upstream = null, Tuning? tuning = null, IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? add = null, bool waits = true)
    {
        var all = new Dictionary<string, string?> { ["CLAW_UPSTREAM"] = (upstream ?? Process).Address.ToString(), ["CLAW_ISSUER"] = "https://127.0.0.1:1" };
        foreach (var (name, value) in settings ?? new Dictionary<string, string?>()) all[name] = value;
        var process = await TestProcess.StartAsync("introspector", services =>
        {
            services.AddIntrospector();
            services.AddSingleton(provider => (tuning ?? new Tuning()).ApplyTo(IntrospectorOptions.Read(provider.GetRequiredService<Settings>())));
            services.AddSingleton<IKeySource>(_ => new LedgerKeys(_reading.Value));
            add?.Invoke(services);
        }, app => app.MapIntrospector(), all);
        _replicas.Add(process);
        if (waits) await WaitUntilReadyAsync(process);
        return process;
    }

    public static Task<TestProcess> StartProcessAsync(
        TestDatabase database, Tuning tuning, IReadOnlyDictionary<string, string?>? settings = null, Func<string, string>? through = null, Action<IServiceCollection>? add = null)
    {
        // As a deployment would: one connection that is kept, not one per read.
        var connection = new NpgsqlConnectionStringBuilder(database.Introspector) { Pooling = true }.ConnectionString;
        var all = new Dictionary<string, string?> { ["CLAW_DATABASE_INTROSPECTOR"] = through is null ? connection : through(connection) };
        foreach (var (name, value) in settings ?? new Dictionary<string, string?>()) all[name] = value;
        return TestProcess.StartAsync("introspector", services =>
        {
            services.AddIntrospector();
            services.AddSingleton(provider => tuning.ApplyTo(IntrospectorOptions.Read(provider.GetRequiredService<Settings>())));
            add?.Invoke(services);
        }, app => app.MapIntrospector(), all);
    }

    public static Task WaitUntilReadyAsync(TestProcess process) =>
        Eventually.HoldsAsync("the Introspector is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);

    public Task WaitUntilReadyAsync() => WaitUntilReadyAsync(Process);

    /// <summary>Claims of a token that an OpenClaw plugin would hold, good for ten minutes.</summary>
    public static TokenClaims Claims(string subject = "did:key:zAgent")
    {
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        return new TokenClaims
        {
            Sub = subject,
            Audience = Audience.Of("clawproxy.example"),
            Scope = ["clawproxy:call"],
            IssuedAt = now,
            ExpiresAt = now + 600,
            MissionId = "agent:main:dm:whatsapp:+15551234567",
            Jti = Guid.NewGuid().ToString(),
            Nonce = Guid.NewGuid().ToString(),
            Lane = TokenLane.Legacy,
        };
    }

    public SignedToken Sign(TokenClaims? claims = null) => TokenSigner.Sign(claims ?? Claims(), Key);

    /// <summary>Any two texts as a token, with a signature that is right for them.</summary>
    public string Sign(string header, string payload)
    {
        var input = $"{Base64UrlText.Encode(Encoding.UTF8.GetBytes(header))}.{Base64UrlText.Encode(Encoding.UTF8.GetBytes(payload))}";
        return $"{input}.{Base64UrlText.Encode(Key.Sign(Encoding.ASCII.GetBytes(input)))}";
    }

    public Task<ActOutcome> SetKeyAsync(KeyState state, DateTimeOffset? notAfter = null, SigningKey? key = null, bool foreign = false) => AppendAsync(new KeyAct
    {
        Caller = "service:issuer",
        Correlation = Correlation.None,
        Keys = [KeyEntry.Of((key ?? Key).VerificationKey, state) with { NotAfter = notAfter?.ToUnixTimeSeconds(), IsForeign = foreign }],
    });

    /// <summary>Records the token as issued, so that the ledger knows its hash, jti and expiry.</summary>
    public async Task<SignedToken> MintAsync(TokenClaims? claims = null)
    {
        var token = Sign(claims);
        var outcome = await AppendAsync(new MintAct
        {
            Caller = "admin:test",
            Correlation = Correlation.None,
            TokenHash = token.TokenHash,
            Claims = token.Claims,
            KeyId = Key.KeyId,
            PolicyTier = "default",
            PolicyVersion = "1",
            Groups = TokenGroups.Of(token.Claims, Key.KeyId),
        });
        Assert.Equal(Verdict.Recorded, outcome.Verdict);
        return token;
    }

    public Task<ActOutcome> RevokeAsync(SignedToken token) => RevokeAsync(token.TokenHash);

    public Task<ActOutcome> RevokeAsync(TokenHash? hash = null, string? jti = null) => AppendAsync(new RevokeTokenAct
    {
        Caller = "admin:test",
        Correlation = Correlation.None,
        TokenHash = hash,
        Jti = jti,
        Reason = "test",
        KeepUntil = DateTimeOffset.UtcNow.AddDays(30),
    });

    /// <summary>Revokes as many tokens as asked for, all of them unknown to the ledger.</summary>
    public async Task RevokeManyAsync(int count)
    {
        foreach (var some in Enumerable.Range(0, count).Chunk(2000))
            await Task.WhenAll(some.Select(_ => RevokeAsync(TokenHash.Of(Guid.NewGuid().ToString()))));
    }

    public Task<ActOutcome> BlockAsync(GroupKey group) => AppendAsync(new BlockGroupAct { Caller = "admin:test", Correlation = Correlation.None, Group = group });

    public Task<ActOutcome> LiftAsync(GroupKey group) => AppendAsync(new LiftBlockAct { Caller = "admin:test", Correlation = Correlation.None, Group = group });

    public Task<ActOutcome> AppendAsync(Act act) => Writer.AppendAsync(act, CancellationToken.None);

    public Task<IntrospectTokenResponse> IntrospectAsync(SignedToken token, Consistency? consistency = null) => IntrospectAsync(token.Compact, consistency);

    public async Task<IntrospectTokenResponse> IntrospectAsync(string token, Consistency? consistency = null) =>
        await Introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = token, Consistency = consistency });

    /// <summary>The refusal that introspecting gets.</summary>
    public Task<Refusal> RefusedAsync(SignedToken token, Consistency? consistency = null) => Assert.ThrowsAsync<Refusal>(() => IntrospectAsync(token, consistency));

    public Task WaitUntilRefusedAsync(SignedToken token, Reason reason) => Eventually.HoldsAsync($"introspection is refused with {reason}", async () =>
    {
        try
        {
            await IntrospectAsync(token);
            return false;
        }
        catch (Refusal refusal)
        {
            Assert.Equal(reason, refusal.Reason);
            return true;
        }
    });

    public Task WaitUntilServedAsync(SignedToken token) => Eventually.HoldsAsync("introspection is served", async () =>
    {
        try
        {
            await IntrospectAsync(token);
            return true;
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.LedgerUnavailable)
        {
            return false;
        }
    });

    public async Task<Watcher> WatchAsync(string epoch = "", long after = 0, int maxFrameBytes = 0, string followerId = "", TestProcess? replica = null) =>
        await Watcher.StartAsync(new FeedService.FeedServiceClient((replica ?? Process).Channel().Calls), new Start
        {
            Epoch = epoch,
            AfterRevocationSeq = after,
            MaxFrameBytes = maxFrameBytes,
            FollowerId = followerId,
        });

    public async Task<string> EpochAsync() => (await ScalarAsync<Guid>("SELECT epoch FROM ledger.head")).ToString();

    public async Task<T> ScalarAsync<T>(string sql)
    {
        await using var command = Admin.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    public async Task ExecuteAsync(string sql)
    {
        await using var command = Admin.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var replica in Enumerable.Reverse(_replicas)) await replica.DisposeAsync();
        await Writer.StopAsync(CancellationToken.None);
        Writer.Dispose();
        await _writing.DisposeAsync();
        await Admin.DisposeAsync();
        await Database.DisposeAsync();
        Key.Dispose();
    }
}

/// <summary>The Issuer's key set as a relay would be told it, read from the ledger.</summary>
internal sealed class LedgerKeys(LedgerReader ledger) : IKeySource
{
    public async Task<ClawBureau.Client.Keys.KeyReading> ReadAsync(CancellationToken cancellationToken)
    {
        var read = await ledger.ReadKeyStatesAsync(cancellationToken);
        return new(read.States.ToVerificationKeys(), read.Head.Epoch.ToString(), read.Seq.Value);
    }
}

/// <summary>
/// Options a test sets. The deadlines are longer than the product's, since tests share a busy machine; where they are the
/// subject, <see cref="Product"/> leaves them as they are.
/// </summary>
internal sealed record Tuning
{
    public static readonly Tuning Product = new() { PollDeadline = null, MostSilence = null, UpstreamDeadline = null };

    /// <summary>No read of the ledger but those that calls ask for.</summary>
    public static readonly Tuning OnlyWhenAsked = new() { IdlePause = TimeSpan.FromHours(1), WatchPause = TimeSpan.FromHours(1), PollDeadline = TimeSpan.FromSeconds(30), MostSilence = TimeSpan.FromHours(1) };

    public TimeSpan? PollDeadline { get; init; } = TimeSpan.FromSeconds(5);
    public TimeSpan? MostSilence { get; init; } = TimeSpan.FromSeconds(20);
    public TimeSpan? IdlePause { get; init; }
    public TimeSpan? WatchPause { get; init; }
    public TimeSpan? MostSendTime { get; init; }
    public int? RingSize { get; init; }
    public TimeSpan? UpstreamDeadline { get; init; } = TimeSpan.FromSeconds(10);

    public IntrospectorOptions ApplyTo(IntrospectorOptions read) => new()
    {
        Database = read.Database,
        Upstream = read.Upstream,
        Issuer = read.Issuer,
        UpstreamDeadline = UpstreamDeadline ?? read.UpstreamDeadline,
        Heartbeat = read.Heartbeat,
        Lease = read.Lease,
        MostSubscribers = read.MostSubscribers,
        MostSnapshots = read.MostSnapshots,
        IsIntrospectionPublic = read.IsIntrospectionPublic,
        PublicRate = read.PublicRate,
        ServiceAudiences = read.ServiceAudiences,
        PollDeadline = PollDeadline ?? read.PollDeadline,
        MostSilence = MostSilence ?? read.MostSilence,
        IdlePause = IdlePause ?? read.IdlePause,
        WatchPause = WatchPause ?? read.WatchPause,
        MostSendTime = MostSendTime ?? read.MostSendTime,
        RingSize = RingSize ?? read.RingSize,
    };
}
