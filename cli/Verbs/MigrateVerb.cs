using System.CommandLine;
using ClawBureau.Ledger;
using ClawBureau.Stack;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw migrate`: brings a database to this build's schema.</summary>
internal static class MigrateVerb
{
    public static Command Create()
    {
        var passwords = new Option<bool>("--set-passwords") { Description = "Give the service roles the passwords that CLAW_DATABASE_ISSUER, CLAW_DATABASE_INTROSPECTOR and CLAW_DATABASE_AUDIT have." };
        var command = new Command("migrate", "Bring the database of CLAW_DATABASE (an administrator's connection string) to this build's schema. Safe to repeat.") { passwords };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var connection = AdminDatabase.Read() ?? throw new UsageException($"Set CLAW_DATABASE to an administrator's connection string; {AdminDatabase.Example}");
            await using var admin = NpgsqlDataSource.Create(connection);
            var roles = parsed.GetValue(passwords) ? ReadRoles() : [];
            int applied = await new Migrator(admin, NullLogger.Instance).MigrateAsync(cancellationToken);
            foreach (var (role, password) in roles) await SetPasswordAsync(admin, role, password, cancellationToken);
            Console.Out.WriteLine(applied == 0 ? $"schema version {Migrator.CurrentVersion}, nothing to do" : $"schema version {Migrator.CurrentVersion}, {applied} migrations applied");
            return ExitCode.Done;
        });
        return command;
    }

    private static List<(string Role, string Password)> ReadRoles() =>
    [
        .. ((string[])["CLAW_DATABASE_ISSUER", "CLAW_DATABASE_INTROSPECTOR", "CLAW_DATABASE_AUDIT"]).Select(variable =>
        {
            try
            {
                var builder = new NpgsqlConnectionStringBuilder(Environment.GetEnvironmentVariable(variable));
                return builder is { Username: { Length: > 0 } role, Password: { Length: > 0 } password } && PostgresServer.ServiceRoles.Contains(role)
                    ? (role, password)
                    : throw new UsageException($"{variable} names no role of a service with its password: {string.Join(", ", PostgresServer.ServiceRoles)}.");
            }
            catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
            {
                throw new UsageException($"{variable} is no connection string; {AdminDatabase.Example}");
            }
        }),
    ];

    // ALTER ROLE takes no parameters: the server itself quotes what becomes its statement.
    private static async Task SetPasswordAsync(NpgsqlDataSource admin, string role, string password, CancellationToken cancellationToken)
    {
        await using var quote = admin.CreateCommand("SELECT format('ALTER ROLE %I PASSWORD %L', $1, $2)");
        quote.Parameters.Add(new() { Value = role });
        quote.Parameters.Add(new() { Value = password });
        await using var alter = admin.CreateCommand((string)(await quote.ExecuteScalarAsync(cancellationToken))!);
        await alter.ExecuteNonQueryAsync(cancellationToken);
    }
}
