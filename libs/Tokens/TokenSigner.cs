using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// Makes compact tokens (contract section 2): header exactly <c>{"alg":"EdDSA","typ":"JWT","kid":"…"}</c>, the payload in the
/// contract's order, an Ed25519 signature over both. Ed25519 is deterministic: the same claims under the same key are the
/// same token.
/// </summary>
public static class TokenSigner
{
    /// <param name="claims">Complete; <see cref="TokenGrant.ToClaims"/> makes them.</param>
    /// <param name="key">Signs, and names itself in the header.</param>
    /// <param name="algorithm">The name to write for the algorithm; the signature is the same.</param>
    /// <exception cref="Refusal"><see cref="Reason.TokenTooLarge"/>: longer than <see cref="TokenLimits.MaxTokenBytes"/>, which
    /// no verifier would read.</exception>
    public static SignedToken Sign(TokenClaims claims, SigningKey key, TokenAlgorithm algorithm = TokenAlgorithm.EdDsa)
    {
        var payload = claims.ToPayload();
        return Assemble(SigningInput(payload, key.KeyId, algorithm), payload, claims, key);
    }

    /// <summary>Signs a payload that was signed before: with the key and algorithm of that time it is the same token.</summary>
    /// <param name="payload">UTF-8 JSON, as <see cref="SignedToken.PayloadBytes"/> gave it.</param>
    /// <param name="key">The key that signed it.</param>
    /// <param name="algorithm">The name its header had.</param>
    /// <exception cref="Refusal">What <see cref="TokenParser.Parse(string)"/> says of a payload that is none.</exception>
    public static SignedToken SignPayload(
        ReadOnlySpan<byte> payload, SigningKey key, TokenAlgorithm algorithm = TokenAlgorithm.EdDsa) =>
        Resign(SigningInput(payload, key.KeyId, algorithm), key);

    /// <summary>Completes a token again from what was kept of it, <see cref="SignedToken.SigningInput"/>.</summary>
    /// <exception cref="ArgumentException">The header names another key.</exception>
    /// <exception cref="Refusal">What <see cref="TokenParser.Parse(string)"/> says of an input that is none.</exception>
    public static SignedToken Resign(ReadOnlySpan<byte> signingInput, SigningKey key)
    {
        // Read it before signing it: a key signs nothing that is not a token.
        var unsigned = TokenParser.Parse([.. signingInput, (byte)'.']);
        if (unsigned.KeyId != key.KeyId)
            throw new ArgumentException("the header names another key", nameof(signingInput));
        var text = Encoding.ASCII.GetString(signingInput);
        var payloadText = text.AsSpan(text.IndexOf('.', StringComparison.Ordinal) + 1);
        var payload = new byte[Base64UrlText.DecodedLength(payloadText.Length)];
        Base64UrlText.TryDecode(payloadText, payload, out _);
        return Assemble(text, payload, unsigned.Claims, key);
    }

    private static string SigningInput(ReadOnlySpan<byte> payload, KeyId keyId, TokenAlgorithm algorithm)
    {
        var header = Encoding.ASCII.GetBytes($$"""{"alg":"{{algorithm.ToHeader()}}","typ":"JWT","kid":"{{keyId}}"}""");
        return $"{Base64UrlText.Encode(header)}.{Base64UrlText.Encode(payload)}";
    }

    private static SignedToken Assemble(string signingInput, byte[] payload, TokenClaims claims, SigningKey key)
    {
        var signed = Encoding.ASCII.GetBytes(signingInput);
        var compact = $"{signingInput}.{Base64UrlText.Encode(key.Sign(signed))}";
        return compact.Length <= TokenLimits.MaxTokenBytes
            ? new SignedToken(compact, claims, key.KeyId, payload, signed)
            : throw new Refusal(Reason.TokenTooLarge);
    }

    private static SignedToken Resign(string signingInput, SigningKey key) =>
        Resign(Encoding.ASCII.GetBytes(signingInput), key);
}
