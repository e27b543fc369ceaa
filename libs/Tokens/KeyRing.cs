namespace ClawBureau.Tokens;

/// <summary>
/// The keys of an issuer: one signs, others of the signing configuration verify, and verify-only keys verify until their
/// cut-off (contract section 3). Immutable; owns its signing keys and disposes them.
/// </summary>
public sealed class KeyRing : IDisposable
{
    private readonly Dictionary<KeyId, SigningKey> _secrets;

    /// <param name="signing">The active key first; the ring disposes them all.</param>
    /// <param name="verifyOnly">Public keys in order. One that is also a signing key lends it its cut-off: the original
    /// service drops it together with the copy, and the key then never expires (contract section 9, item 9).</param>
    /// <exception cref="Refusal"><see cref="Reason.SigningNotConfigured"/>: no signing key. <see cref="Reason.SigningConfigInvalid"/>:
    /// a signing key twice, or too many keys.</exception>
    public KeyRing(IReadOnlyList<SigningKey> signing, IReadOnlyList<VerificationKey>? verifyOnly = null)
    {
        if (signing.Count == 0) throw new Refusal(Reason.SigningNotConfigured);
        if (signing.DistinctBy(key => key.KeyId).Count() != signing.Count) throw new Refusal(Reason.SigningConfigInvalid);

        _secrets = signing.ToDictionary(key => key.KeyId);
        Active = signing[0];
        var copies = (verifyOnly ?? []).ToLookup(key => key.KeyId);
        SigningKeys =
        [
            .. signing.Select((key, index) => key.VerificationKey.With(
                index == 0 ? KeyState.Active : KeyState.VerifyOnly, EarliestCutOff(copies[key.KeyId]))),
        ];
        VerifyOnlyKeys =
        [
            .. (verifyOnly ?? []).Where(key => !_secrets.ContainsKey(key.KeyId)).DistinctBy(key => key.KeyId)
                .Select(key => key.With(KeyState.VerifyOnly, EarliestCutOff(copies[key.KeyId]))),
        ];
        VerificationKeys = new VerificationKeySet(SigningKeys.Concat(VerifyOnlyKeys));
    }

    /// <summary>The key that signs; ask <see cref="ActiveAt"/> before signing.</summary>
    public SigningKey Active { get; }

    /// <summary>Public halves of the signing configuration, the active one first (the contract's <c>signing_kids</c>).</summary>
    public IReadOnlyList<VerificationKey> SigningKeys { get; }

    /// <summary>Keys of which only the public half is configured (the contract's <c>verify_only_kids</c>).</summary>
    public IReadOnlyList<VerificationKey> VerifyOnlyKeys { get; }

    /// <summary>All of them: signing keys first, then verify-only keys, the order of JWKS.</summary>
    public VerificationKeySet VerificationKeys { get; }

    /// <summary>A ring of seeds read elsewhere, for example from a key folder; the caller zeroes its copies.</summary>
    /// <param name="seeds">32 bytes each, the active key's first.</param>
    /// <param name="verifyOnly">Keys of which there is no seed, or cut-offs for those of which there is one.</param>
    public static KeyRing FromSeeds(IEnumerable<ReadOnlyMemory<byte>> seeds, IReadOnlyList<VerificationKey>? verifyOnly = null)
    {
        var signing = new List<SigningKey>();
        try
        {
            foreach (var seed in seeds) signing.Add(new SigningKey(seed.Span));
            return new KeyRing(signing, verifyOnly);
        }
        catch
        {
            signing.ForEach(key => key.Dispose());
            throw;
        }
    }

    /// <summary>The ring of the runbook's three variables, see <see cref="KeyVariables"/>.</summary>
    /// <param name="variables">Looks a variable up; null if it is not set.</param>
    /// <exception cref="Refusal"><see cref="Reason.SigningNotConfigured"/> or <see cref="Reason.SigningConfigInvalid"/>.</exception>
    public static KeyRing Parse(Func<string, string?> variables) => KeyVariables.Read(variables);

    /// <summary>The verify-only keys of the runbook's variables alone, for an issuer that has its own keys from elsewhere.</summary>
    /// <exception cref="Refusal"><see cref="Reason.SigningConfigInvalid"/>.</exception>
    public static IReadOnlyList<VerificationKey> ParseVerifyOnly(Func<string, string?> variables) => KeyVariables.ReadVerifyOnly(variables);

    /// <summary>The key of that id, accepted or not; null if it is unknown.</summary>
    public VerificationKey? Find(KeyId keyId) => VerificationKeys.Find(keyId);

    /// <summary>The secret half, for repeating a token exactly under the key that first signed it; null if it is not here.</summary>
    public SigningKey? FindSigningKey(KeyId keyId) => _secrets.GetValueOrDefault(keyId);

    /// <inheritdoc cref="VerificationKeySet.AcceptedAt"/>
    public IEnumerable<VerificationKey> AcceptedAt(DateTimeOffset now) => VerificationKeys.AcceptedAt(now);

    /// <summary>The key to sign with now.</summary>
    /// <exception cref="Refusal"><see cref="Reason.SigningKeyNotActive"/>: the active key is past its own cut-off; its tokens would
    /// be refused everywhere.</exception>
    public SigningKey ActiveAt(DateTimeOffset now) =>
        SigningKeys[0].IsAcceptedAt(now) ? Active : throw new Refusal(Reason.SigningKeyNotActive);

    public void Dispose()
    {
        foreach (var key in _secrets.Values) key.Dispose();
    }

    /// <summary>Key ids only.</summary>
    public override string ToString() => string.Join(", ", VerificationKeys.Keys);

    private static long? EarliestCutOff(IEnumerable<VerificationKey> copies) => copies.Min(key => key.NotAfter);
}
