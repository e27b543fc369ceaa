using Npgsql;

namespace ClawBureau.Testing;

/// <summary>
/// A physical copy of a test database, and the way back to it: whoever is connected finds himself on the older one, as after
/// a restore. The cluster and its timeline stay the same, which is the harder case to notice.
/// </summary>
public sealed class DatabaseBackup : IAsyncDisposable
{
    private readonly TestDatabase _database;
    private readonly string _copy;
    private readonly string _lost;
    private bool _restored;

    private DatabaseBackup(TestDatabase database) => (_database, _copy, _lost) = (database, database.Name + "_backup", database.Name + "_lost");

    /// <summary>An administrator's connection string to what was lost by <see cref="RestoreAsync"/>.</summary>
    public string Lost => new NpgsqlConnectionStringBuilder(_database.Admin) { Database = _lost, Pooling = false }.ConnectionString;

    public static async Task<DatabaseBackup> TakeAsync(TestDatabase database)
    {
        var backup = new DatabaseBackup(database);
        await backup.AloneAsync(database.Name, $"CREATE DATABASE {backup._copy} TEMPLATE {database.Name}");
        await backup.ExecuteAsync($"ALTER DATABASE {database.Name} ALLOW_CONNECTIONS true");
        await backup.ExecuteAsync($"REVOKE ALL ON DATABASE {backup._copy} FROM PUBLIC");
        await backup.ExecuteAsync($"GRANT CONNECT ON DATABASE {backup._copy} TO claw_issuer, claw_introspector, claw_audit");
        return backup;
    }

    /// <summary>Puts the copy in the database's place.</summary>
    public async Task RestoreAsync()
    {
        await AloneAsync(_database.Name, $"ALTER DATABASE {_database.Name} RENAME TO {_lost}");
        await ExecuteAsync($"ALTER DATABASE {_lost} ALLOW_CONNECTIONS true");
        await ExecuteAsync($"ALTER DATABASE {_copy} RENAME TO {_database.Name}");
        _restored = true;
    }

    public async ValueTask DisposeAsync() => await ExecuteAsync($"DROP DATABASE IF EXISTS {(_restored ? _lost : _copy)} WITH (FORCE)");

    /// <summary>Runs what wants nobody connected.</summary>
    private async Task AloneAsync(string database, string sql)
    {
        await ExecuteAsync($"ALTER DATABASE {database} ALLOW_CONNECTIONS false");
        await Eventually.HoldsAsync($"nobody is connected to {database}", async () =>
        {
            await ExecuteAsync($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
            try
            {
                await ExecuteAsync(sql);
                return true;
            }
            catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.ObjectInUse)
            {
                return false;           // a session that was told to end has not ended yet
            }
        });
    }

    private Task ExecuteAsync(string sql) => TestDatabases.ExecuteAsync(_database.ServerAdmin, sql);
}
