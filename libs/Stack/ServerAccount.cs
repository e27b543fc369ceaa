namespace ClawBureau.Stack;

/// <summary>
/// Under whose name the database server runs: the user's own, or `postgres` when the user is root, because the server
/// refuses root. Files the server must own are made through this class.
/// </summary>
internal sealed class ServerAccount
{
    private const string Name = "postgres";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private readonly bool _other;

    private ServerAccount(bool other) => _other = other;

    /// <exception cref="StackException">The user is root and there is no postgres account to drop to.</exception>
    public static ServerAccount Current()
    {
        bool root = !OperatingSystem.IsWindows() && Environment.UserName == "root";
        if (root && Programs.Run("id", ["-u", Name], TimeSpan.FromSeconds(5)).Code != 0)
            throw new StackException("PostgreSQL refuses to run as root and this machine has no `postgres` user: run as another user, or install the server's package, which makes one.");
        return new ServerAccount(root);
    }

    /// <summary>Where migrated clusters are kept between runs.</summary>
    public string CacheFolder => _other
        ? "/var/cache/clawbureau"       // root's home is closed to postgres
        : Path.Combine(Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } xdg
            ? xdg
            : OperatingSystem.IsWindows()
                ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"), "clawbureau");

    /// <summary>How to start a program under this account.</summary>
    public (string Program, string[] Leading) Command(string program) =>
        _other ? ("setpriv", ["--reuid=" + Name, "--regid=" + Name, "--init-groups", "--", program]) : (program, []);

    /// <summary>Runs a program to its end under this account.</summary>
    public void Run(string program, params string[] arguments)
    {
        var (start, leading) = Command(program);
        var (code, output) = Programs.Run(start, [.. leading, .. arguments], TimeSpan.FromMinutes(2));
        if (code != 0) throw new StackException($"{Path.GetFileName(program)} failed: {output.Trim()}");
    }

    /// <summary>Makes a folder only this account can enter.</summary>
    public void CreateFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
            return;
        }
        Directory.CreateDirectory(folder, OwnerOnly);
        Own(folder);
    }

    public void WriteSecret(string file, string secret)
    {
        PrivateFile.Write(file, secret + "\n");
        Own(file);
    }

    public static string ReadSecret(string file) => File.ReadAllText(file).Trim();

    /// <summary>Copies a cluster that is not running.</summary>
    public void Copy(string from, string to)
    {
        if (OperatingSystem.IsWindows())
        {
            foreach (var folder in Directory.EnumerateDirectories(from, "*", SearchOption.AllDirectories).Prepend(from))
                Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, folder)));
            foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
                File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
            return;
        }
        CreateFolder(to);
        Must("cp", "-a", from + "/.", to);
        Own(to);
    }

    public static void Move(string from, string to) => Directory.Move(from, to);

    public static void Delete(string folder)
    {
        if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
    }

    /// <summary>Makes sure a log file written by this process exists before the server's folder is handed over.</summary>
    public static string Writable(string file)
    {
        File.AppendAllText(file, "");
        return file;
    }

    private void Own(string path)
    {
        if (_other) Must("chown", Name + ":", path);
    }

    private static void Must(string program, params string[] arguments)
    {
        var (code, output) = Programs.Run(program, arguments, TimeSpan.FromMinutes(2));
        if (code != 0) throw new StackException($"{program} {string.Join(' ', arguments)} failed: {output.Trim()}");
    }
}
