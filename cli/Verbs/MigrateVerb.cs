using System.CommandLine;
using ClawBureau.Ledger;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw migrate`: brings a database to this build's schema.</summary>
internal static class MigrateVerb
{
    public static Command Create()
    {
        var command = new Command("migrate", "Bring the database of CLAW_DATABASE (an administrator's connection string) to this build's schema. Safe to repeat.");
        command.SetAction(async (_, cancellationToken) =>
        {
            var connection = AdminDatabase.Read() ?? throw new UsageException($"Set CLAW_DATABASE to an administrator's connection string; {AdminDatabase.Example}");
            await using var admin = NpgsqlDataSource.Create(connection);
            int applied = await new Migrator(admin, NullLogger.Instance).MigrateAsync(cancellationToken);
            Console.Out.WriteLine(applied == 0 ? $"schema version {Migrator.CurrentVersion}, nothing to do" : $"schema version {Migrator.CurrentVersion}, {applied} migrations applied");
            return ExitCode.Done;
        });
        return command;
    }
}
