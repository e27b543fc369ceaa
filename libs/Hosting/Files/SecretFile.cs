namespace ClawBureau.Hosting.Files;

/// <summary>Files that a variable names because their content is secret.</summary>
public static class SecretFile
{
    /// <summary>The content of a file that its owner alone can read, and that is this process's user's own.</summary>
    /// <exception cref="StartRefused">It is not there, open to others, or another user's.</exception>
    public static string Read(string path)
    {
        PrivateFile.RequirePrivate(path);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read);
            if (!FileOwner.IsOurs(stream.SafeFileHandle, path)) throw new StartRefused($"The file {path} belongs to another user: make it the user's that runs this process.");
            using var reader = new StreamReader(stream);
            return reader.ReadToEnd();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartRefused($"The file {path} cannot be read ({e.Message}).", e);
        }
    }
}
