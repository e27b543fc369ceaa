using System.Security.Cryptography;
using System.Text;
using Npgsql;

namespace ClawBureau.Stack;

/// <summary>Connection strings of one migrated database: an administrator's and one per service role.</summary>
internal sealed record DatabaseAccess(string Admin, string Issuer, string Introspector, string Audit)
{
    /// <summary>
    /// Gives the service roles passwords that nobody chose: derived from the administrator's own, so that every process that
    /// holds that one arrives at the same, and nothing has to be handed around. Only on a server that is ours.
    /// </summary>
    public static async Task SetPasswordsAsync(PostgresServer server, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(server.Admin);
        await connection.OpenAsync(cancellationToken);
        await ExecuteAsync(connection, "SELECT pg_advisory_lock(hashtext('claw.roles'))", cancellationToken);
        foreach (var role in PostgresServer.ServiceRoles)
            await ExecuteAsync(connection, $"ALTER ROLE {role} PASSWORD '{PasswordOf(server, role)}'", cancellationToken);     // hex: nothing to quote
        await ExecuteAsync(connection, "SELECT pg_advisory_unlock(hashtext('claw.roles'))", cancellationToken);
    }

    /// <summary>How to reach a database of a server whose roles have those passwords.</summary>
    public static DatabaseAccess Of(PostgresServer server, string database) => new(
        server.AdminOf(database),
        server.RoleOf("claw_issuer", database, PasswordOf(server, "claw_issuer")),
        server.RoleOf("claw_introspector", database, PasswordOf(server, "claw_introspector")),
        server.RoleOf("claw_audit", database, PasswordOf(server, "claw_audit")));

    private static string PasswordOf(PostgresServer server, string role)
    {
        var secret = new NpgsqlConnectionStringBuilder(server.Admin).Password
            ?? throw new StackException("The administrator's connection string has no password, so none can be derived for the services: set CLAW_DATABASE_ISSUER, CLAW_DATABASE_INTROSPECTOR and CLAW_DATABASE_AUDIT too.");
        return Convert.ToHexStringLower(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes("clawbureau role " + role)));
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
