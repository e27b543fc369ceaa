namespace ClawBureau.Tokens;

/// <summary>
/// One implementation of pure Ed25519 (RFC 8032). All of them accept the same signatures: the cofactorless equation, S below
/// the group order, R and the public key canonical and not of small order. Safe for concurrent use.
/// </summary>
public interface IEd25519
{
    /// <summary>Library and version, for people: what <c>claw doctor</c> prints.</summary>
    string Name { get; }

    /// <param name="seed">32 bytes, secret.</param>
    /// <param name="publicKey">Receives 32 bytes.</param>
    void PublicKeyFromSeed(ReadOnlySpan<byte> seed, Span<byte> publicKey);

    /// <param name="seed">32 bytes, secret.</param>
    /// <param name="publicKey">The 32 bytes that belong to the seed; with any others a signature gives the seed away.</param>
    /// <param name="message">What is signed, of any length.</param>
    /// <param name="signature">Receives 64 bytes.</param>
    void Sign(ReadOnlySpan<byte> seed, ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, Span<byte> signature);

    /// <summary>False for anything wrong, a wrong length included.</summary>
    bool Verify(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature);
}
