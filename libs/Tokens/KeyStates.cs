namespace ClawBureau.Tokens;

/// <summary>
/// All keys of an issuer at one moment of the ledger, and what may come next. At most one key is active. Whatever changes them
/// is worked out here, from nothing but the states and the time, and recorded by the ledger only while the states it was worked
/// out from still stand. Immutable.
/// </summary>
public sealed class KeyStates
{
    public static readonly KeyStates None = new([]);

    /// <summary>The life of an activation's cut-off beyond the longest token known, in seconds: for what is issued until it is recorded.</summary>
    public const long IssuedMeanwhile = 10;

    /// <param name="keys">In any order.</param>
    public KeyStates(IEnumerable<KeyEntry> keys) => Keys =
    [
        .. keys.OrderBy(key => key.State switch { KeyState.Active => 0, KeyState.Retired => 3, _ => key.CanSign ? 1 : 2 })
            .ThenBy(key => key.Place).ThenBy(key => key.PublishedAt ?? long.MaxValue).ThenBy(key => key.KeyId.ToString(), StringComparer.Ordinal),
    ];

    /// <summary>In the order of the JWKS: the active key, others that can sign, verify-only ones; then those that are retired.</summary>
    public IReadOnlyList<KeyEntry> Keys { get; }

    /// <summary>The key that signs; null: none does.</summary>
    public KeyEntry? Active => Keys.FirstOrDefault(key => key.State == KeyState.Active);

    /// <summary>The one that becomes active next: whose rotation has begun, else the one published first.</summary>
    public KeyEntry? Next => Keys.Where(key => key.State == KeyState.Next)
        .OrderBy(key => key.ActivatesAt ?? long.MaxValue).ThenBy(key => key.PublishedAt ?? long.MaxValue).FirstOrDefault();

    public KeyEntry? Find(KeyId keyId) => Keys.FirstOrDefault(key => key.KeyId == keyId);

    /// <summary>What is verified with: every key that is not retired, and as many of those retired last as the bound leaves room for.</summary>
    public VerificationKeySet ToVerificationKeys()
    {
        var living = Keys.Where(key => key.State != KeyState.Retired).ToList();
        var retired = Keys.Where(key => key.State == KeyState.Retired).OrderByDescending(key => key.PublishedAt).Take(Math.Max(0, TokenLimits.MaxKeys - living.Count));
        return new VerificationKeySet(living.Concat(retired).Select(VerificationKey.Of));
    }

    /// <exception cref="Refusal">SIGNING_NOT_CONFIGURED: no key is active.</exception>
    public RotationContract ContractAt(long overlapSeconds, DateTimeOffset now)
    {
        var active = Active ?? throw new Refusal(Reason.SigningNotConfigured);
        var signing = Keys.Where(key => key.CanSign && key.State != KeyState.Retired && key != active).Select(key => key.KeyId).Prepend(active.KeyId);
        return RotationContract.Of(ToVerificationKeys(), [.. signing], overlapSeconds, now);
    }

    /// <summary>These states after the changes.</summary>
    public KeyStates With(IEnumerable<KeyEntry> changes)
    {
        var byId = Keys.ToDictionary(key => key.KeyId);
        foreach (var change in changes) byId[change.KeyId] = change;
        return new KeyStates(byId.Values);
    }

    /// <summary>
    /// What a configuration says: its first signing key is active, and whatever else was is not. A retired key is never brought
    /// back.
    /// </summary>
    /// <param name="ring">As configured.</param>
    /// <param name="cutOff">Until when a key is accepted that signed so far and that the configuration does not name.</param>
    /// <returns>The changes; none when the states say so already.</returns>
    public IReadOnlyList<KeyEntry> Configured(KeyRing ring, long cutOff)
    {
        var named = new List<KeyEntry>();
        foreach (var (place, key) in ring.VerificationKeys.Keys.Index())
        {
            bool signs = key.KeyId == ring.Active.KeyId, held = ring.FindSigningKey(key.KeyId) is not null;
            var stated = KeyEntry.Of(key, signs ? KeyState.Active : KeyState.VerifyOnly);
            named.Add(stated with
            {
                CanSign = held,
                Place = place,
                // A verify-only key that never signed here is foreign; one that did stays ours.
                IsForeign = !signs && (Find(key.KeyId)?.IsForeign ?? !held),
            });
        }
        var replaced = Keys.Where(key => key.State == KeyState.Active && named.TrueForAll(n => n.KeyId != key.KeyId)).Select(key => Replaced(key, cutOff));
        return Changes(named.Concat(replaced));
    }

