using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace ClawBureau.Ledger;

/// <summary>
/// Brings a database to the schema of this build. Run by `claw migrate` or by the local stack, never by a serving process.
/// </summary>
public sealed class Migrator(NpgsqlDataSource admin, ILogger log)
{
    private const long Lock = 0x434C_4157;      // one migrator a database at a time: pg_advisory_lock

    /// <summary>The schema version this build serves.</summary>
    public static int CurrentVersion => All[^1].Version;

    private static readonly IReadOnlyList<Migration> All = Load();

    /// <summary>How many migrations this build has; their numbers may have gaps.</summary>
    internal static int Count => All.Count;

    private sealed record Migration(int Version, string Name, string Sql)
    {
        public byte[] Hash => SHA256.HashData(Encoding.UTF8.GetBytes(Sql));
    }

    /// <summary>Applies what is missing, each migration in a transaction of its own.</summary>
    /// <returns>How many were applied.</returns>
    /// <exception cref="InvalidOperationException">The database holds a migration this build does not know, or knows differently.</exception>
    public async Task<int> MigrateAsync(CancellationToken cancellationToken)
    {
        await using var connection = await admin.OpenConnectionAsync(cancellationToken);
        await ExecuteAsync(connection, $"SELECT pg_advisory_lock({Lock})", cancellationToken);
        try
        {
            await ExecuteAsync(connection, Read("Roles.sql"), cancellationToken);
            await ExecuteAsync(connection, """
                DO $$ BEGIN
                  IF NOT pg_has_role(current_user, 'claw_migrator', 'MEMBER') THEN EXECUTE format('GRANT claw_migrator TO %I', current_user); END IF;
                  EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO claw_migrator', current_database());
                  EXECUTE format('GRANT CONNECT ON DATABASE %I TO claw_issuer, claw_introspector, claw_audit', current_database());
                  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
                END $$;
                SET ROLE claw_migrator;
                CREATE SCHEMA IF NOT EXISTS migration;
                CREATE TABLE IF NOT EXISTS migration.applied (version int PRIMARY KEY, name text NOT NULL, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
                GRANT USAGE ON SCHEMA migration TO claw_issuer, claw_introspector, claw_audit;
                GRANT SELECT ON migration.applied TO claw_issuer, claw_introspector, claw_audit;
                """, cancellationToken);
            var applied = await ReadAppliedAsync(connection, cancellationToken);
            RefuseForeign(applied);
            int count = 0;
            foreach (var migration in All.Where(m => !applied.ContainsKey(m.Version)))
            {
                await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
                await ExecuteAsync(connection, migration.Sql, cancellationToken);
                await using (var record = new NpgsqlCommand("INSERT INTO migration.applied (version, name, sha256) VALUES ($1, $2, $3)", connection)
                { Parameters = { new() { Value = migration.Version }, new() { Value = migration.Name }, new() { Value = migration.Hash } } })
                {
                    await record.ExecuteNonQueryAsync(cancellationToken);
                }
                await transaction.CommitAsync(cancellationToken);
                Log.Migrated(log, migration.Version, migration.Name);
                count++;
            }
            return count;
        }
        finally
        {
            // Where the connection is lost the server has let go of both, and the first error is the one to tell.
            if (connection.State == System.Data.ConnectionState.Open)
                await ExecuteAsync(connection, $"RESET ROLE; SELECT pg_advisory_unlock({Lock})", CancellationToken.None);
        }
    }

    /// <summary>What a serving process asks before it serves.</summary>
    /// <exception cref="InvalidOperationException">The schema is older or newer than this build; the sentence says what to do.</exception>
    public static async Task RequireCurrentAsync(NpgsqlDataSource database, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT coalesce(max(version), 0), count(*) FROM migration.applied");
        int version;
        long applied;
        try
        {
            await using var reader = await command.ExecuteReaderAsync(cancellationToken);
            await reader.ReadAsync(cancellationToken);
            (version, applied) = (reader.GetInt32(0), reader.GetInt64(1));
        }
        catch (PostgresException e) when (e.SqlState is "42P01" or "3F000")     // undefined table, or schema
        {
            (version, applied) = (0, 0);
        }
        if (version < CurrentVersion || (version == CurrentVersion && applied < Count))
            throw new InvalidOperationException($"The database is at schema version {version}, this build needs {CurrentVersion}: run `claw migrate` first.");
        if (version > CurrentVersion)
            throw new InvalidOperationException($"The database is at schema version {version}, this build knows {CurrentVersion}: start a newer build.");
    }

    /// <summary>One number over all migrations: names a cached, migrated cluster.</summary>
    public static string Fingerprint => Convert.ToHexStringLower(SHA256.HashData([.. All.SelectMany(m => m.Hash), .. Encoding.UTF8.GetBytes(Read("Roles.sql"))]))[..12];

    private static void RefuseForeign(Dictionary<int, byte[]> applied)
    {
        foreach (var (version, hash) in applied)
        {
            var known = All.FirstOrDefault(m => m.Version == version)
                ?? throw new InvalidOperationException($"The database has migration {version}, which this build does not know: use a newer build.");
            if (!known.Hash.AsSpan().SequenceEqual(hash))
                throw new InvalidOperationException($"Migration {version} ({known.Name}) was applied from another text than this build's: do not go on, find out which build wrote it.");
        }
    }

    private static async Task<Dictionary<int, byte[]>> ReadAppliedAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT version, sha256 FROM migration.applied", connection);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var applied = new Dictionary<int, byte[]>();
        while (await reader.ReadAsync(cancellationToken)) applied.Add(reader.GetInt32(0), reader.GetFieldValue<byte[]>(1));
        return applied;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 300 };
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static Migration[] Load() =>
    [
        .. Assembly.GetExecutingAssembly().GetManifestResourceNames()
            .Where(n => char.IsAsciiDigit(n[0]))
            .Order(StringComparer.Ordinal)
            .Select(n => new Migration(int.Parse(n[..4]), n[5..^4], Read(n))),
    ];

    private static string Read(string resource)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(resource)!;
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }
}
