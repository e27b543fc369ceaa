using ClawBureau.Hosting.Health;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace ClawBureau.Issuer.Tests;

/// <summary>An Issuer on a database of its own.</summary>
public sealed class IssuerFixture : IAsyncDisposable
{
    /// <summary>The seed of the contract's key vector o = 11; its kid is fe2b99fd9afaa999.</summary>
    public static readonly string Seed = Tokens.Base64UrlText.Encode([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]);

    private readonly PostgresProxy? _wire;

    private readonly IReadOnlyDictionary<string, string?> _settings;

    private IssuerFixture(TestDatabase database, PostgresProxy? wire, TestProcess process, IReadOnlyDictionary<string, string?> settings) =>
        (Database, _wire, Process, _settings) = (database, wire, process, settings);

    public TestDatabase Database { get; }
    public TestProcess Process { get; }

    /// <summary>The wire to the database, when the fixture was started behind one.</summary>
    public PostgresProxy Wire => _wire ?? throw new InvalidOperationException("this Issuer is not behind a wire");
    public IssuanceService.IssuanceServiceClient Issuance => new(Process.Channel().Calls);
    public RevocationService.RevocationServiceClient Revocation => new(Process.Channel().Calls);

    public static async Task<IssuerFixture> StartAsync(IReadOnlyDictionary<string, string?>? settings = null, bool behindWire = false, Action<IServiceCollection>? add = null)
    {
        var database = await TestDatabases.CreateAsync();
        var wire = behindWire ? new PostgresProxy(database.Issuer) : null;
        var all = new Dictionary<string, string?>
        {
            ["CLAW_DATABASE_ISSUER"] = wire?.ConnectionString ?? database.Issuer,
            ["SCOPE_SIGNING_KEY"] = Seed,
            ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "proxy:,clawproxy:,control:",
        };
        foreach (var (name, value) in settings ?? new Dictionary<string, string?>()) all[name] = value;
        var process = await TestProcess.StartAsync("issuer", services =>
        {
            services.AddIssuer();
            add?.Invoke(services);
        }, a => a.MapIssuer(), all);
        var fixture = new IssuerFixture(database, wire, process, all);
        await fixture.WaitUntilReadyAsync();
        return fixture;
    }

    /// <summary>Another Issuer on the same ledger, with the same key and settings; the caller ends it.</summary>
    public async Task<TestProcess> AddReplicaAsync()
    {
        var replica = await TestProcess.StartAsync("issuer", services => services.AddIssuer(), app => app.MapIssuer(), _settings);
        await WaitUntilReadyAsync(replica);
        return replica;
    }

    public Task WaitUntilReadyAsync() => WaitUntilReadyAsync(Process);

    private static Task WaitUntilReadyAsync(TestProcess process) =>
        Eventually.HoldsAsync("the Issuer is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);

    /// <summary>What an OpenClaw plugin asks for.</summary>
    public static IssueTokenRequest Request() => new()
    {
        Sub = "did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC",
        Aud = new Audience { Values = { "clawproxy.example" } },
        Scope = { "clawproxy:call" },
        MissionId = "agent:main:dm:whatsapp:+15551234567",
        RunId = "run-7",
    };

    public async Task<T> ScalarAsync<T>(string sql)
    {
        await using var admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(Database.Admin) { Pooling = false }.ConnectionString);
        await using var command = admin.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        if (_wire is not null) await _wire.DisposeAsync();
        await Database.DisposeAsync();
    }
}
