using System.Net;
using System.Net.Sockets;
using ClawBureau.Hosting.Health;
using ClawBureau.Issuer;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Audience = ClawBureau.Protos.Types.V1.Audience;

namespace ClawBureau.AuditSink.Tests;

/// <summary>From an Issuer's ledger into the audit log; each has a database of its own.</summary>
public sealed class RelayTests
{
    [Fact]
    public async Task Every_act_of_the_ledger_reaches_the_log_once_and_is_found_by_what_it_is_about()
    {
        await using var audit = await AuditFixture.StartAsync();
        await using var ledger = await IssuerSide.StartAsync(audit.Process.Address);
        var issued = await ledger.Issuance.IssueTokenAsync(IssuerSide.Request("mission-a", "run-a"));
        await ledger.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } }, Reason = "laptop stolen" });

        await WaitUntilRelayedAsync(audit, ledger);

        var entries = await audit.CheckAsync();
        Assert.Equal(["key.changed", "token.issued", "token.revoked"], entries.Select(e => e.Kind));
        Assert.Equal(["token.issued", "token.revoked"], (await audit.ListAsync(new EventFilter { TokenHash = issued.TokenHash })).Select(e => e.Kind));
        var mint = Assert.Single(await audit.ListAsync(new EventFilter { MissionId = "mission-a", Kinds = { "token.issued" } }));
        Assert.Equal(("run-a", IssuerSide.Subject), (mint.Keys.RunId, mint.Keys.Subject));
        // The payload and its time are the ledger's, byte for byte.
        Assert.Equal(await ledger.ScalarAsync<byte[]>("SELECT payload FROM ledger.events WHERE kind = 1"), mint.Payload.ToByteArray());
        Assert.Equal(await ledger.ScalarAsync<DateTime>("SELECT recorded_at FROM ledger.events WHERE kind = 1"), mint.RecordedAt.ToDateTime());
        await Eventually.HoldsAsync("the ledger knows how far the log is", async () => await ledger.ScalarAsync<long>("SELECT acked_seq FROM ledger.relay") == 3);
    }

    [Fact]
    public async Task A_sink_that_was_away_for_a_thousand_acts_has_each_of_them_once_when_it_is_back()
    {
        var address = FreeAddress();
        var at = new Dictionary<string, string?> { ["CLAW_LISTEN"] = address.ToString().TrimEnd('/') };
        await using var audit = await AuditFixture.StartAsync(settings: at);
        await using var ledger = await IssuerSide.StartAsync(address);
        await WaitUntilRelayedAsync(audit, ledger);
        await audit.StopAsync();

        // Issuance does not wait for the sink.
        foreach (var some in Enumerable.Range(0, 1000).Chunk(200)) await Task.WhenAll(some.Select(i => ledger.Issuance.IssueTokenAsync(IssuerSide.Request($"mission-{i}")).ResponseAsync));
        await audit.AddReplicaAsync(settings: at);
        await WaitUntilRelayedAsync(audit, ledger);

        Assert.Equal(1001, (await audit.CheckAsync()).Count);
        Assert.Equal(1000, (await audit.ListAsync(new EventFilter { Kinds = { "token.issued" } })).Select(e => e.Keys.MissionId).Distinct().Count());
    }

    [Fact]
    public async Task A_sink_that_loses_its_database_again_and_again_under_load_has_everything_once()
    {
        PostgresProxy? wire = null;
        await using var audit = await AuditFixture.StartAsync(through: connection => (wire = new PostgresProxy(connection)).ConnectionString);
        await using var ledger = await IssuerSide.StartAsync(audit.Process.Address);
        var issuing = Task.WhenAll(Enumerable.Range(0, 8).Select(async w =>
        {
            for (int i = 0; i < 40; i++) await ledger.Issuance.IssueTokenAsync(IssuerSide.Request($"mission-{w}-{i}"));
        }));
        for (int cut = 0; cut < 4; cut++)
        {
            if (cut % 2 == 0)
            {
                await Task.WhenAny(wire!.LoseAnswer(passing: cut), issuing);
            }
            else
            {
                await wire!.CutAsync();
                wire.Mend();
            }
        }
        await issuing;
        await WaitUntilRelayedAsync(audit, ledger);

        Assert.Equal(321, (await audit.CheckAsync()).Count);
        await wire!.DisposeAsync();
    }

    [Fact]
    public async Task Of_two_Issuers_one_relays_and_when_it_stops_the_other_goes_on()
    {
        await using var audit = await AuditFixture.StartAsync();
        await using var ledger = await IssuerSide.StartAsync(audit.Process.Address);
        var second = await ledger.AddReplicaAsync();
        await IssueOnBothAsync(50);
        await WaitUntilRelayedAsync(audit, ledger);
        var commits = audit.Process.Services.GetRequiredService<AuditLog>().Commits;
        Assert.Single(ledger.Logs, line => line.Contains("audit.relaying", StringComparison.Ordinal));

        await ledger.StopFirstAsync();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => new IssuanceService.IssuanceServiceClient(second.Channel().Calls).IssueTokenAsync(IssuerSide.Request("later")).ResponseAsync));
        await WaitUntilRelayedAsync(audit, ledger);

        Assert.Equal(121, (await audit.CheckAsync()).Count);
        Assert.True(audit.Process.Services.GetRequiredService<AuditLog>().Commits > commits);

        Task IssueOnBothAsync(int each) => Task.WhenAll(Enumerable.Range(0, each).SelectMany(i => new[]
        {
            ledger.Issuance.IssueTokenAsync(IssuerSide.Request($"a-{i}")).ResponseAsync,
            new IssuanceService.IssuanceServiceClient(second.Channel().Calls).IssueTokenAsync(IssuerSide.Request($"b-{i}")).ResponseAsync,
        }));
    }

    [Fact]
    public async Task A_holder_of_the_lease_that_was_killed_or_paused_is_waited_for_no_longer_than_its_lease()
    {
        await using var audit = await AuditFixture.StartAsync();
        await using var ledger = await IssuerSide.StartAsync(FreeAddress());        // no sink there
        await ledger.DisposeProcessesAsync();
        await ledger.ExecuteAsync("UPDATE ledger.relay SET holder = gen_random_uuid(), held_until = clock_timestamp() + interval '3 s'");

        await ledger.AddReplicaAsync(audit.Process.Address);
        await WaitUntilRelayedAsync(audit, ledger);

        Assert.Single(await audit.CheckAsync());
    }

    [Fact]
    public async Task A_ledger_that_the_log_is_ahead_of_is_not_relayed_and_that_is_an_alarm()
    {
        await using var audit = await AuditFixture.StartAsync();
        await using var ledger = await IssuerSide.StartAsync(FreeAddress());
        await ledger.DisposeProcessesAsync();
        var epoch = await ledger.ScalarAsync<Guid>("SELECT epoch FROM ledger.head");
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(epoch, 1, 9));

        var issuer = await ledger.AddReplicaAsync(audit.Process.Address, untilReady: false);
        issuer.ExpectsErrors = true;
        await Eventually.HoldsAsync("the Issuer says so", () => issuer.Logs.Any(line => line.Contains("audit.disagrees", StringComparison.Ordinal)));

        await Eventually.HoldsAsync("nothing is issued", async () =>
            (await Assert.ThrowsAsync<Refusal>(async () => await ledger.Issuance.IssueTokenAsync(IssuerSide.Request("m")))).Reason == Reason.LedgerNeedsRecovery);
        Assert.Equal(9, (await audit.CheckAsync()).Count);
    }

    internal static Task WaitUntilRelayedAsync(AuditFixture audit, IssuerSide ledger) => Eventually.HoldsAsync("everything is relayed", async () =>
        await audit.ScalarAsync<long>("SELECT coalesce((SELECT last_seq FROM audit.cursors WHERE source = 'ledger' AND NOT closed), 0)") == await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));

    internal static Uri FreeAddress()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return new Uri($"https://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
    }
}

