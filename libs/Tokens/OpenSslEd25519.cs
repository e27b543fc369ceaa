using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// Ed25519 of OpenSSL's libcrypto (1.1.1 and later), the fallback. It refuses S above the group order itself; small-order R
/// and keys it would let pass, so they are refused here, as libsodium does.
/// </summary>
internal sealed unsafe class OpenSslEd25519 : IEd25519
{
    private const int TypeEd25519 = 1087; // EVP_PKEY_ED25519

    private static readonly string[] FileNames =
        ["libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.3.dylib", "libcrypto-3-x64", "libcrypto-3-arm64"];

    private readonly delegate* unmanaged<int, nint, byte*, nuint, nint> _newPrivateKey;
    private readonly delegate* unmanaged<int, nint, byte*, nuint, nint> _newPublicKey;
    private readonly delegate* unmanaged<nint, byte*, nuint*, int> _getPublicKey;
    private readonly delegate* unmanaged<nint, void> _freeKey;
    private readonly delegate* unmanaged<nint> _newContext;
    private readonly delegate* unmanaged<nint, void> _freeContext;
    private readonly delegate* unmanaged<nint, nint, nint, nint, nint, int> _signInit;
    private readonly delegate* unmanaged<nint, byte*, nuint*, byte*, nuint, int> _sign;
    private readonly delegate* unmanaged<nint, nint, nint, nint, nint, int> _verifyInit;
    private readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, int> _verify;
    private readonly delegate* unmanaged<void> _clearErrors;

    private OpenSslEd25519(nint library)
    {
        nint Export(string name) => NativeLibrary.GetExport(library, name);
        _newPrivateKey = (delegate* unmanaged<int, nint, byte*, nuint, nint>)Export("EVP_PKEY_new_raw_private_key");
        _newPublicKey = (delegate* unmanaged<int, nint, byte*, nuint, nint>)Export("EVP_PKEY_new_raw_public_key");
        _getPublicKey = (delegate* unmanaged<nint, byte*, nuint*, int>)Export("EVP_PKEY_get_raw_public_key");
        _freeKey = (delegate* unmanaged<nint, void>)Export("EVP_PKEY_free");
        _newContext = (delegate* unmanaged<nint>)Export("EVP_MD_CTX_new");
        _freeContext = (delegate* unmanaged<nint, void>)Export("EVP_MD_CTX_free");
        _signInit = (delegate* unmanaged<nint, nint, nint, nint, nint, int>)Export("EVP_DigestSignInit");
        _sign = (delegate* unmanaged<nint, byte*, nuint*, byte*, nuint, int>)Export("EVP_DigestSign");
        _verifyInit = (delegate* unmanaged<nint, nint, nint, nint, nint, int>)Export("EVP_DigestVerifyInit");
        _verify = (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, int>)Export("EVP_DigestVerify");
        _clearErrors = (delegate* unmanaged<void>)Export("ERR_clear_error");
        var version = (delegate* unmanaged<int, byte*>)Export("OpenSSL_version");
        Name = Marshal.PtrToStringUTF8((nint)version(0)) ?? "OpenSSL";
    }

    public string Name { get; }

    /// <summary>Null if the library is not here, or is older than its Ed25519.</summary>
    internal static OpenSslEd25519? TryLoad()
    {
        foreach (var fileName in FileNames)
        {
            if (!NativeLibrary.TryLoad(fileName, typeof(OpenSslEd25519).Assembly, null, out var library)) continue;
            try
            {
                return new OpenSslEd25519(library);
            }
            catch (EntryPointNotFoundException)
            {
                // Older than 1.1.1; the next name may be newer.
            }
        }
        return null;
    }

    public void PublicKeyFromSeed(ReadOnlySpan<byte> seed, Span<byte> publicKey)
    {
        Ed25519Lengths.Require(seed, Ed25519.SeedLength, nameof(seed));
        Ed25519Lengths.Require(publicKey, Ed25519.PublicKeyLength, nameof(publicKey));
        var key = PrivateKey(seed);
        nuint length = Ed25519.PublicKeyLength;
        fixed (byte* publicStart = publicKey)
        {
            var done = _getPublicKey(key, publicStart, &length);
            _freeKey(key);
            Require(done == 1);
        }
    }

    public void Sign(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, Span<byte> signature)
    {
        Ed25519Lengths.Require(seed, Ed25519.SeedLength, nameof(seed));
        Ed25519Lengths.Require(publicKey, Ed25519.PublicKeyLength, nameof(publicKey));
        Ed25519Lengths.Require(signature, Ed25519.SignatureLength, nameof(signature));
        // The public key is not used: OpenSSL derives it from the seed again.
        var key = PrivateKey(seed);
        var context = _newContext();
        nuint length = Ed25519.SignatureLength;
        fixed (byte* signatureStart = signature, messageStart = NotNull(message))
        {
            var done = _signInit(context, 0, 0, 0, key) == 1
                && _sign(context, signatureStart, &length, messageStart, (nuint)message.Length) == 1;
            _freeContext(context);
            _freeKey(key);
            Require(done);
        }
    }

    public bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature)
    {
        if (publicKey.Length != Ed25519.PublicKeyLength || signature.Length != Ed25519.SignatureLength) return false;
        if (!Ed25519Point.IsCanonical(publicKey) || Ed25519Point.HasSmallOrder(publicKey)) return false;
        if (Ed25519Point.HasSmallOrder(signature[..32])) return false;

        nint key;
        fixed (byte* publicStart = publicKey)
            key = _newPublicKey(TypeEd25519, 0, publicStart, (nuint)publicKey.Length);
        var context = _newContext();
        bool valid;
        fixed (byte* signatureStart = signature, messageStart = NotNull(message))
        {
            valid = key != 0
                && _verifyInit(context, 0, 0, 0, key) == 1
                && _verify(context, signatureStart, (nuint)signature.Length, messageStart, (nuint)message.Length) == 1;
        }
        _freeContext(context);
        _freeKey(key);
        // A refusal leaves an entry in the thread's queue, which .NET's own calls into the same library would trip over.
        if (!valid) _clearErrors();
        return valid;
    }

    private nint PrivateKey(ReadOnlySpan<byte> seed)
    {
        fixed (byte* seedStart = seed)
        {
            var key = _newPrivateKey(TypeEd25519, 0, seedStart, (nuint)seed.Length);
            Require(key != 0);
            return key;
        }
    }

    // An empty span has no address, and OpenSSL takes a null message for a question about the signature's length.
    private static ReadOnlySpan<byte> NotNull(ReadOnlySpan<byte> message) => message.IsEmpty ? [0] : message;

    private void Require(bool done)
    {
        if (done) return;
        _clearErrors();
        throw new CryptographicException("OpenSSL could not carry out an Ed25519 operation");
    }
}
