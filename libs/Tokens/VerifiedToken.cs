namespace ClawBureau.Tokens;

/// <summary>How the key that verified a token was found; the contract's <c>kid_source</c>.</summary>
public enum KidSource
{
    /// <summary>The header named it: <c>header</c>.</summary>
    Header = 0,

    /// <summary>The header named none, and of all accepted keys this one fits: <c>recovered</c>.</summary>
    Recovered = 1,
}

/// <summary>
/// A token that one of our keys signed and that had not expired when it was judged. It may be revoked all the same. Prints as
/// its hash.
/// </summary>
public sealed class VerifiedToken
{
    private volatile object? _derived;

    internal VerifiedToken(ParsedToken token, VerificationKey key, KidSource kidSource)
    {
        TokenHash = token.TokenHash;
        Claims = token.Claims;
        Key = key;
        KidSource = kidSource;
    }

    private VerifiedToken(VerifiedToken other, VerificationKey key)
    {
        TokenHash = other.TokenHash;
        Claims = other.Claims;
        Key = key;
        KidSource = other.KidSource;
    }

    public TokenHash TokenHash { get; }

    public TokenClaims Claims { get; }

    /// <summary>The key as it stood in the set it was verified with.</summary>
    public VerificationKey Key { get; }

    public KeyId KeyId => Key.KeyId;

    public KidSource KidSource { get; }

    /// <summary>Its key never signed here: it introspects as such and authorises nothing of ours.</summary>
    public bool IsForeign => Key.IsForeign;

    /// <summary>
    /// Something made of the token once and kept as long as it is, such as its wire form: the token does not change. Made twice by
    /// two callers at one time, either may be kept.
    /// </summary>
    /// <param name="make">From the token alone.</param>
    public T Derive<T>(Func<VerifiedToken, T> make)
        where T : class
    {
        if (_derived is T kept) return kept;
        var made = make(this);
        _derived = made;
        return made;
    }

    internal VerifiedToken With(VerificationKey key) => ReferenceEquals(key, Key) ? this : new VerifiedToken(this, key);

    public override string ToString() => TokenHash.ToString();
}
