using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// A key that signs. The seed lives in <see cref="SecretMemory"/> and is zeroed on dispose, after whoever is signing at that moment.
/// Nothing here prints it. Safe for concurrent use.
/// </summary>
public sealed class SigningKey : IDisposable
{
    private readonly SecretSeed _seed;

    /// <param name="secret">The 32-byte seed, or 64 bytes of which the first 32 are the seed (contract section 3). Copied; the
    /// caller zeroes its own.</param>
    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>: another length.</exception>
    public SigningKey(ReadOnlySpan<byte> secret)
    {
        if (secret.Length is not (Ed25519.SeedLength or 2 * Ed25519.SeedLength))
            throw new Refusal(Reason.SigningConfigInvalid);
        _seed = new SecretSeed(secret[..Ed25519.SeedLength]);

        // The public half of a 64-byte secret is never believed: signing with a wrong one would give the seed away.
        Span<byte> publicKey = stackalloc byte[Ed25519.PublicKeyLength];
        Ed25519.PublicKeyFromSeed(secret[..Ed25519.SeedLength], publicKey);
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
    /// <exception cref="ObjectDisposedException">It is disposed.</exception>
    public byte[] Sign(ReadOnlySpan<byte> message)
    {
        var signature = new byte[Ed25519.SignatureLength];
        var isHeld = false;
        try
        {
            _seed.DangerousAddRef(ref isHeld);
            Ed25519.Sign(_seed.Bytes, PublicKey, message, signature);
        }
        finally
        {
            if (isHeld) _seed.DangerousRelease();
        }
        return VerificationKey.Verify(message, signature)
            ? signature
            : throw new CryptographicException($"the signature made with key {KeyId} does not verify");
    }

    public void Dispose() => _seed.Dispose();

    /// <summary>The key's id; never the seed.</summary>
    public override string ToString() => $"{nameof(SigningKey)} {KeyId}";
}
