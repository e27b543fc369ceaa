using System.Collections.Frozen;

namespace ClawBureau.Tokens;

/// <summary>
/// The keys a process verifies with, at one moment: immutable, replaced as a whole when a key changes. Order is kept; it is
/// the order in which a token without a kid tries them.
/// </summary>
public sealed class VerificationKeySet
{
    public static readonly VerificationKeySet Empty = new([]);

    private readonly FrozenDictionary<KeyId, VerificationKey> _byId;

    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>: a kid stands twice, or more than
    /// <see cref="TokenLimits.MaxKeys"/> keys.</exception>
    public VerificationKeySet(IEnumerable<VerificationKey> keys)
    {
        Keys = [.. keys];
        if (Keys.Count > TokenLimits.MaxKeys || Keys.DistinctBy(key => key.KeyId).Count() != Keys.Count)
            throw new Refusal(Reason.SigningConfigInvalid);
        _byId = Keys.ToFrozenDictionary(key => key.KeyId);
    }

    /// <summary>Every key, retired ones too.</summary>
    public IReadOnlyList<VerificationKey> Keys { get; }

    public bool IsEmpty => Keys.Count == 0;

    /// <summary>A set as the ledger or a feed tells it; the kid must be the key's own.</summary>
    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>: a kid that is not its key's, an unusable key, a
    /// duplicate, too many.</exception>
    public static VerificationKeySet From(
        IEnumerable<(KeyId KeyId, byte[] PublicKey, KeyState State, long? NotAfter, bool IsForeign)> keys) =>
        new(keys.Select(key =>
        {
            var loaded = new VerificationKey(key.PublicKey, key.State, key.NotAfter, key.IsForeign);
            return loaded.KeyId == key.KeyId ? loaded : throw new Refusal(Reason.SigningConfigInvalid);
        }));

    /// <summary>The key of that id, accepted or not; null if it is unknown.</summary>
    public VerificationKey? Find(KeyId keyId) => _byId.GetValueOrDefault(keyId);

    /// <summary>The keys whose tokens are accepted at that second: what JWKS and <c>accepted_kids</c> list.</summary>
    public IEnumerable<VerificationKey> AcceptedAt(DateTimeOffset now) => Keys.Where(key => key.IsAcceptedAt(now));
}
