using ClawBureau.Ledger;
using ClawBureau.Stack;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Testing;

/// <summary>
/// Databases for tests: each a clone of one migrated template, on one server per test process. The server is
/// CLAW_TEST_DATABASE (an administrator's connection string), or a private cluster, or Docker; with
/// -p:UseTestcontainers=true it is a container of Testcontainers.
/// </summary>
public static class TestDatabases
{
    private static readonly Lazy<Task<PostgresServer>> Server = new(StartAsync);
    private static int _count;

    /// <summary>A fresh, migrated database with an epoch of its own. Dispose drops it.</summary>
    public static async Task<TestDatabase> CreateAsync()
    {
        var server = await Server.Value;
        var name = $"claw_test_{Environment.ProcessId}_{Interlocked.Increment(ref _count)}";
        await ExecuteAsync(server.Admin, $"CREATE DATABASE {name} TEMPLATE {PostgresServer.Database}");
        var access = DatabaseAccess.Of(server, name);
        await ExecuteAsync(access.Admin, $"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO claw_issuer, claw_introspector, claw_audit; UPDATE ledger.head SET epoch = gen_random_uuid()");
        return new TestDatabase(name, server.Admin, access.Admin, access.Issuer, access.Introspector, access.Audit);
    }

    /// <summary>A database nothing was migrated into.</summary>
    public static async Task<TestDatabase> CreateEmptyAsync()
    {
        var server = await Server.Value;
        var name = $"claw_empty_{Environment.ProcessId}_{Interlocked.Increment(ref _count)}";
        await ExecuteAsync(server.Admin, $"CREATE DATABASE {name} TEMPLATE template0");
        var access = DatabaseAccess.Of(server, name);
        return new TestDatabase(name, server.Admin, access.Admin, access.Issuer, access.Introspector, access.Audit);
    }

    internal static async Task ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private static async Task<PostgresServer> StartAsync()
    {
        var folder = StackFolder.CreateTemporary();         // what a killed test run leaves is swept by the next one
#if USE_TESTCONTAINERS
        var external = await Containers.ContainerPostgres.StartAsync();
#else
        var external = Environment.GetEnvironmentVariable("CLAW_TEST_DATABASE");
#endif
        var server = await PostgresServer.FindAsync(folder.Path, external, durable: false, CancellationToken.None);
        AppDomain.CurrentDomain.ProcessExit += (_, _) =>
        {
            server.DisposeAsync().AsTask().Wait(TimeSpan.FromSeconds(20));
            folder.Release();
        };
        if (server is not LocalPostgres) await MigrateTemplateAsync(server);
        await DatabaseAccess.SetPasswordsAsync(server, CancellationToken.None);
        return server;
    }

    /// <summary>A private cluster holds the template already; any other server gets it once.</summary>
    private static async Task MigrateTemplateAsync(PostgresServer server)
    {
        try
        {
            await ExecuteAsync(server.Admin, $"CREATE DATABASE {PostgresServer.Database}");
        }
        catch (PostgresException e) when (e.SqlState is "42P04" or "23505")
        {
            // Another test process was faster; the migrator waits for its turn.
        }
        await using var admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(server.AdminOf(PostgresServer.Database)) { Pooling = false }.ConnectionString);
        await new Migrator(admin, NullLogger.Instance).MigrateAsync(CancellationToken.None);
    }
}

/// <summary>Connection strings of one test database.</summary>
public sealed record TestDatabase(string Name, string ServerAdmin, string Admin, string Issuer, string Introspector, string Audit) : IAsyncDisposable
{
    public async ValueTask DisposeAsync() => await TestDatabases.ExecuteAsync(ServerAdmin, $"DROP DATABASE IF EXISTS {Name} WITH (FORCE)");
}
