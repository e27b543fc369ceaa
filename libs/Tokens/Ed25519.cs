namespace ClawBureau.Tokens;

/// <summary>
/// Ed25519 by the best library this machine has: libsodium when it loads, else OpenSSL's libcrypto, which .NET on Linux loads
/// anyway. .NET itself has none. The choice is made once, at first use.
/// </summary>
public static class Ed25519
{
    public const int SeedLength = 32;
    public const int PublicKeyLength = 32;
    public const int SignatureLength = 64;

    private static readonly Lazy<IReadOnlyList<IEd25519>> Loaded = new(() =>
        [.. new IEd25519?[] { LibsodiumEd25519.TryLoad(), OpenSslEd25519.TryLoad() }.OfType<IEd25519>()]);

    /// <summary>Every implementation that loads here, the preferred one first.</summary>
    public static IReadOnlyList<IEd25519> Backends => Loaded.Value;

    /// <summary>The one in use: library and version.</summary>
    /// <exception cref="PlatformNotSupportedException">Neither library loads.</exception>
    public static string Backend => Preferred.Name;

    private static IEd25519 Preferred => Loaded.Value is [var first, ..]
        ? first
        : throw new PlatformNotSupportedException(
            "Neither libsodium nor OpenSSL's libcrypto can be loaded; install libsodium (Debian and Ubuntu: libsodium23).");

    /// <inheritdoc cref="IEd25519.PublicKeyFromSeed"/>
    public static void PublicKeyFromSeed(ReadOnlySpan<byte> seed, Span<byte> publicKey) =>
        Preferred.PublicKeyFromSeed(seed, publicKey);

    /// <inheritdoc cref="IEd25519.Sign"/>
    public static void Sign(
        ReadOnlySpan<byte> seed, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, Span<byte> signature) =>
        Preferred.Sign(seed, publicKey, message, signature);

    /// <inheritdoc cref="IEd25519.Verify"/>
    public static bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature) =>
        Preferred.Verify(publicKey, message, signature);
}
