using System.Security.Cryptography;
using ClawBureau.Hosting.Files;
using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Keys;

/// <summary>
/// Seeds of signing keys, one file each: <c>KID.seed</c> holds 32 bytes as base64url, in a folder nobody else can look into. What
/// others could read or write is refused, never used. Files appear whole or not at all.
/// </summary>
public sealed class KeyFolder
{
    private const string Extension = ".seed";
    private const int MostBytes = 256;
    private const long InUse = 60_000;          // milliseconds: longer than any request that took the key before it went
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private readonly Lock _lock = new();
    private readonly Dictionary<KeyId, SigningKey> _keys = [];      // locked; a key that was read stays until its file is gone
    private readonly List<(SigningKey Key, long At)> _gone = [];    // locked: to be zeroed when nobody can still be signing with it
    private string? _seen;                                          // locked: the folder as last read

    /// <param name="path">Made when it is not there.</param>
    /// <exception cref="StartRefused">The folder cannot be made or used; the sentence says what to do.</exception>
    public KeyFolder(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        try
        {
            if (!OperatingSystem.IsWindows()) Directory.CreateDirectory(Path, OwnerOnly | UnixFileMode.UserExecute);
            else Directory.CreateDirectory(Path);
            RequirePrivate();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartRefused($"The key folder {Path} cannot be used ({e.Message}): make it yours, with mode 0700.", e);
        }
    }

    public string Path { get; }

    /// <summary>Every key, the one written last first.</summary>
    /// <exception cref="StartRefused">Something in the folder is not what it must be; the sentence names the file.</exception>
    public IReadOnlyList<SigningKey> Read()
    {
        lock (_lock)
        {
            try
            {
                RequirePrivate();
                var files = Files();
                if (files.Count > TokenLimits.MaxKeys) throw new StartRefused($"The key folder {Path} holds {files.Count} seeds, at most {TokenLimits.MaxKeys} may be: remove those of retired keys.");
                var stamp = string.Join(';', files.Select(Stamp));
                if (stamp != _seen)
                {
                    foreach (var file in files) Load(file);
                    foreach (var gone in _keys.Keys.Except(files.Select(IdOf)).ToList())
                    {
                        _keys.Remove(gone, out var key);
                        _gone.Add((key!, Environment.TickCount64));
                    }
                    _seen = stamp;
                }
                foreach (var (key, _) in _gone.Where(gone => Environment.TickCount64 - gone.At > InUse)) key.Dispose();
                _gone.RemoveAll(gone => Environment.TickCount64 - gone.At > InUse);
                return [.. files.Select(file => _keys[IdOf(file)])];
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new StartRefused($"The key folder {Path} cannot be read ({e.Message}).", e);
            }
        }
    }

    /// <summary>Makes a key; when this returns, its seed is on the disk.</summary>
    /// <exception cref="StartRefused">The folder cannot be written to.</exception>
    public SigningKey Generate()
    {
        var seed = GC.AllocateUninitializedArray<byte>(Ed25519.SeedLength, pinned: true);
        RandomNumberGenerator.Fill(seed);
        try
        {
            return Add(seed);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(seed);
        }
    }

    /// <summary>Puts a seed into the folder.</summary>
    /// <param name="seed">32 bytes; the caller zeroes his own.</param>
    /// <exception cref="StartRefused">The folder cannot be written to.</exception>
    public SigningKey Add(ReadOnlySpan<byte> seed)
    {
        var key = new SigningKey(seed);
        try
        {
            PrivateFile.Replace(FileOf(key.KeyId), Base64UrlText.Encode(seed) + "\n", isSecret: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            key.Dispose();
            throw new StartRefused($"The key folder {Path} cannot be written to ({e.Message}).", e);
        }
        lock (_lock) _keys[key.KeyId] = key;
        return key;
    }

    /// <summary>Destroys the seed of a key that will never sign again.</summary>
    /// <exception cref="StartRefused">The folder cannot be written to.</exception>
    public void Destroy(KeyId keyId)
    {
        try
        {
            File.Delete(FileOf(keyId));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartRefused($"{FileOf(keyId)} cannot be removed ({e.Message}): its key is retired, remove it yourself.", e);
        }
    }

    private void Load(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);       // no copy that stays
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(stream.SafeFileHandle) & ~OwnerOnly) != 0)
            throw new StartRefused($"The seed {file} is open to other users: run chmod 600 on it, and rotate if they may have read it.");
        if (!FileOwner.IsOurs(stream.SafeFileHandle, file)) throw new StartRefused($"The seed {file} belongs to another user: make it the user's that runs this process.");
        if (!KeyId.TryParse(System.IO.Path.GetFileNameWithoutExtension(file), out var named)) throw NoSeed(file);
        if (_keys.ContainsKey(named)) return;       // it cannot have come to hold another seed under this name

        Span<byte> text = stackalloc byte[MostBytes];
        Span<byte> seed = stackalloc byte[Ed25519.SeedLength];
        try
        {
            int length = stream.ReadAtLeast(text, MostBytes, throwOnEndOfStream: false);
            var trimmed = text[..length].Trim(" \t\r\n"u8);
            if (Base64UrlText.DecodedLength(trimmed.Length) != seed.Length || !Base64UrlText.TryDecode(trimmed, seed, out _)) throw NoSeed(file);
            var key = new SigningKey(seed);
            if (key.KeyId != named)
            {
                key.Dispose();
                throw new StartRefused($"The seed in {file} is that of another key: a file is named after the kid of what it holds.");
            }
            _keys.Add(named, key);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(text);
            CryptographicOperations.ZeroMemory(seed);
        }
    }

    private void RequirePrivate()
    {
        if (OperatingSystem.IsWindows()) return;
        if ((File.GetUnixFileMode(Path) & (UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute)) != 0)
            throw new StartRefused($"The key folder {Path} is open to other users: run chmod 700 on it.");
    }

    private List<string> Files() =>
        [.. Directory.EnumerateFiles(Path, "*" + Extension).OrderByDescending(File.GetLastWriteTimeUtc).ThenBy(file => file, StringComparer.Ordinal)];

    // The mode is part of it: who opens a file to others changes nothing else.
    private static string Stamp(string file) =>
        $"{System.IO.Path.GetFileName(file)} {File.GetLastWriteTimeUtc(file).Ticks} {(OperatingSystem.IsWindows() ? 0 : (int)File.GetUnixFileMode(file))}";

    private string FileOf(KeyId keyId) => System.IO.Path.Combine(Path, keyId + Extension);

    private static KeyId IdOf(string file) => KeyId.Parse(System.IO.Path.GetFileNameWithoutExtension(file));

    private static StartRefused NoSeed(string file) => new($"{file} is no seed: a seed's file is named KID{Extension} and holds 32 bytes as base64url.");
}
