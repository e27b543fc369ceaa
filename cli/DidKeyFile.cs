using System.Security.Cryptography;
using System.Text;
using ClawBureau.Tokens;

namespace ClawBureau.Cli;

/// <summary>The key of a DID: a file of its owner's alone, one line, base64url of the 32-byte seed. It never leaves this process.</summary>
internal sealed class DidKeyFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly SigningKey _key;

    private DidKeyFile(SigningKey key) => (_key, Did) = (key, DidKey.Of(key.PublicKey));

    public string Did { get; }

    /// <summary>Writes a new key; an existing file is never overwritten.</summary>
    /// <exception cref="UsageException">The file exists.</exception>
    public static DidKeyFile Create(string path)
    {
        if (File.Exists(path)) throw new UsageException($"{path} exists already: choose another file, a key is never overwritten.");
        var seed = RandomNumberGenerator.GetBytes(Ed25519.SeedLength);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerOnly;
        using (var writer = new StreamWriter(path, options)) writer.WriteLine(Base64UrlText.Encode(seed));
        var key = new SigningKey(seed);
        CryptographicOperations.ZeroMemory(seed);
        return new DidKeyFile(key);
    }

    /// <exception cref="UsageException">It does not exist, is open to others, or holds no key. What it holds is not repeated.</exception>
    public static DidKeyFile Read(string path)
    {
        if (!File.Exists(path)) throw new UsageException($"The key file {path} does not exist: `claw did new --key {path}` makes one.");
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(path) & ~OwnerOnly) != 0) throw new UsageException($"The key file {path} can be read by others: chmod 600 it.");
        var seed = new byte[Ed25519.SeedLength];
        if (!Base64UrlText.TryDecode(File.ReadAllText(path).Trim().AsSpan(), seed, out int written) || written != seed.Length)
            throw new UsageException($"The key file {path} holds no key: that is one line, base64url of 32 bytes.");
        var key = new SigningKey(seed);
        CryptographicOperations.ZeroMemory(seed);
        return new DidKeyFile(key);
    }

    /// <summary>Ed25519 over the message's UTF-8 bytes, base64url.</summary>
    public string Sign(string message) => Base64UrlText.Encode(_key.Sign(Encoding.UTF8.GetBytes(message)));
}
