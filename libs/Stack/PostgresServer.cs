using Npgsql;

namespace ClawBureau.Stack;

/// <summary>
/// A PostgreSQL a stack or a test run may use. Found in this order: a connection string in the environment, server
/// binaries of this machine started as a private cluster, Docker.
/// </summary>
internal abstract class PostgresServer : IAsyncDisposable
{
    /// <summary>The database every stack's ledger lives in; in a private cluster it is migrated already and serves as template.</summary>
    public const string Database = "claw";

    public static readonly IReadOnlyList<string> ServiceRoles = ["claw_issuer", "claw_introspector", "claw_audit"];

    /// <summary>One line for people: which server this is.</summary>
    public abstract string Description { get; }

    /// <summary>Connection string of an administrator, for the server's maintenance database.</summary>
    public abstract string Admin { get; }

    public string AdminOf(string database) => With(b => b.Database = database);

    /// <summary>Connection string of a service's role.</summary>
    public string RoleOf(string role, string database, string password) => With(b =>
    {
        b.Database = database;
        b.Username = role;
        b.Password = password;
        b.Pooling = true;           // an administrator comes once, a service with every read
    });

    /// <exception cref="StackException">No PostgreSQL is to be had; the sentence says what to install.</exception>
    public static async Task<PostgresServer> FindAsync(string folder, string? connectionString, bool durable, CancellationToken cancellationToken)
    {
        if (!string.IsNullOrWhiteSpace(connectionString)) return new ExternalPostgres(connectionString);
        if (PostgresBinaries.Find() is { } binaries) return await LocalPostgres.StartFromTemplateAsync(binaries, folder, durable, cancellationToken);
        if (await DockerPostgres.TryStartAsync(cancellationToken) is { } docker) return docker;
        throw new StackException(
            "No PostgreSQL found. Install the server (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), " +
            "or start Docker, or set CLAW_DATABASE to an administrator's connection string.");
    }

    public abstract ValueTask DisposeAsync();

    private string With(Action<NpgsqlConnectionStringBuilder> change)
    {
        var builder = new NpgsqlConnectionStringBuilder(Admin);
        change(builder);
        return builder.ConnectionString;
    }
}

/// <summary>Something the person at the terminal can mend: the message says how. Exit code 3.</summary>
internal sealed class StackException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A server somebody else runs.</summary>
internal sealed class ExternalPostgres(string connectionString) : PostgresServer
{
    public override string Admin => connectionString;
    public override string Description
    {
        get
        {
            var b = new NpgsqlConnectionStringBuilder(connectionString);
            return $"PostgreSQL at {b.Host}:{b.Port} (from the environment)";
        }
    }

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