    /// <summary>Verify-only keys of a configuration beside a key folder.</summary>
    /// <returns>The changes.</returns>
    public IReadOnlyList<KeyEntry> Foreign(IReadOnlyList<VerificationKey> verifyOnly) => Changes(verifyOnly.Index().Select(key => Find(key.Item.KeyId) is { IsForeign: false } ours
        // A copy of a key that signs, or signed, here gives it the cut-off it names, never a later one.
        ? ours with { NotAfter = Earlier(ours.NotAfter, key.Item.NotAfter) }
        : KeyEntry.Of(key.Item, KeyState.VerifyOnly) with { IsForeign = true, Place = key.Index }));

    /// <summary>Keys whose seeds appeared: each is next, but for the first of all, which signs at once, since nobody has a JWKS without it.</summary>
    /// <param name="found">The one to begin with first.</param>
    /// <returns>The changes.</returns>
    public IReadOnlyList<KeyEntry> Found(IEnumerable<VerificationKey> found)
    {
        bool isFirst = !Keys.Any(key => key.CanSign || key.State == KeyState.Active || !key.IsForeign);
        var changes = new List<KeyEntry>();
        foreach (var key in found.Where(key => Find(key.KeyId) is null))
        {
            changes.Add(KeyEntry.Of(key, isFirst ? KeyState.Active : KeyState.Next));
            isFirst = false;
        }
        return changes;
    }

    /// <summary>Begins a rotation to a key, or hurries one that has begun.</summary>
    /// <param name="to">A key of state next, or one that was never stated.</param>
    /// <param name="activatesAt">When it becomes active.</param>
    /// <param name="overlap">How long the active key is accepted after that, in seconds; null: as long as it must be.</param>
    public IReadOnlyList<KeyEntry> Rotating(KeyEntry to, long activatesAt, long? overlap) =>
        Changes([to with { State = KeyState.Next, CanSign = true, ActivatesAt = activatesAt, Overlap = overlap }]);

    /// <summary>What time has brought about: a next key that is active now, the one it replaces, keys past their cut-off.</summary>
    /// <param name="now">Epoch seconds.</param>
    /// <param name="cutOff">Until when a replaced key is accepted, where its rotation did not say.</param>
    /// <param name="isHeld">Whether whoever asks holds a key's private part: nobody activates what he could not sign with.</param>
    /// <returns>The changes; none when nothing is due.</returns>
    public IReadOnlyList<KeyEntry> Due(long now, long cutOff, Func<KeyId, bool> isHeld)
    {
        var changes = new List<KeyEntry>();
        if (Next is { } next && next.ActivatesAt <= now && isHeld(next.KeyId))
        {
            changes.Add(Activated(next));
            if (Active is { } active) changes.Add(Replaced(active, next.Overlap is { } said ? now + said : cutOff));
        }
        changes.AddRange(Keys.Where(key => key.State == KeyState.VerifyOnly && key.NotAfter < now).Select(key => key with { State = KeyState.Retired, CanSign = false }));
        return changes;
    }

    /// <summary>Retires a key whose tokens are revoked. Where it was the active one, the next key takes its place at once.</summary>
    /// <param name="isHeld">As of <see cref="Due"/>.</param>
    /// <exception cref="Refusal">KEY_NOT_FOUND; KEY_STATE_CONFLICT: nothing could sign afterwards, and <paramref name="allowLast"/> does not say that this is meant.</exception>
    public IReadOnlyList<KeyEntry> Revoked(KeyId keyId, bool allowLast, Func<KeyId, bool> isHeld)
    {
        var key = Find(keyId) ?? throw new Refusal(Reason.KeyNotFound);
        var revoked = key with { State = KeyState.Retired, CanSign = false, IsRevoked = true, ActivatesAt = null, Overlap = null };
        if (key.State != KeyState.Active) return [revoked];
        if (Next is { } next && isHeld(next.KeyId)) return [revoked, Activated(next)];
        return allowLast
            ? [revoked]
            : throw new Refusal(Reason.KeyStateConflict, "It is the only key that signs: rotate first, or say that nothing shall sign afterwards");
    }

    /// <summary>Until when a key must be accepted that stops signing now, so that every token it signed lives to its end.</summary>
    public static long CutOff(long now, long longestExp, long leastOverlap) => Math.Max(now + leastOverlap, longestExp + IssuedMeanwhile);

    private static KeyEntry Activated(KeyEntry next) => next with { State = KeyState.Active, CanSign = true, IsForeign = false, ActivatesAt = null, Overlap = null };

    private static KeyEntry Replaced(KeyEntry active, long cutOff) =>
        active with { State = KeyState.VerifyOnly, CanSign = false, NotAfter = Earlier(active.NotAfter, cutOff) };

    private static long? Earlier(long? a, long? b) => a is null || b < a ? b ?? a : a;

    private List<KeyEntry> Changes(IEnumerable<KeyEntry> stated) =>
        [.. stated.Where(key => Find(key.KeyId) is not { } known || (known.State != KeyState.Retired && !key.SaysTheSameAs(known)))];
}
