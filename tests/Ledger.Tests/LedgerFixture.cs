using ClawBureau.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Ledger.Tests;

/// <summary>One database with one running writer; a test that wants two starts another.</summary>
public sealed class LedgerFixture : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> _owned = [];

    private LedgerFixture(TestDatabase database) => Database = database;

    public TestDatabase Database { get; }
    public LedgerWriter Writer { get; private set; } = null!;
    public NpgsqlDataSource Admin { get; private set; } = null!;

    /// <param name="withKey">Whether the ledger knows the key that test mints are signed with.</param>
    public static async Task<LedgerFixture> StartAsync(LedgerOptions? options = null, bool withKey = true, Func<string, string>? through = null)
    {
        var fixture = new LedgerFixture(await TestDatabases.CreateAsync());
        fixture.Admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(fixture.Database.Admin) { Pooling = false }.ConnectionString);
        fixture.Writer = await fixture.StartWriterAsync(options, through: through);
        if (withKey) await fixture.Writer.AppendAsync(Acts.Key(), CancellationToken.None);
        return fixture;
    }

    public async Task<LedgerWriter> StartWriterAsync(LedgerOptions? options = null, Func<string, string>? through = null, Func<string, string>? rewrite = null)
    {
        var source = LedgerDatabase.ForWriting((through ?? (s => s))(Database.Issuer));
        var writer = new LedgerWriter(source, options ?? new LedgerOptions(), NullLogger<LedgerWriter>.Instance) { Rewrite = rewrite };
        await writer.StartAsync(CancellationToken.None);
        _owned.Add(new Running(writer, source));
        return writer;
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

    /// <summary>Holds the head as a batch under way does; released by Dispose.</summary>
    public Task<HeldHead> HoldHeadAsync() => HoldAsync("SELECT 1 FROM ledger.head FOR UPDATE");

    /// <summary>A superuser's transaction with this statement in it.</summary>
    public async Task<HeldHead> HoldAsync(string sql)
    {
        var connection = await Admin.OpenConnectionAsync();
        var held = new HeldHead(connection, await connection.BeginTransactionAsync());
        await held.ExecuteAsync(sql);
        return held;
    }

    /// <summary>Returns once this many sessions wait for a lock.</summary>
    public async Task WaitForWaitersAsync(int count)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        while (await ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") < count)
            patience.Token.ThrowIfCancellationRequested();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var owned in _owned) await owned.DisposeAsync();
        await Admin.DisposeAsync();
        await Database.DisposeAsync();
    }

    private sealed record Running(LedgerWriter Writer, NpgsqlDataSource Source) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Writer.StopAsync(CancellationToken.None);
            Writer.Dispose();
            await Source.DisposeAsync();
        }
    }
}

public sealed record HeldHead(NpgsqlConnection Connection, NpgsqlTransaction Transaction) : IAsyncDisposable
{
    public async Task ExecuteAsync(string sql)
    {
        await using var command = new NpgsqlCommand(sql, Connection);
        await command.ExecuteNonQueryAsync();
    }

    public Task CommitAsync() => Transaction.CommitAsync();

    public async ValueTask DisposeAsync()
    {
        await Transaction.DisposeAsync();
        await Connection.DisposeAsync();
    }
}
