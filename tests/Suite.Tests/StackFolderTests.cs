using System.Diagnostics;
using ClawBureau.Ledger;
using ClawBureau.Stack;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>A stack's folder when several want it, when a run was killed, and when it is older than the build.</summary>
public sealed class StackFolderTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("claw-folder-test-").FullName;

    public StackFolderTests()
    {
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_path, (UnixFileMode)0b111_001_001);
    }

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Fact]
    public void Of_many_that_open_a_folder_at_once_one_gets_it_and_the_others_are_told_to_choose_another()
    {
        var refused = new List<StackException>();
        var opened = new List<StackFolder>();
        Parallel.For(0, 16, new ParallelOptions { MaxDegreeOfParallelism = 16 }, _ =>
        {
            try
            {
                var folder = StackFolder.Open(_path);
                lock (opened) opened.Add(folder);
            }
            catch (StackException e)
            {
                lock (refused) refused.Add(e);
            }
        });
        Assert.Equal((1, 15), (opened.Count, refused.Count));
        Assert.All(refused, e => Assert.Contains("--state", e.Message, StringComparison.Ordinal));

        opened[0].Release();
        StackFolder.Open(_path).Release();
    }

    [Fact]
    public void Only_the_process_that_was_noted_is_ended_not_one_that_got_its_id()
    {
        if (OperatingSystem.IsWindows()) return;
        using var noted = Process.Start("sleep", "300");
        using var stranger = Process.Start("sleep", "300");
        try
        {
            var killed = StackFolder.Open(_path);
            killed.Note(noted);
            var note = File.ReadLines(Path.Combine(_path, "owner")).Last().Split(' ');
            File.AppendAllText(Path.Combine(_path, "owner"), $"{note[0]} {stranger.Id} {long.Parse(note[2]) - 500_000_000}\nhalf a li");
            killed.Dispose();

            StackFolder.Open(_path).Release();
            Assert.True(noted.WaitForExit(TimeSpan.FromSeconds(10)));
            Assert.False(stranger.HasExited);
        }
        finally
        {
            noted.Kill();
            stranger.Kill();
        }
    }

    [Fact]
    public void What_another_user_left_in_the_temporary_folder_is_left_alone()
    {
        if (OperatingSystem.IsWindows() || Environment.UserName != "root") return;       // only root can make another user's folder
        var foreign = Directory.CreateTempSubdirectory("claw-stack-").FullName;
        using var stranger = Process.Start("sleep", "300");
        try
        {
            var folder = StackFolder.Open(foreign);
            folder.Note(stranger);
            folder.Dispose();
            Assert.Equal(0, Programs.Run("chown", ["-R", "nobody", foreign], TimeSpan.FromSeconds(5)).Code);

            StackFolder.SweepLeftovers();
            Assert.False(stranger.HasExited);
            Assert.True(Directory.Exists(foreign));
        }
        finally
        {
            stranger.Kill();
            Directory.Delete(foreign, recursive: true);
        }
    }

    [Fact]
    public async Task A_cluster_of_an_older_build_is_migrated_and_a_copy_that_was_cut_short_is_made_again()
    {
        if (PostgresBinaries.Find() is not { } binaries) return;
        Directory.CreateDirectory(Path.Combine(_path, "postgres.draft", "data"));
        await File.WriteAllTextAsync(Path.Combine(_path, "postgres.draft", "data", "PG_VERSION"), "half\n");

        await using (var server = await LocalPostgres.StartFromTemplateAsync(binaries, _path, durable: false, CancellationToken.None))
        {
            await ExecuteAsync(server.AdminOf(PostgresServer.Database), "DROP SCHEMA policy, control, audit CASCADE; DELETE FROM migration.applied WHERE version = 2");
        }
        await using (var server = await LocalPostgres.StartFromTemplateAsync(binaries, _path, durable: false, CancellationToken.None))
        {
            await using var database = NpgsqlDataSource.Create(server.AdminOf(PostgresServer.Database));
            await Migrator.RequireCurrentAsync(database, CancellationToken.None);
        }
        Assert.False(Directory.Exists(Path.Combine(_path, "postgres.draft")));
    }

    [Fact]
    public async Task The_leftover_of_a_server_takes_its_socket_folder_with_it()
    {
        if (OperatingSystem.IsWindows() || PostgresBinaries.Find() is not { } binaries) return;
        await using var server = await LocalPostgres.StartFromTemplateAsync(binaries, _path, durable: false, CancellationToken.None);
        var socket = new NpgsqlConnectionStringBuilder(server.Admin).Host!;
        Assert.True(Directory.Exists(socket));

        LocalPostgres.Stop(Path.Combine(_path, "postgres"));        // as the next start does for a killed run

        Assert.False(Directory.Exists(socket));
        Assert.False(File.Exists(Path.Combine(_path, "postgres", "data", "postmaster.pid")));
    }

    private static async Task ExecuteAsync(string connectionString, string sql)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
