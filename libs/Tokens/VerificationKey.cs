namespace ClawBureau.Tokens;

/// <summary>
/// The public half of a key, and until when its tokens are accepted. Immutable; holds no secret.
/// </summary>
public sealed class VerificationKey
{
    private readonly byte[] _publicKey;
    private readonly IEd25519? _ed25519; // null: the one this process uses

    /// <param name="publicKey">32 bytes; copied.</param>
    /// <param name="state">Where the key stands.</param>
    /// <param name="notAfter">Cut-off in epoch seconds, the last second in which its tokens are accepted; null for none.</param>
    /// <param name="isForeign">It never signed here: its tokens introspect as such and authorise nothing of ours.</param>
    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>: not a canonical encoding of a curve point, or one of
    /// small order, under which anybody can sign.</exception>
    public VerificationKey(
        ReadOnlySpan<byte> publicKey, KeyState state = KeyState.VerifyOnly, long? notAfter = null, bool isForeign = false)
    {
        if (!Ed25519Point.IsUsableKey(publicKey)) throw new Refusal(Reason.SigningConfigInvalid);
        _publicKey = publicKey.ToArray();
        KeyId = KeyId.Of(publicKey);
        State = state;
        NotAfter = notAfter;
        IsForeign = isForeign;
    }

    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>: not a usable key, or the kid is not its own.</exception>
    public static VerificationKey Of(KeyEntry entry)
    {
        var key = new VerificationKey(entry.PublicKey, entry.State, entry.NotAfter, entry.IsForeign) { IsRevoked = entry.IsRevoked };
        return key.KeyId == entry.KeyId ? key : throw new Refusal(Reason.SigningConfigInvalid);
    }

    private VerificationKey(VerificationKey other, KeyState state, long? notAfter, IEd25519? ed25519)
    {
        _publicKey = other._publicKey;
        _ed25519 = ed25519;
        KeyId = other.KeyId;
        State = state;
        NotAfter = notAfter;
        IsForeign = other.IsForeign;
        IsRevoked = other.IsRevoked;
    }

    public KeyId KeyId { get; }

    /// <summary>32 bytes.</summary>
    public ReadOnlySpan<byte> PublicKey => _publicKey;

    public KeyState State { get; }

    /// <summary>Epoch seconds, inclusive (contract section 3).</summary>
    public long? NotAfter { get; }

    public bool IsForeign { get; }

    /// <summary>Retired because others may know it: whatever it signed is revoked.</summary>
    public bool IsRevoked { get; private init; }

    /// <summary>Accepted for verification at that second: not retired and not past its cut-off.</summary>
    public bool IsAcceptedAt(DateTimeOffset now) =>
        State != KeyState.Retired && !(NotAfter < now.ToUnixTimeSeconds());

    /// <summary>The same key at another point of its life.</summary>
    public VerificationKey With(KeyState state, long? notAfter) => new(this, state, notAfter, _ed25519);

    /// <summary>The same key, its signatures checked by this implementation.</summary>
    internal VerificationKey With(IEd25519 ed25519) => new(this, State, NotAfter, ed25519);

    /// <summary>A pure Ed25519 signature over the message; false for anything wrong.</summary>
    public bool Verify(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature) => _ed25519 is null
        ? Ed25519.Verify(_publicKey, message, signature)
        : _ed25519.Verify(_publicKey, message, signature);

    public override string ToString() => $"{KeyId} {State}";
}
