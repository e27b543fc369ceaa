using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Cli.Doctor;

/// <summary>What a machine must have before a stack can stand on it.</summary>
internal static class Machine
{
    private const int LeastPostgres = 15;
    private const int SdkMajor = 10;
    private const long LowDisk = 1L << 30, LeastDisk = 200L << 20;
    private const UnixFileMode OthersMay = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    /// <param name="state">The state folder, which need not exist.</param>
    /// <param name="portBase">Null: a stack runs, so its ports are taken.</param>
    public static async Task<IReadOnlyList<Diagnosis>> LookAtAsync(string state, int? portBase, CancellationToken cancellationToken)
    {
        var found = new List<Diagnosis> { Dotnet(), Signatures() };
        found.Add(AdminDatabase.Read() is { } given ? await GivenServerAsync(given, cancellationToken) : OwnServer());
        found.Add(Disk(state));
        found.Add(Files(state));
        if (portBase is { } first) found.Add(Ports(first));
        return found;
    }

    internal static Diagnosis Dotnet()
    {
        var (code, output) = Programs.Run("dotnet", ["--list-sdks"], TimeSpan.FromSeconds(20));
        var sdk = code == 0 ? output.Split('\n').Select(l => l.Split(' ')[0]).LastOrDefault(v => v.StartsWith($"{SdkMajor}.", StringComparison.Ordinal)) : null;
        return sdk is not null
            ? Diagnosis.Ok("dotnet", $"runtime {Environment.Version}, SDK {sdk}")
            : Diagnosis.Warning("dotnet", $"runtime {Environment.Version}, and no .NET {SdkMajor} SDK on PATH", "What is built goes on running; to build, install the .NET 10 SDK or set CLAW_DOTNET to the dotnet that has it.");
    }

    internal static Diagnosis Signatures()
    {
        try
        {
            return Ed25519.Backend.StartsWith("libsodium", StringComparison.Ordinal)
                ? Diagnosis.Ok("ed25519", Ed25519.Backend)
                : Diagnosis.Warning("ed25519", $"{Ed25519.Backend}: libsodium was not found", "Signatures are about half as fast; install libsodium (Debian, Ubuntu: libsodium23; macOS: brew install libsodium).");
        }
        catch (Exception e) when (e is InvalidOperationException or DllNotFoundException or TypeInitializationException)
        {
            return Diagnosis.Problem("ed25519", $"no library signs: {e.Message}", "Install libsodium (Debian, Ubuntu: libsodium23) or OpenSSL 1.1.1 or later.");
        }
    }

    private static Diagnosis OwnServer()
    {
        if (PostgresBinaries.Find() is { } binaries)
        {
            if (MajorOf(binaries.Version) < LeastPostgres)
                return Diagnosis.Problem("postgresql", $"PostgreSQL {binaries.Version} in {binaries.Folder}", $"Install the server of version {LeastPostgres} or later.");
            try
            {
                ServerAccount.Current();
                return Diagnosis.Ok("postgresql", $"PostgreSQL {binaries.Version} in {binaries.Folder}");
            }
            catch (StackException e)
            {
                return Diagnosis.Problem("postgresql", $"PostgreSQL {binaries.Version} cannot be started", e.Message);
            }
        }
        if (Programs.Run("docker", ["info", "--format", "{{.ServerVersion}}"], TimeSpan.FromSeconds(10)) is (0, var engine))
            return Diagnosis.Ok("postgresql", $"in a container of Docker {engine.Trim()}");
        return Diagnosis.Problem(
            "postgresql", "neither server programs nor Docker", "Install the server (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or start Docker, or set CLAW_DATABASE.");
    }

    private static async Task<Diagnosis> GivenServerAsync(string connectionString, CancellationToken cancellationToken)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString) { Timeout = 5, Pooling = false };
        try
        {
            await using var connection = new NpgsqlConnection(builder.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            return connection.PostgreSqlVersion.Major >= LeastPostgres
                ? Diagnosis.Ok("postgresql", $"PostgreSQL {connection.PostgreSqlVersion} at {builder.Host}:{builder.Port} (CLAW_DATABASE)")
                : Diagnosis.Problem("postgresql", $"PostgreSQL {connection.PostgreSqlVersion} at {builder.Host}:{builder.Port} (CLAW_DATABASE)", $"Version {LeastPostgres} or later is needed.");
        }
        catch (NpgsqlException e)
        {
            return Diagnosis.Problem("postgresql", $"{builder.Host}:{builder.Port} (CLAW_DATABASE) cannot be used: {e.Message}", "Start that server, or correct CLAW_DATABASE, or unset it to have a server of the stack's own.");
        }
    }

    internal static Diagnosis Disk(string state)
    {
        var folder = Existing(state);
        long free = new DriveInfo(folder).AvailableFreeSpace;
        var told = $"{(free / (double)(1 << 30)).ToString("0.0", CultureInfo.InvariantCulture)} GiB free for {folder}";
        return free >= LowDisk ? Diagnosis.Ok("disk", told)
            : free >= LeastDisk ? Diagnosis.Warning("disk", told, "The ledger only grows: make room, or choose another folder with --state.")
            : Diagnosis.Problem("disk", told, "The database stops when the disk is full: make room, or choose another folder with --state.");
    }

    /// <summary>Who else may read what is secret.</summary>
    internal static Diagnosis Files(string state)
    {
        if (OperatingSystem.IsWindows()) return Diagnosis.Ok("files", "modes are not looked at here");
        if (!Directory.Exists(state)) return Diagnosis.Ok("files", $"{state} does not exist yet");
        string[] secrets =
        [
            .. In(state, "stack.json"),
            .. In(Path.Combine(state, "secrets"), "*"),
            .. In(Path.Combine(state, "tls"), "*.key"),
        ];
        var open = new List<string>();
        foreach (var file in secrets)
        {
            if ((File.GetUnixFileMode(file) & OthersMay) != 0) open.Add(file);
        }
        return open.Count == 0
            ? Diagnosis.Ok("files", $"{secrets.Length} secret files are their owner's alone")
            : Diagnosis.Problem("files", $"others may read or write {string.Join(", ", open)}", $"chmod 600 {string.Join(' ', open)}; and rotate what was readable.");

        static string[] In(string folder, string pattern) => Directory.Exists(folder) ? Directory.GetFiles(folder, pattern) : [];
    }

    internal static Diagnosis Ports(int portBase)
    {
        var wanted = Place.All.Select(p => portBase + 10 * p.Number).Append(portBase + Place.PlainHttpOffset).ToHashSet();
        var taken = IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners()
            .Where(l => wanted.Contains(l.Port) && (IPAddress.IsLoopback(l.Address) || l.Address.Equals(IPAddress.Any) || l.Address.Equals(IPAddress.IPv6Any))).Select(l => l.Port).Distinct().Order().ToList();
        return taken.Count == 0
            ? Diagnosis.Ok("ports", $"{string.Join(", ", wanted.Order())} are free")
            : Diagnosis.Problem("ports", $"another process listens on {string.Join(", ", taken)}", "End it, or say --port-base with another number to `claw up` (and here).");
    }

    private static int MajorOf(string version) => int.TryParse(version.Split('.')[0], CultureInfo.InvariantCulture, out int major) ? major : 0;

    private static string Existing(string path)
    {
        var folder = new DirectoryInfo(path);
        while (!folder.Exists && folder.Parent is not null) folder = folder.Parent;
        return folder.FullName;
    }
}
