using System.Globalization;

namespace ClawBureau.Stack;

/// <summary>
/// Where a stack keeps what it is: database, keys, certificates, logs. The folder itself may be passed through, because the
/// database server's account must reach its own part; everything secret lies in folders nobody else can enter.
/// </summary>
internal sealed class StackFolder : IDisposable
{
    private const string TemporaryPrefix = "claw-stack-";
    private static readonly TimeSpan MostMaking = TimeSpan.FromMinutes(1);
    private FileStream? _lock;      // the file is locked for as long as a process owns the folder; a killed one's lock is gone

    private StackFolder(string path, bool temporary) => (Path, IsTemporary) = (path, temporary);

    public string Path { get; }
    public bool IsTemporary { get; }

    public string Secrets => System.IO.Path.Combine(Path, "secrets");
    public string SigningKeys => SigningKeysIn(Path);
    public string Certificates => System.IO.Path.Combine(Path, "tls");
    public string Logs => System.IO.Path.Combine(Path, "logs");
    public string Description => StackDescription.FileIn(Path);

    private string OwnerFile => System.IO.Path.Combine(Path, "owner");
    private string LockFile => System.IO.Path.Combine(Path, "lock");

    public static string SigningKeysIn(string path) => System.IO.Path.Combine(path, "secrets", "signing-keys");

    /// <summary>A folder of its own that goes when the stack goes.</summary>
    public static StackFolder CreateTemporary()
    {
        SweepLeftovers();
        var folder = new StackFolder(Directory.CreateTempSubdirectory(TemporaryPrefix).FullName, temporary: true);
        folder._lock = TryLock(folder.LockFile) ?? throw new StackException($"{folder.Path} was taken by another process: try again.");
        return folder.Prepare();
    }

    /// <exception cref="StackException">Another running stack owns the folder, or it cannot be made.</exception>
    public static StackFolder Open(string path)
    {
        var folder = new StackFolder(System.IO.Path.GetFullPath(path), temporary: false);
        try
        {
            Directory.CreateDirectory(folder.Path);
            folder._lock = TryLock(folder.LockFile) ?? throw new StackException($"A stack is running in {folder.Path}: stop it first, or choose another folder with --state.");
            folder.StopLeftovers();
            return folder.Prepare();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            folder.Dispose();
            throw new StackException($"The state folder {folder.Path} cannot be used ({e.Message}): choose another with --state.", e);
        }
    }

    /// <summary>The process that runs the stack in a folder.</summary>
    /// <returns>Null: none does; one that was killed may have left the stack's processes behind.</returns>
    public static int? OwnerOf(string path)
    {
        var folder = new StackFolder(System.IO.Path.GetFullPath(path), temporary: false);
        return folder.Noted().Where(n => n.What == "owner" && Programs.IsAlive(n.Id, n.Start)).Select(n => (int?)n.Id).FirstOrDefault();
    }

    /// <summary>Notes a process this stack started, so that it can be ended when the stack itself was killed.</summary>
    public void Note(System.Diagnostics.Process process) => File.AppendAllText(OwnerFile, $"child {process.Id} {Programs.StartOf(process)}\n");

    /// <summary>Gives the folder up; a temporary one goes.</summary>
    public void Release()
    {
        File.Delete(Description);
        File.Delete(OwnerFile);
        Dispose();
        if (IsTemporary) Delete(Path);
    }

    /// <summary>Gives the folder up as it stands.</summary>
    public void Dispose() => _lock?.Dispose();

    /// <summary>What killed runs of this user left behind in the temporary folder: their processes are ended, their folders removed.</summary>
    public static void SweepLeftovers()
    {
        foreach (var path in Directory.EnumerateDirectories(System.IO.Path.GetTempPath(), TemporaryPrefix + "*"))
        {
            using var folder = new StackFolder(path, temporary: true);
            try
            {
                if (!folder.TryTakeAbandoned()) continue;
                folder.StopLeftovers();
                folder.Dispose();
                Delete(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Another sweep is at it.
            }
        }
    }

    private bool TryTakeAbandoned()
    {
        // Without a note it is being made, or its removal was cut short: told apart by age.
        if (File.Exists(OwnerFile) ? OwnerIsAlive() : TimeProvider.System.GetUtcNow() - Directory.GetLastWriteTimeUtc(Path) < MostMaking) return false;
        // Anybody may make a folder of this name, and note in it whatever process he wants to see ended.
        if (!OperatingSystem.IsWindows() && Programs.Run("test", ["-O", Path], TimeSpan.FromSeconds(5)).Code != 0) return false;
        return (_lock = TryLock(LockFile)) is not null;
    }

    /// <returns>Null when another process has it.</returns>
    private static FileStream? TryLock(string file)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        try
        {
            return new FileStream(file, options);
        }
        catch (IOException) when (File.Exists(file))
        {
            return null;
        }
    }

    private static void Delete(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (IOException)
        {
            // A process that was killed is still at it; the next sweep has it.
        }
    }

    private StackFolder Prepare()
    {
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        }
        foreach (var part in (string[])[Secrets, Certificates, Logs]) PrivateFile.Folder(part);
        File.Delete(Description);       // of a run that was killed
        using var self = System.Diagnostics.Process.GetCurrentProcess();
        PrivateFile.Write(OwnerFile, $"owner {self.Id} {Programs.StartOf(self)}\n");
        return this;
    }

    // Also where the file system knows no locks.
    private bool OwnerIsAlive() => Noted().Any(n => n.What == "owner" && Programs.IsAlive(n.Id, n.Start));

    private void StopLeftovers()
    {
        // All are ended before any is waited for: who adopted them may take a second or two to notice that one has ended.
        var ended = new List<System.Diagnostics.Process>();
        foreach (var (_, id, _) in Noted().Where(n => n.What == "child" && Programs.IsAlive(n.Id, n.Start)))
        {
            try
            {
                var process = System.Diagnostics.Process.GetProcessById(id);
                ended.Add(process);
                process.Kill();
            }
            catch (Exception e) when (e is ArgumentException or InvalidOperationException)
            {
                // It has ended.
            }
        }
        foreach (var process in ended)
        {
            using (process) process.WaitForExit(TimeSpan.FromSeconds(10));
        }
        LocalPostgres.Stop(System.IO.Path.Combine(Path, "postgres"));
    }

    /// <summary>What the owner wrote down; a line that a kill cut short says nothing.</summary>
    private IEnumerable<(string What, int Id, long Start)> Noted()
    {
        if (!File.Exists(OwnerFile)) return [];
        return
        [
            .. File.ReadAllLines(OwnerFile)
                .Select(l => l.Split(' '))
                .Where(w => w.Length == 3 && int.TryParse(w[1], out _) && long.TryParse(w[2], out _))
                .Select(w => (w[0], int.Parse(w[1], CultureInfo.InvariantCulture), long.Parse(w[2], CultureInfo.InvariantCulture))),
        ];
    }
}
