namespace ClawBureau.Stack;

/// <summary>Files with secrets: mode 0600 from the first byte, in place only when complete.</summary>
internal static class PrivateFile
{
    private const UnixFileMode OwnerReadWrite = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    public static void Write(string file, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerReadWrite;
        var draft = file + ".draft";
        File.Delete(draft);
        using (var writer = new StreamWriter(new FileStream(draft, options))) writer.Write(text);
        File.Move(draft, file, overwrite: true);
    }

    /// <summary>A folder nobody else can enter.</summary>
    public static string Folder(string path)
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(path);
        else Directory.CreateDirectory(path, OwnerReadWrite | UnixFileMode.UserExecute);
        return path;
    }
}
