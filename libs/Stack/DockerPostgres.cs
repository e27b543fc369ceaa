using System.Security.Cryptography;
using Npgsql;

namespace ClawBureau.Stack;

/// <summary>A throwaway PostgreSQL in a container, for machines that have Docker and no server binaries.</summary>
internal sealed class DockerPostgres : PostgresServer
{
    private readonly string _container;

    private DockerPostgres(string container, string admin) => (_container, Admin) = (container, admin);

    public override string Admin { get; }
    public override string Description => $"PostgreSQL in Docker container {_container[..12]}";

    /// <returns>Null when there is no Docker engine to ask.</returns>
    public static async Task<DockerPostgres?> TryStartAsync(CancellationToken cancellationToken)
    {
        if (Programs.Run("docker", ["info", "--format", "{{.ServerVersion}}"], TimeSpan.FromSeconds(10)).Code != 0) return null;
        var password = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(24));
        // The password reaches the engine over its socket, in a file, not on a command line that other users can list.
        var environment = Path.Combine(PrivateFile.Folder(Path.Combine(Path.GetTempPath(), "claw-docker-" + Guid.NewGuid().ToString("n"))), "env");
        try
        {
            PrivateFile.Write(environment, $"POSTGRES_PASSWORD={password}\n");
            var (code, output) = Programs.Run("docker", ["run", "-d", "--rm", "--env-file", environment, "-p", "127.0.0.1::5432", "postgres:17"], TimeSpan.FromMinutes(5));
            if (code != 0) throw new StackException($"docker run postgres:17 failed: {output.Trim()}");
            var container = output.Trim().Split('\n')[^1].Trim();
            var port = Programs.Run("docker", ["port", container, "5432/tcp"], TimeSpan.FromSeconds(10)).Output.Trim().Split('\n')[0].Split(':')[^1];
            var admin = new NpgsqlConnectionStringBuilder { Host = "127.0.0.1", Port = int.Parse(port), Username = "postgres", Password = password, Database = "postgres", Timeout = 5 }.ConnectionString;
            var server = new DockerPostgres(container, admin);
            await server.WaitUntilReadyAsync(cancellationToken);
            return server;
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(environment)!, recursive: true);
        }
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                await using var connection = new NpgsqlConnection(Admin);
                await connection.OpenAsync(cancellationToken);
                return;
            }
            catch (NpgsqlException) when (attempt < 300)
            {
                await Task.Delay(100, cancellationToken);
            }
        }
    }

    public override ValueTask DisposeAsync()
    {
        Programs.Run("docker", ["rm", "-f", "-v", _container], TimeSpan.FromSeconds(30));
        return ValueTask.CompletedTask;
    }
}
