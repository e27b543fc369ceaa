using System.Diagnostics.CodeAnalysis;

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
    public static VerifiedToken Verify(ParsedToken token, VerificationKeySet keys, DateTimeOffset now) =>
        TryVerify(token, keys, now, out var verified, out var fault) ? verified : throw fault.ToRefusal();

    /// <summary>As <see cref="Verify"/>, but what is wrong is an answer. Throws nothing.</summary>
    public static bool TryVerify(
        ParsedToken token, VerificationKeySet keys, DateTimeOffset now, [NotNullWhen(true)] out VerifiedToken? verified, [NotNullWhen(false)] out TokenFault? fault)
    {
        verified = null;
        fault = FindUncurrent(token.Claims, now);
        if (fault is not null) return false;
        if (keys.IsEmpty) fault = TokenFault.NoKeys;
        else if (!token.HasKid) fault = Recover(token, keys, now, out verified);
        else fault = FindKey(token.KeyId, keys, now, out var key) ?? VerifyWith(key!, token, out verified);
        return verified is not null;
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
    /// <param name="current">The token with its key as it stands now; null where there is a fault.</param>
    /// <param name="fault">As of <see cref="Verify"/>, but for the signature.</param>
    /// <returns>False: what was verified says nothing any more, because the key of that name is another one or is not accepted
    /// while the token names none; it has to be verified from the start.</returns>
    internal static bool TryRecheck(VerifiedToken token, VerificationKeySet keys, DateTimeOffset now, out VerifiedToken? current, out TokenFault? fault)
    {
        current = null;
        fault = FindUncurrent(token.Claims, now);
        if (fault is null && keys.IsEmpty) fault = TokenFault.NoKeys;
        if (fault is not null) return true;
        VerificationKey? key;
        if (token.KidSource == KidSource.Recovered) key = keys.Find(token.KeyId);
        else if ((fault = FindKey(token.KeyId, keys, now, out key)) is not null) return true;
        // A key id is 8 bytes of a hash: two keys that share one can be made, and must not share what was verified.
        if (key is null || !key.IsAcceptedAt(now) || !key.PublicKey.SequenceEqual(token.Key.PublicKey)) return false;
        current = token.With(key);
        return true;
    }

    /// <summary>Not expired, without leeway; and not from a future that differing clocks do not explain.</summary>
    /// <exception cref="Refusal"><see cref="Reason.TokenExpired"/> or <see cref="Reason.TokenIssuedInFuture"/>.</exception>
    public static void RequireCurrent(TokenClaims claims, DateTimeOffset now)
    {
        if (FindUncurrent(claims, now) is { } fault) throw fault.ToRefusal();
    }

    private static TokenFault? FindUncurrent(TokenClaims claims, DateTimeOffset now)
    {
        var seconds = now.ToUnixTimeSeconds();
        if (claims.ExpiresAt <= seconds) return TokenFault.Expired;
        return claims.IssuedAt - seconds > TokenLimits.MaxIssuedAheadSeconds ? TokenFault.IssuedInFuture : null;
    }

    /// <summary>A key whose tokens are accepted, or one that was revoked: that is told of what it signed, not of every text that names it.</summary>
    private static TokenFault? FindKey(KeyId? keyId, VerificationKeySet keys, DateTimeOffset now, out VerificationKey? key)
    {
        key = keyId is { } known ? keys.Find(known) : null;
        if (key is null) return TokenFault.UnknownKid;
        return key.IsAcceptedAt(now) || key.IsRevoked ? null : TokenFault.KidExpired;
    }

    private static TokenFault? VerifyWith(VerificationKey key, ParsedToken token, out VerifiedToken? verified)
    {
        verified = null;
        if (!key.Verify(token.SigningInput, token.Signature)) return TokenFault.SignatureInvalid;
        if (key.IsRevoked) return TokenFault.Revoked;
        verified = new VerifiedToken(token, key, KidSource.Header);
        return null;
    }

    private static TokenFault? Recover(ParsedToken token, VerificationKeySet keys, DateTimeOffset now, out VerifiedToken? verified)
    {
        verified = null;
        foreach (var key in keys.Keys)
        {
            if (!key.IsAcceptedAt(now) || !key.Verify(token.SigningInput, token.Signature)) continue;
            verified = new VerifiedToken(token, key, KidSource.Recovered);
            return null;
        }
        return TokenFault.SignatureInvalid;
    }
}
