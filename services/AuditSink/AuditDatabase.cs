using Npgsql;

namespace ClawBureau.AuditSink;

/// <summary>Connections to the audit log's database.</summary>
public sealed class AuditDatabase(string connectionString) : IAsyncDisposable
{
    /// <summary>The migration that made the schema this build writes.</summary>
    private const int SchemaVersion = 3;

    /// <summary>For appending: a write buffer that takes a whole batch.</summary>
    public NpgsqlDataSource Writing { get; } = Create(connectionString, "claw-audit-writer", b =>
    {
        b.MaxPoolSize = 4;
        b.WriteBufferSize = 1 << 20;
    });

    /// <summary>For lists and the lookup index.</summary>
    public NpgsqlDataSource Reading { get; } = Create(connectionString, "claw-audit-reader", b => b.MaxPoolSize = 16);

    /// <exception cref="InvalidOperationException">The schema is not there; the sentence says what to do.</exception>
    public async Task RequireSchemaAsync(CancellationToken cancellationToken)
    {
        await using var command = Reading.CreateCommand("SELECT count(*) FROM migration.applied WHERE version = $1");
        command.Parameters.Add(new() { Value = SchemaVersion });
        long found;
        try
        {
            found = (long)(await command.ExecuteScalarAsync(cancellationToken))!;
        }
        catch (PostgresException e) when (e.SqlState is "42P01" or "3F000" or "42501")      // undefined table or schema, or none for this role
        {
            found = 0;
        }
        if (found == 0) throw new InvalidOperationException($"The database lacks migration {SchemaVersion}: run `claw migrate` first.");
    }

    public async ValueTask DisposeAsync()
    {
        await Writing.DisposeAsync();
        await Reading.DisposeAsync();
    }

    private static NpgsqlDataSource Create(string connectionString, string name, Action<NpgsqlConnectionStringBuilder> tune)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString)
        {
            ApplicationName = name,
            Timeout = 2,
            CommandTimeout = 5,
            KeepAlive = 5,
            CancellationTimeout = -1,           // a call given up drops its connection at once
            IncludeErrorDetail = false,         // details quote rows; rows quote people
            MaxAutoPrepare = 16,
            AutoPrepareMinUsages = 2,
        };
        tune(builder);
        return new NpgsqlDataSourceBuilder(builder.ConnectionString).Build();
    }
}
