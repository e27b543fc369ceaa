using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace ClawBureau.Hosting.Tests.Processes;

internal static class AdminKeyFiles
{
    private static int written;

    public static void Write(string path, params (string Name, string Key, string[] Scopes)[] keys) => WriteText(path, JsonSerializer.Serialize(
        keys.Select(key => new { name = key.Name, sha256 = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key.Key))), scopes = key.Scopes })));

    /// <summary>Writes with owner-only access and a modification time that differs from any before, however fast tests write.</summary>
    public static void WriteText(string path, string text)
    {
        File.WriteAllText(path, text);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddSeconds(-1_000_000 + Interlocked.Increment(ref written)));
    }
}
