namespace ClawBureau.Stack;

/// <summary>PostgreSQL's server programs on this machine.</summary>
internal sealed record PostgresBinaries(string Folder, string Version)
{
    public string InitDb => Program("initdb");
    public string Postgres => Program("postgres");

    private string Program(string name) => Path.Combine(Folder, OperatingSystem.IsWindows() ? name + ".exe" : name);

    /// <summary>The newest server found on PATH or where packages put it; null when there is none.</summary>
    public static PostgresBinaries? Find() =>
        Candidates()
            .Select(f => new PostgresBinaries(f, ""))
            .Where(b => File.Exists(b.InitDb) && File.Exists(b.Postgres))
            .Select(b => b with { Version = VersionOf(b) })
            .FirstOrDefault(b => b.Version.Length > 0);

    private static IEnumerable<string> Candidates()
    {
        foreach (var folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            // A link in /usr/local/bin leads to the package's folder, where the programs find each other.
            var initdb = new FileInfo(Path.Combine(folder, OperatingSystem.IsWindows() ? "initdb.exe" : "initdb"));
            if (!initdb.Exists) continue;
            yield return Path.GetDirectoryName(initdb.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? initdb.FullName)!;
        }
        var roots = new[]
        {
            ("/usr/lib/postgresql", "bin"),
            ("/opt/homebrew/opt", "bin"),
            ("/usr/local/opt", "bin"),
            (Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles), "PostgreSQL"), "bin"),
        };
        foreach (var (root, bin) in roots.Where(r => Directory.Exists(r.Item1)))
            foreach (var version in Directory.EnumerateDirectories(root).OrderByDescending(NumberIn))
                yield return Path.Combine(version, bin);
    }

    private static double NumberIn(string folder) =>
        double.TryParse(string.Concat(Path.GetFileName(folder).SkipWhile(c => !char.IsAsciiDigit(c))), out var number) ? number : 0;

    private static string VersionOf(PostgresBinaries binaries)
    {
        var (code, output) = Programs.Run(binaries.Postgres, ["--version"], TimeSpan.FromSeconds(10));
        return code == 0 ? output.Trim().Split(' ').FirstOrDefault(w => w.Length > 0 && char.IsAsciiDigit(w[0])) ?? "" : "";
    }
}
