namespace ClawBureau.Hosting.Files;

/// <summary>Files that hold secrets: written so that nobody else ever reads them, refused when somebody else can.</summary>
internal static class PrivateFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode Group = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute;
    private const UnixFileMode Others = UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    /// <param name="path">The file.</param>
    /// <param name="groupMayRead">True where an orchestrator mounts secrets as readable by the process's group.</param>
    /// <exception cref="StartRefused">The file is missing, or open to others.</exception>
    public static void RequirePrivate(string path, bool groupMayRead = false)
    {
        if (!File.Exists(path)) throw new StartRefused($"The file {path} does not exist or cannot be reached.");
        if (OperatingSystem.IsWindows()) return; // access lists are inherited from the folder there
        var forbidden = Others | (groupMayRead ? Group & ~UnixFileMode.GroupRead : Group);
        if ((File.GetUnixFileMode(path) & forbidden) != 0)
            throw new StartRefused($"The file {path} is open to other users: run chmod {(groupMayRead ? "640" : "600")} on it.");
    }

    /// <summary>Replaces a file in one step; a reader sees the old content or the new, never a part.</summary>
    public static void Replace(string path, string content, bool isSecret)
    {
        var draft = $"{path}.{Guid.NewGuid():N}.tmp";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = isSecret ? OwnerOnly : OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        try
        {
            using (var stream = new FileStream(draft, options))
            {
                using var writer = new StreamWriter(stream);
                writer.Write(content);
                writer.Flush();
                stream.Flush(flushToDisk: true);
            }
            File.Move(draft, path, overwrite: true);
        }
        finally
        {
            File.Delete(draft);
        }
    }
}
