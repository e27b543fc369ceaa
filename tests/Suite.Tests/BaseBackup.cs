using ClawBureau.Stack;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>A base backup of a private cluster, taken by pg_basebackup while it runs, and the ways back to it.</summary>
internal sealed class BaseBackup
{
    private static readonly ServerAccount Account = ServerAccount.Current();
    private readonly LocalPostgres _server;
    private readonly string _cluster;

    private BaseBackup(LocalPostgres server, string cluster) => (_server, _cluster) = (server, cluster);

    private string Data => Path.Combine(_cluster, "data");
    private string Copy => Path.Combine(_cluster, "data.backup");
    private string Lost => Path.Combine(_cluster, "data.lost");

    /// <param name="folder">Where the server was started from.</param>
    public static BaseBackup Take(LocalPostgres server, string folder)
    {
        var backup = new BaseBackup(server, Path.Combine(folder, "postgres"));
        var admin = new NpgsqlConnectionStringBuilder(server.Admin);
        Account.Run(
            Path.Combine(PostgresBinaries.Find()!.Folder, "pg_basebackup"),
            "-d", $"host={admin.Host} port={admin.Port} user={admin.Username} password={admin.Password}", "-D", backup.Copy, "-X", "stream", "-c", "fast", "--no-sync");
        return backup;
    }

    /// <summary>Names the present, for <see cref="RestoreToAsync"/>.</summary>
    public static async Task NameAsync(LocalPostgres server, string point)
    {
        await using var connection = new NpgsqlConnection(server.Admin);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("SELECT pg_create_restore_point($1)", connection) { Parameters = { new() { Value = point } } };
        await command.ExecuteScalarAsync();
    }

    /// <summary>
    /// Puts the copy in the place of a server that is stopped, and starts that: everything is as it was when the copy was taken, the
    /// timeline too. Nothing in it says that there ever was more.
    /// </summary>
    public async Task RestoreAsync()
    {
        Exchange();
        await _server.StartAgainAsync(CancellationToken.None);
    }

    /// <summary>The same, brought forward by the lost server's write-ahead log: to a named point, or to its end. It is then on a timeline of its own.</summary>
    public async Task RestoreToAsync(string? point)
    {
        Exchange();
        await File.AppendAllTextAsync(Path.Combine(Data, "postgresql.auto.conf"), $"""

            restore_command = 'cp "{Lost}/pg_wal/%f" "%p"'
            recovery_target_action = 'promote'
            {(point is null ? "" : $"recovery_target_name = '{point}'")}

            """);
        Account.WriteSecret(Path.Combine(Data, "recovery.signal"), "");
        await _server.StartAgainAsync(CancellationToken.None);
    }

    private void Exchange()
    {
        ServerAccount.Move(Data, Lost);
        ServerAccount.Move(Copy, Data);
    }
}
