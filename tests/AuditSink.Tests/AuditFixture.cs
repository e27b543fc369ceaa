using System.Security.Cryptography;
using System.Text;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Health;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace ClawBureau.AuditSink.Tests;

/// <summary>An AuditSink on a database of its own.</summary>
internal sealed class AuditFixture : IAsyncDisposable
{
    private readonly List<TestProcess> _replicas = [];

    private AuditFixture(TestDatabase database)
    {
        Database = database;
        Admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database.Admin) { Pooling = false }.ConnectionString);
    }

    public TestDatabase Database { get; }
    public NpgsqlDataSource Admin { get; }
    public TestProcess Process => _replicas[0];

    /// <summary>An Issuer's way to it.</summary>
    public AuditService.AuditServiceClient Issuer => new(Process.ServiceChannel("issuer").Calls);

    /// <summary>An auditor's, with every scope.</summary>
    public AuditService.AuditServiceClient Auditor => new(Process.Channel().Calls);

    /// <param name="through">Puts a wire between the AuditSink and its database.</param>
    public static async Task<AuditFixture> StartAsync(Func<string, string>? through = null, Func<AuditSinkOptions, AuditSinkOptions>? tune = null, IReadOnlyDictionary<string, string?>? settings = null)
    {
        var fixture = new AuditFixture(await TestDatabases.CreateAsync());
        await fixture.AddReplicaAsync(through, tune, settings);
        return fixture;
    }

    public async Task<TestProcess> AddReplicaAsync(Func<string, string>? through = null, Func<AuditSinkOptions, AuditSinkOptions>? tune = null, IReadOnlyDictionary<string, string?>? settings = null, bool untilReady = true)
    {
        var connection = new NpgsqlConnectionStringBuilder(Database.Audit) { Pooling = true }.ConnectionString;
        var all = new Dictionary<string, string?> { ["CLAW_DATABASE_AUDIT"] = through is null ? connection : through(connection) };
        foreach (var (name, value) in settings ?? new Dictionary<string, string?>()) all[name] = value;
        var process = await TestProcess.StartAsync("audit-sink", services =>
        {
            services.AddAuditSink();
            if (tune is not null) services.AddSingleton(provider => tune(AuditSinkOptions.Read(provider.GetRequiredService<Settings>())));
        }, app => app.MapAuditSink(), all);
        _replicas.Add(process);
        if (untilReady) await WaitUntilReadyAsync(process);
        return process;
    }

    /// <summary>Stops the sink; what it answered stands.</summary>
    public async Task StopAsync()
    {
        foreach (var replica in _replicas) await replica.DisposeAsync();
        _replicas.Clear();
    }

    public static Task WaitUntilReadyAsync(TestProcess process) =>
        Eventually.HoldsAsync("the AuditSink is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);

    /// <summary>Events of the ledger, each about a token of its own.</summary>
    public static AppendEventsRequest Request(Guid epoch, long first, int count, string source = "ledger") => new()
    {
        Source = source,
        Epoch = epoch.ToString(),
        Events = { Enumerable.Range(0, count).Select(i => Event(first + i)) },
    };

    public static AuditEvent Event(long seq, string kind = "token.issued", string? payload = null) => new()
    {
        Seq = seq,
        Kind = kind,
        RecordedAt = new Timestamp { Seconds = 1_800_000_000 + seq, Nanos = 123_456_000 },
        Payload = ByteString.CopyFromUtf8(payload ?? $$"""{"jti":"jti-{{seq}}","kind":"{{kind}}","v":1}"""),
        Keys = new EventKeys
        {
            TokenHash = ByteString.CopyFrom(TokenOf(seq).ToArray()),
            Subject = $"did:key:z{seq % 10}",
            OwnerDid = $"did:key:zOwner{seq % 3}",
            MissionId = $"mission-{seq % 5}",
            RunId = $"run-{seq}",
            TraceId = $"trace-{seq / 4}",
            CorrelationId = $"correlation-{seq}",
        },
    };

    public static TokenHash TokenOf(long seq) => TokenHash.Of($"token {seq}");

    /// <summary>Every entry, read page by page.</summary>
    public Task<List<Entry>> ListAsync(EventFilter? filter = null, int pageSize = 1000, bool ascending = true, AuditService.AuditServiceClient? client = null) =>
        ListAllAsync(client ?? Auditor, filter, pageSize, ascending);

    private static async Task<List<Entry>> ListAllAsync(AuditService.AuditServiceClient client, EventFilter? filter, int pageSize, bool ascending)
    {
        var entries = new List<Entry>();
        var request = new ListEventsRequest { Filter = filter, PageSize = pageSize, Ascending = ascending };
        do
        {
            var page = await client.ListEventsAsync(request);
            entries.AddRange(page.Entries);
            request.PageToken = page.NextPageToken;
        }
        while (request.PageToken.Length > 0);
        return entries;
    }

    /// <summary>Everything that must hold of the stored log, whatever happened to its writers.</summary>
    public async Task<IReadOnlyList<Entry>> CheckAsync()
    {
        var entries = await ListAsync();
        Assert.Equal(Enumerable.Range(0, entries.Count).Select(i => (long)i), entries.Select(e => e.Index));
        foreach (var entry in entries)
        {
            Assert.Equal(SHA256.HashData([0x00, .. entry.Leaf.Span]), entry.LeafHash.ToByteArray());
            Assert.Equal(SHA256.HashData([.. entry.Salt.Span, .. entry.Payload.Span]), entry.Commitment.ToByteArray());
            Assert.Contains(Base64UrlText.Encode(entry.Commitment.ToByteArray()), Encoding.UTF8.GetString(entry.Leaf.Span), StringComparison.Ordinal);
        }
        // Exactly once, in order, without gaps within each source's epoch.
        foreach (var source in entries.GroupBy(e => (e.Source, e.Epoch)))
            Assert.Equal(Enumerable.Range(0, source.Count()).Select(i => source.First().Seq + i), source.Select(e => e.Seq));
        var (size, root) = await HeadAsync();
        Assert.Equal(entries.Count, size);
        Assert.Equal(NaiveTree.Root([.. entries.Select(e => e.LeafHash.ToByteArray())]), root);
        return entries;
    }

    public async Task<(long Size, byte[] Root)> HeadAsync()
    {
        await using var command = Admin.CreateCommand("SELECT size, root FROM audit.head");
        await using var reader = await command.ExecuteReaderAsync();
        await reader.ReadAsync();
        return (reader.GetInt64(0), reader.GetFieldValue<byte[]>(1));
    }

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
        await StopAsync();
        await Admin.DisposeAsync();
        await Database.DisposeAsync();
    }
}

/// <summary>RFC 6962 2.1 as it is written there, to compare with.</summary>
internal static class NaiveTree
{
    public static byte[] Root(byte[][] leafHashes)
    {
        if (leafHashes.Length == 0) return SHA256.HashData([]);
        if (leafHashes.Length == 1) return leafHashes[0];
        int k = 1;
        while (k * 2 < leafHashes.Length) k *= 2;
        return SHA256.HashData([0x01, .. Root(leafHashes[..k]), .. Root(leafHashes[k..])]);
    }
}
