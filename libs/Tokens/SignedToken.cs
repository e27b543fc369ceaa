namespace ClawBureau.Tokens;

/// <summary>
/// A token that was just signed. <see cref="Compact"/> is the credential itself: it goes to whoever asked for it and nowhere
/// else. Prints as its hash.
/// </summary>
public sealed class SignedToken
{
    internal SignedToken(string compact, TokenClaims claims, KeyId keyId, byte[] payload, byte[] signingInput)
    {
        Compact = compact;
        Claims = claims;
        KeyId = keyId;
        PayloadBytes = payload;
        SigningInput = signingInput;
        TokenHash = TokenHash.Of(compact);
    }

    /// <summary>header.payload.signature</summary>
    public string Compact { get; }

    public TokenHash TokenHash { get; }

    public TokenClaims Claims { get; }

    public KeyId KeyId { get; }

    /// <summary>The payload's UTF-8 JSON, decoded.</summary>
    public ReadOnlyMemory<byte> PayloadBytes { get; }

    /// <summary>The ASCII bytes that were signed, header.payload: enough to make the identical token again with its key, and
    /// useless without it. What an idempotent retry is answered from.</summary>
    public ReadOnlyMemory<byte> SigningInput { get; }

    public override string ToString() => TokenHash.ToString();
}
