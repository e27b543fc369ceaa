namespace ClawBureau.Tokens;

/// <summary>
/// A token whose form is right and of which nothing else is known yet: neither signature, expiry nor revocation has been
/// looked at. Made by <see cref="TokenParser"/>, judged by <see cref="JwsVerifier"/>. Prints as its hash.
/// </summary>
public sealed class ParsedToken
{
    private readonly byte[] _compact;
    private readonly int _signingInputLength;

    internal ParsedToken(byte[] compact, int signingInputLength, TokenHeader header, TokenClaims claims, byte[] signature)
    {
        _compact = compact;
        _signingInputLength = signingInputLength;
        HasKid = header.HasKid;
        KeyId = header.KeyId;
        Algorithm = header.Algorithm;
        Claims = claims;
        Signature = signature;
        TokenHash = TokenHash.Of(compact);
    }

    public TokenHash TokenHash { get; }

    public TokenClaims Claims { get; }

    public TokenAlgorithm Algorithm { get; }

    /// <summary>The header names a key.</summary>
    public bool HasKid { get; }

    /// <summary>The key it names; null if it names none, or something that can be no key id.</summary>
    public KeyId? KeyId { get; }

    /// <summary>The whole text, ASCII; nobody may change it.</summary>
    internal byte[] Compact => _compact;

    /// <summary>The ASCII bytes that are signed: header and payload with the dot between.</summary>
    internal ReadOnlySpan<byte> SigningInput => _compact.AsSpan(0, _signingInputLength);

    /// <summary>As it was sent; 64 bytes if it can be valid at all.</summary>
    internal byte[] Signature { get; }

    public override string ToString() => TokenHash.ToString();
}
