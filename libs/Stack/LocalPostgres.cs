using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using ClawBureau.Ledger;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Stack;

/// <summary>
/// A private cluster from this machine's server binaries: on a Unix socket with scram passwords (a loopback port on
/// Windows), owned by whoever runs the stack, or by `postgres` when that is root, because the server refuses root.
/// </summary>
internal sealed class LocalPostgres : PostgresServer
{
    private const string Superuser = "claw_admin";
    private static readonly TimeSpan MostShutdown = TimeSpan.FromSeconds(20);
    private readonly string _folder;
    private readonly Func<Process> _launch;
    private readonly string _admin;
    private readonly string _description;
    private Process _server;

    private LocalPostgres(string folder, Func<Process> launch, string admin, string description) =>
        (_folder, _launch, _server, _admin, _description) = (folder, launch, launch(), admin, description);

    public override string Description => _description;
    public override string Admin => _admin;

    /// <summary>
    /// Starts a cluster in <paramref name="folder"/>/postgres: an existing one, brought to this build's schema, else a copy of
    /// the migrated template, which is made once per server version and schema and then kept in the user's cache.
    /// </summary>
    /// <param name="durable">False for test runs: the machine's crash may lose them, so nothing waits for the disk.</param>
    public static async Task<LocalPostgres> StartFromTemplateAsync(PostgresBinaries binaries, string folder, bool durable, CancellationToken cancellationToken)
    {
        var account = ServerAccount.Current();
        var cluster = Path.Combine(folder, "postgres");
        bool isNew = !File.Exists(Path.Combine(cluster, "data", "PG_VERSION"));
        if (isNew)
        {
            var template = await EnsureTemplateAsync(binaries, account, cancellationToken);
            var draft = cluster + ".draft";             // a copy that is cut short must not be taken for a cluster
            ServerAccount.Delete(draft);
            account.Copy(template, draft);
            ServerAccount.Move(draft, cluster);
        }
        var server = await StartAsync(binaries, account, cluster, durable, cancellationToken);
        try
        {
            await using var database = NpgsqlDataSource.Create(server.AdminOf(Database));
            if (isNew)
            {
                await using var fresh = database.CreateCommand("UPDATE ledger.head SET epoch = gen_random_uuid() WHERE seq = 0");
                await fresh.ExecuteNonQueryAsync(cancellationToken);
            }
            else
            {
                await new Migrator(database, NullLogger.Instance).MigrateAsync(cancellationToken);
            }
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    private static async Task<string> EnsureTemplateAsync(PostgresBinaries binaries, ServerAccount account, CancellationToken cancellationToken)
    {
        var cache = account.CacheFolder;
        Directory.CreateDirectory(cache);
        var template = Path.Combine(cache, $"pg{binaries.Version}-{Migrator.Fingerprint}");
        await using var turn = await TakeTurnAsync(Path.Combine(cache, "template.lock"), cancellationToken);
        if (File.Exists(Path.Combine(template, "data", "PG_VERSION"))) return template;

        var draft = template + ".draft";
        Stop(draft);                                    // of a run that was killed while it made this
        ServerAccount.Delete(draft);
        account.CreateFolder(draft);
        var passwordFile = Path.Combine(draft, "admin.password");
        account.WriteSecret(passwordFile, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(24)));
        account.Run(binaries.InitDb,
            "-D", Path.Combine(draft, "data"), "-U", Superuser, "--pwfile", passwordFile, "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C");
        var server = await StartAsync(binaries, account, draft, durable: true, cancellationToken);
        await using (server)
        {
            await ExecuteAsync(server.Admin, $"CREATE DATABASE {Database}", cancellationToken);
            await using var admin = NpgsqlDataSource.Create(server.AdminOf(Database));
            await new Migrator(admin, NullLogger.Instance).MigrateAsync(cancellationToken);
        }
        ServerAccount.Move(draft, template);
        return template;
    }

    private static async Task<LocalPostgres> StartAsync(PostgresBinaries binaries, ServerAccount account, string cluster, bool durable, CancellationToken cancellationToken)
    {
        var data = Path.Combine(cluster, "data");
        var password = ServerAccount.ReadSecret(Path.Combine(cluster, "admin.password"));
        var sockets = SocketFolder(cluster);
        var builder = new NpgsqlConnectionStringBuilder { Username = Superuser, Password = password, Database = "postgres", Timeout = 5, Pooling = false };
        List<string> arguments = ["-D", data, "-c", "max_connections=200", "-c", "password_encryption=scram-sha-256", "-c", "wal_compression=lz4"];
        if (OperatingSystem.IsWindows())
        {
            int port = FreePort();
            (builder.Host, builder.Port) = ("127.0.0.1", port);
            arguments.AddRange(["-c", "listen_addresses=127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture)]);
        }
        else
        {
            (builder.Host, builder.Port) = (sockets, 5432);
            arguments.AddRange(["-c", "listen_addresses=", "-c", $"unix_socket_directories={sockets}", "-p", "5432"]);
        }
        if (!durable) arguments.AddRange(["-c", "fsync=off", "-c", "full_page_writes=off"]);

        var log = Path.Combine(cluster, "server.log");
        var (program, leading) = account.Command(binaries.Postgres);
        var server = new LocalPostgres(cluster, Launch, builder.ConnectionString, $"PostgreSQL {binaries.Version}, private cluster in {cluster}");
        try
        {
            await server.WaitUntilReadyAsync(cancellationToken);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }

        Process Launch()
        {
            if (!OperatingSystem.IsWindows())
            {
                ServerAccount.Delete(sockets);          // a socket that a killed server left would keep this one from starting
                account.CreateFolder(sockets);
            }
            return Programs.Start(program, [.. leading, .. arguments], ServerAccount.Writable(log));
        }
    }

    public int ProcessId => _server.Id;

    /// <summary>Returns when the server has ended, whoever ended it.</summary>
    public Task WaitForExitAsync(CancellationToken cancellationToken) => _server.WaitForExitAsync(cancellationToken);

    /// <summary>Starts the server again, in its folder and where its clients knew it, after it ended.</summary>
    public async Task StartAgainAsync(CancellationToken cancellationToken)
    {
        _server.Dispose();
        _server = _launch();
        await WaitUntilReadyAsync(cancellationToken);
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        var log = Path.Combine(_folder, "server.log");
        var deadline = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await ExecuteAsync(_admin, "SELECT 1", cancellationToken);
                return;
            }
            catch (NpgsqlException e)
            {
                if (_server.HasExited || deadline.Elapsed > TimeSpan.FromSeconds(30))
                    throw new StackException($"PostgreSQL did not start: {LastLines(log)} (all of it: {log})", e);
                await Task.Delay(20, cancellationToken);
            }
        }
    }

    /// <summary>Stops the server (fast shutdown: sessions are ended, nothing is lost).</summary>
    public async Task StopAsync()
    {
        if (_server.HasExited) return;
        Interrupt(_server);
        using var patience = new CancellationTokenSource(MostShutdown);
        try
        {
            await _server.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            _server.Kill(entireProcessTree: true);
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await StopAsync();
        _server.Dispose();
        ServerAccount.Delete(SocketFolder(_folder));
    }

    /// <summary>Stops the server that a killed run left in a cluster folder, by the pid it noted there, and removes its socket.</summary>
    public static void Stop(string cluster)
    {
        var pidFile = Path.Combine(cluster, "data", "postmaster.pid");
        try
        {
            if (File.Exists(pidFile) && int.TryParse(File.ReadLines(pidFile).FirstOrDefault(), out int pid))
            {
                using var process = Process.GetProcessById(pid);
                if (process.ProcessName.StartsWith("postgres", StringComparison.Ordinal))       // else the id is somebody else's now
                {
                    Interrupt(process);
                    if (!process.WaitForExit(MostShutdown)) process.Kill(entireProcessTree: true);
                }
            }
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            // It has ended.
        }
        ServerAccount.Delete(SocketFolder(cluster));
    }

    private static void Interrupt(Process server)
    {
        if (OperatingSystem.IsWindows()) server.Kill(entireProcessTree: true);
        else Programs.Run("kill", ["-INT", server.Id.ToString(CultureInfo.InvariantCulture)], TimeSpan.FromSeconds(5));
    }

    /// <summary>A socket's whole path must stay under 108 bytes, so it does not live in the state folder.</summary>
    private static string SocketFolder(string cluster) =>
        Path.Combine("/tmp", "claw-pg-" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(cluster))))[..12]);

    private static async Task<FileStream> TakeTurnAsync(string lockFile, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return new FileStream(lockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                await Task.Delay(100, cancellationToken);       // another run is making the template
            }
        }
    }

    private static async Task ExecuteAsync(string connectionString, string sql, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static string LastLines(string file) => File.Exists(file) ? string.Join(" / ", File.ReadLines(file).TakeLast(3)) : "it left no log";

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
