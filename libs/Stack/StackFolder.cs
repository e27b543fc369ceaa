using System.Globalization;

namespace ClawBureau.Stack;

/// <summary>
/// Where a stack keeps what it is: database, keys, certificates, logs. The folder itself may be passed through, because the
/// database server's account must reach its own part; everything secret lies in folders nobody else can enter.
/// </summary>
internal sealed class StackFolder
{
    private const string TemporaryPrefix = "claw-stack-";

    private StackFolder(string path, bool temporary) => (Path, IsTemporary) = (path, temporary);

    public string Path { get; }
    public bool IsTemporary { get; }

    public string Secrets => System.IO.Path.Combine(Path, "secrets");
    public string Certificates => System.IO.Path.Combine(Path, "tls");
    public string Logs => System.IO.Path.Combine(Path, "logs");
    public string Description => System.IO.Path.Combine(Path, "stack.json");

    private string OwnerFile => System.IO.Path.Combine(Path, "owner");

    /// <summary>A folder of its own that goes when the stack goes.</summary>
    public static StackFolder CreateTemporary()
    {
        SweepLeftovers();
        return new StackFolder(Directory.CreateTempSubdirectory(TemporaryPrefix).FullName, temporary: true).Prepare();
    }

    /// <exception cref="StackException">Another running stack owns the folder.</exception>
    public static StackFolder Open(string path)
    {
        var folder = new StackFolder(System.IO.Path.GetFullPath(path), temporary: false);
        if (folder.OwnerIsAlive()) throw new StackException($"A stack is running in {folder.Path}: stop it first, or choose another folder with --state.");
        folder.StopLeftovers();
        return folder.Prepare();
    }

    /// <summary>Notes a process this stack started, so that it can be ended when the stack itself was killed.</summary>
    public void Note(System.Diagnostics.Process process) =>
        File.AppendAllText(OwnerFile, $"child {process.Id} {process.StartTime.ToUniversalTime().Ticks}\n");

    public void Release()
    {
        File.Delete(OwnerFile);
        File.Delete(Description);
        if (IsTemporary) Directory.Delete(Path, recursive: true);
    }

    /// <summary>What killed runs left behind in the temporary folder: their processes are ended, their folders removed.</summary>
    public static void SweepLeftovers()
    {
        foreach (var path in Directory.EnumerateDirectories(System.IO.Path.GetTempPath(), TemporaryPrefix + "*"))
        {
            var folder = new StackFolder(path, temporary: true);
            if (!File.Exists(folder.OwnerFile) || folder.OwnerIsAlive()) continue;
            folder.StopLeftovers();
            try
            {
                Directory.Delete(path, recursive: true);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Another user's, or another sweep is at it.
            }
        }
    }

    private StackFolder Prepare()
    {
        Directory.CreateDirectory(Path);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        }
        foreach (var part in (string[])[Secrets, Certificates, Logs]) PrivateFile.Folder(part);
        using var self = System.Diagnostics.Process.GetCurrentProcess();
        PrivateFile.Write(OwnerFile, $"owner {self.Id} {self.StartTime.ToUniversalTime().Ticks}\n");
        return this;
    }

    private bool OwnerIsAlive() => Noted().Any(n => n.What == "owner" && Programs.IsAlive(n.Id, n.StartedAt));

    private void StopLeftovers()
    {
        foreach (var (_, id, startedAt) in Noted().Where(n => n.What == "child" && Programs.IsAlive(n.Id, n.StartedAt)))
        {
            try
            {
                using var process = System.Diagnostics.Process.GetProcessById(id);
                process.Kill();
                process.WaitForExit(TimeSpan.FromSeconds(10));
            }
            catch (Exception e) when (e is ArgumentException or InvalidOperationException)
            {
                // It has ended.
            }
        }
        LocalPostgres.Stop(System.IO.Path.Combine(Path, "postgres"));
    }

    private IEnumerable<(string What, int Id, DateTime StartedAt)> Noted()
    {
        if (!File.Exists(OwnerFile)) return [];
        return File.ReadAllLines(OwnerFile)
            .Select(l => l.Split(' '))
            .Where(w => w.Length == 3)
            .Select(w => (w[0], int.Parse(w[1], CultureInfo.InvariantCulture), new DateTime(long.Parse(w[2], CultureInfo.InvariantCulture), DateTimeKind.Utc)))
            .ToList();
    }
}
