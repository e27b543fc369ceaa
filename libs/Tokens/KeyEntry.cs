namespace ClawBureau.Tokens;

/// <summary>A key and where it stands, as the ledger states it. Immutable, like the public key in it. Times are epoch seconds.</summary>
public sealed record KeyEntry
{
    public required KeyId KeyId { get; init; }

    /// <summary>Raw Ed25519 public key, 32 bytes; nobody changes them.</summary>
    public required byte[] PublicKey { get; init; }

    public required KeyState State { get; init; }

    /// <summary>The last second in which its tokens are accepted; null: no end is fixed.</summary>
    public long? NotAfter { get; init; }

    /// <summary>Verify-only and never signed here.</summary>
    public bool IsForeign { get; init; }

    /// <summary>An issuer holds the private part and may come to sign with it: the contract's <c>signing_kids</c>.</summary>
    public bool CanSign { get; init; }

    /// <summary>Retired because it may be known to others: every token it signed is revoked.</summary>
    public bool IsRevoked { get; init; }

    /// <summary>When the ledger first recorded it; null before that.</summary>
    public long? PublishedAt { get; init; }

    /// <summary>A next key whose rotation has begun: when it becomes active.</summary>
    public long? ActivatesAt { get; init; }

    /// <summary>A next key whose rotation has begun: for how long, in seconds, the active key is accepted after it; null: as long as it must be.</summary>
    public long? Overlap { get; init; }

    /// <summary>Its place in the configuration that named it, which is its place in the JWKS among its like.</summary>
    public int Place { get; init; }

    /// <inheritdoc cref="VerificationKey.IsAcceptedAt"/>
    public bool IsAcceptedAt(long now) => State != KeyState.Retired && !(NotAfter < now);

    public static KeyEntry Of(VerificationKey key, KeyState state) => new()
    {
        KeyId = key.KeyId,
        PublicKey = key.PublicKey.ToArray(),
        State = state,
        NotAfter = key.NotAfter,
        CanSign = state is KeyState.Next or KeyState.Active,
    };

    /// <summary>True where the ledger would have nothing new to record.</summary>
    public bool SaysTheSameAs(KeyEntry other) => (this with { PublicKey = other.PublicKey, PublishedAt = other.PublishedAt }) == other;

    public override string ToString() => $"{KeyId} {State.ToText()}";
}