/// <summary>A ledger and its Issuers.</summary>
internal sealed class IssuerSide : IAsyncDisposable
{
    public const string Subject = "did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC";
    private readonly TestDatabase _database;
    private readonly Uri _sink;
    private readonly List<TestProcess> _issuers = [];

    private IssuerSide(TestDatabase database, Uri sink) => (_database, _sink) = (database, sink);

    public IssuanceService.IssuanceServiceClient Issuance => new(_issuers[0].Channel().Calls);
    public RevocationService.RevocationServiceClient Revocation => new(_issuers[0].Channel().Calls);
    public TestDatabase Database => _database;
    public IEnumerable<string> Logs => _issuers.SelectMany(i => i.Logs);

    public static async Task<IssuerSide> StartAsync(Uri sink)
    {
        var side = new IssuerSide(await TestDatabases.CreateAsync(), sink);
        await side.AddReplicaAsync();
        return side;
    }

    /// <summary>From now on its Issuers may log errors.</summary>
    public void ExpectErrors()
    {
        foreach (var issuer in _issuers) issuer.ExpectsErrors = true;
    }

    public async Task<TestProcess> AddReplicaAsync(Uri? sink = null, bool untilReady = true)
    {
        var process = await TestProcess.StartAsync("issuer", s => s.AddIssuer(), a => a.MapIssuer(), new Dictionary<string, string?>
        {
            ["CLAW_DATABASE_ISSUER"] = _database.Issuer,
            ["CLAW_AUDIT_SINK"] = (sink ?? _sink).ToString(),
            ["SCOPE_SIGNING_KEY"] = Base64UrlText.Encode([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]),
            ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "clawproxy:",
        });
        _issuers.Add(process);
        if (untilReady) await Eventually.HoldsAsync("the Issuer is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);
        return process;
    }

    public static IssueTokenRequest Request(string mission, string run = "run") => new()
    {
        Sub = Subject,
        Aud = new Audience { Values = { "clawproxy.example" } },
        Scope = { "clawproxy:call" },
        MissionId = mission,
        RunId = run,
    };

    public Task StopFirstAsync() => StopAsync(_issuers[0]);

    public async Task DisposeProcessesAsync()
    {
        foreach (var issuer in _issuers.ToList()) await StopAsync(issuer);
    }

    public async Task<T> ScalarAsync<T>(string sql)
    {
        await using var admin = Npgsql.NpgsqlDataSource.Create(new Npgsql.NpgsqlConnectionStringBuilder(_database.Admin) { Pooling = false }.ConnectionString);
        await using var command = admin.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    public async Task ExecuteAsync(string sql)
    {
        await using var admin = Npgsql.NpgsqlDataSource.Create(new Npgsql.NpgsqlConnectionStringBuilder(_database.Admin) { Pooling = false }.ConnectionString);
        await using var command = admin.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private async Task StopAsync(TestProcess issuer)
    {
        _issuers.Remove(issuer);
        await issuer.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await DisposeProcessesAsync();
        await _database.DisposeAsync();
    }
}
