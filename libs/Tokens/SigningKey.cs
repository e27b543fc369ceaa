using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// A key that signs. The seed lives in one pinned array, so that the garbage collector leaves no copies, and is zeroed on
/// dispose. Nothing here prints it. Safe for concurrent use; who disposes it makes sure that nobody signs any more.
/// </summary>
public sealed class SigningKey : IDisposable
{
    private readonly byte[] _seed;
    private bool _isDisposed;

    /// <param name="secret">The 32-byte seed, or 64 bytes of which the first 32 are the seed (contract section 3). Copied; the
    /// caller zeroes its own.</param>
    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>: another length.</exception>
    public SigningKey(ReadOnlySpan<byte> secret)
    {
        if (secret.Length is not (Ed25519.SeedLength or 2 * Ed25519.SeedLength))
            throw new Refusal(Reason.SigningConfigInvalid);
        _seed = GC.AllocateUninitializedArray<byte>(Ed25519.SeedLength, pinned: true);
        secret[..Ed25519.SeedLength].CopyTo(_seed);

        // The public half of a 64-byte secret is never believed: signing with a wrong one would give the seed away.
        Span<byte> publicKey = stackalloc byte[Ed25519.PublicKeyLength];
        Ed25519.PublicKeyFromSeed(_seed, publicKey);
        VerificationKey = new VerificationKey(publicKey, KeyState.Active);
    }

    public KeyId KeyId => VerificationKey.KeyId;

    /// <summary>32 bytes.</summary>
    public ReadOnlySpan<byte> PublicKey => VerificationKey.PublicKey;

    /// <summary>The public half, as active and without a cut-off.</summary>
    public VerificationKey VerificationKey { get; }

    /// <summary>Signs and verifies the result before it lets it go: a fault while signing must not leave the process.</summary>
    /// <returns>64 bytes.</returns>
    /// <exception cref="CryptographicException">The signature did not verify.</exception>
    public byte[] Sign(ReadOnlySpan<byte> message)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        var signature = new byte[Ed25519.SignatureLength];
        Ed25519.Sign(_seed, PublicKey, message, signature);
        return VerificationKey.Verify(message, signature)
            ? signature
            : throw new CryptographicException($"the signature made with key {KeyId} does not verify");
    }

    public void Dispose()
    {
        _isDisposed = true;
        CryptographicOperations.ZeroMemory(_seed);
    }

    /// <summary>The key's id; never the seed.</summary>
    public override string ToString() => $"{nameof(SigningKey)} {KeyId}";
}
