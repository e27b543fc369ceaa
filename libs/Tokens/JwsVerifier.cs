namespace ClawBureau.Tokens;

/// <summary>
/// Judges a parsed token by our keys and the time, contract 5.1 rows 7 to 11, in that order: the pure part of a verification
/// (RFC 7515, 5.2; RFC 7519, 7.2). Revocation, row 12, is asked elsewhere, afterwards; whoever guards a service takes the
/// client library's TokenVerifier, which does both.
/// </summary>
public static class JwsVerifier
{
    /// <param name="token">From <see cref="TokenParser"/>.</param>
    /// <param name="keys">Every key that is known, so that an expired one is told from an unknown one.</param>
    /// <param name="now">The caller's clock.</param>
    /// <exception cref="Refusal"><see cref="Reason.TokenExpired"/>, <see cref="Reason.TokenIssuedInFuture"/>,
    /// <see cref="Reason.SigningNotConfigured"/> (no key at all), <see cref="Reason.TokenUnknownKid"/>,
    /// <see cref="Reason.TokenKidExpired"/>, <see cref="Reason.TokenSignatureInvalid"/> or <see cref="Reason.TokenRevoked"/> (its key
    /// signed it and is revoked).</exception>
    public static VerifiedToken Verify(ParsedToken token, VerificationKeySet keys, DateTimeOffset now)
    {
        RequireCurrent(token.Claims, now);
        if (keys.IsEmpty) throw new Refusal(Reason.SigningNotConfigured);

        if (!token.HasKid) return Recover(token, keys, now);
        var key = RequireKnown(token.KeyId, keys, now);
        if (!key.Verify(token.SigningInput, token.Signature)) throw new Refusal(Reason.TokenSignatureInvalid);
        return key.IsRevoked ? throw new Refusal(Reason.TokenRevoked) : new VerifiedToken(token, key, KidSource.Header);
    }

    /// <summary>A token that <see cref="Verify"/> refused as revoked with its key: who wants to say more of it than that it is dead.</summary>
    /// <exception cref="Refusal"><see cref="Reason.TokenUnknownKid"/>: no revoked key has that name; <see cref="Reason.TokenSignatureInvalid"/>.</exception>
    public static VerifiedToken VerifyRevoked(ParsedToken token, VerificationKeySet keys)
    {
        if (token.KeyId is not { } keyId || keys.Find(keyId) is not { IsRevoked: true } key) throw new Refusal(Reason.TokenUnknownKid);
        return key.Verify(token.SigningInput, token.Signature) ? new VerifiedToken(token, key, KidSource.Header) : throw new Refusal(Reason.TokenSignatureInvalid);
    }

    /// <summary>
    /// Everything <see cref="Verify"/> does but the signature, for a token verified before and kept: time moves on, and keys
    /// expire. The same bytes under the same public key need no second look at their signature.
    /// </summary>
    /// <param name="current">The token with its key as it stands now.</param>
    /// <returns>False: what was verified says nothing any more, because the key of that name is another one or is not accepted
    /// while the token names none; it has to be verified from the start.</returns>
    /// <exception cref="Refusal">As of <see cref="Verify"/>, but for the signature.</exception>
    internal static bool TryRecheck(VerifiedToken token, VerificationKeySet keys, DateTimeOffset now, out VerifiedToken current)
    {
        current = token;
        RequireCurrent(token.Claims, now);
        if (keys.IsEmpty) throw new Refusal(Reason.SigningNotConfigured);
        var key = token.KidSource == KidSource.Header ? RequireKnown(token.KeyId, keys, now) : keys.Find(token.KeyId);
        // A key id is 8 bytes of a hash: two keys that share one can be made, and must not share what was verified.
        if (key is null || !key.IsAcceptedAt(now) || !key.PublicKey.SequenceEqual(token.Key.PublicKey)) return false;
        current = token.With(key);
        return true;
    }

    /// <summary>Not expired, without leeway; and not from a future that differing clocks do not explain.</summary>
    /// <exception cref="Refusal"><see cref="Reason.TokenExpired"/> or <see cref="Reason.TokenIssuedInFuture"/>.</exception>
    public static void RequireCurrent(TokenClaims claims, DateTimeOffset now)
    {
        var seconds = now.ToUnixTimeSeconds();
        if (claims.ExpiresAt <= seconds) throw new Refusal(Reason.TokenExpired);
        if (claims.IssuedAt - seconds > TokenLimits.MaxIssuedAheadSeconds) throw new Refusal(Reason.TokenIssuedInFuture);
    }

    /// <summary>A key whose tokens are accepted, or one that was revoked: that is told of what it signed, not of every text that names it.</summary>
    private static VerificationKey RequireKnown(KeyId? keyId, VerificationKeySet keys, DateTimeOffset now)
    {
        var key = keyId is { } known ? keys.Find(known) : null;
        if (key is null) throw new Refusal(Reason.TokenUnknownKid);
        return key.IsAcceptedAt(now) || key.IsRevoked ? key : throw new Refusal(Reason.TokenKidExpired);
    }

    private static VerifiedToken Recover(ParsedToken token, VerificationKeySet keys, DateTimeOffset now)
    {
        foreach (var key in keys.AcceptedAt(now))
        {
            if (key.Verify(token.SigningInput, token.Signature)) return new VerifiedToken(token, key, KidSource.Recovered);
        }
        throw new Refusal(Reason.TokenSignatureInvalid);
    }
}
