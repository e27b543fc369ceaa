using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// Ed25519 of libsodium, called through its exports so that a missing library is an answer and not a fault. It refuses
/// non-canonical S, small-order and non-canonical public keys and small-order R itself.
/// </summary>
internal sealed unsafe class LibsodiumEd25519 : IEd25519
{
    private static readonly string[] FileNames = ["libsodium.so.23", "libsodium.so.26", "libsodium.dylib", "libsodium"];

    private readonly delegate* unmanaged<byte*, byte*, byte*, int> _seedKeypair;
    private readonly delegate* unmanaged<byte*, ulong*, byte*, ulong, byte*, int> _signDetached;
    private readonly delegate* unmanaged<byte*, byte*, ulong, byte*, int> _verifyDetached;

    private LibsodiumEd25519(nint library)
    {
        _seedKeypair = (delegate* unmanaged<byte*, byte*, byte*, int>)
            NativeLibrary.GetExport(library, "crypto_sign_ed25519_seed_keypair");
        _signDetached = (delegate* unmanaged<byte*, ulong*, byte*, ulong, byte*, int>)
            NativeLibrary.GetExport(library, "crypto_sign_ed25519_detached");
        _verifyDetached = (delegate* unmanaged<byte*, byte*, ulong, byte*, int>)
            NativeLibrary.GetExport(library, "crypto_sign_ed25519_verify_detached");
        var version = (delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "sodium_version_string");
        Name = "libsodium " + Marshal.PtrToStringUTF8((nint)version());
    }

    public string Name { get; }

    /// <summary>Null if the library is not here, or is not one that can be used.</summary>
    internal static LibsodiumEd25519? TryLoad()
    {
        foreach (var fileName in FileNames)
        {
            if (!NativeLibrary.TryLoad(fileName, typeof(LibsodiumEd25519).Assembly, null, out var library)) continue;
            if (!NativeLibrary.TryGetExport(library, "sodium_init", out var init)) continue;
            // 0: initialised now; 1: somebody else already did.
            if (((delegate* unmanaged<int>)init)() < 0) continue;
            try
            {
                return new LibsodiumEd25519(library);
            }
            catch (EntryPointNotFoundException)
            {
                // A build without Ed25519; the next name may be a whole one.
            }
        }
        return null;
    }

    public void PublicKeyFromSeed(ReadOnlySpan<byte> seed, Span<byte> publicKey)
    {
        Ed25519Lengths.Require(seed, Ed25519.SeedLength, nameof(seed));
        Ed25519Lengths.Require(publicKey, Ed25519.PublicKeyLength, nameof(publicKey));
        Span<byte> secretKey = stackalloc byte[64];
        fixed (byte* seedStart = seed, publicStart = publicKey, secretStart = secretKey)
            _seedKeypair(publicStart, secretStart, seedStart);
        CryptographicOperations.ZeroMemory(secretKey);
    }

    public void Sign(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, Span<byte> signature)
    {
        Ed25519Lengths.Require(seed, Ed25519.SeedLength, nameof(seed));
        Ed25519Lengths.Require(publicKey, Ed25519.PublicKeyLength, nameof(publicKey));
        Ed25519Lengths.Require(signature, Ed25519.SignatureLength, nameof(signature));
        // libsodium's secret key is seed and public key in a row.
        Span<byte> secretKey = stackalloc byte[64];
        seed.CopyTo(secretKey);
        publicKey.CopyTo(secretKey[32..]);
        fixed (byte* signatureStart = signature, secretStart = secretKey, messageStart = message)
            _signDetached(signatureStart, null, messageStart, (ulong)message.Length, secretStart);
        CryptographicOperations.ZeroMemory(secretKey);
    }

    public bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (publicKey.Length != Ed25519.PublicKeyLength || signature.Length != Ed25519.SignatureLength) return false;
        fixed (byte* signatureStart = signature, messageStart = message, publicStart = publicKey)
            return _verifyDetached(signatureStart, messageStart, (ulong)message.Length, publicStart) == 0;
    }
}
