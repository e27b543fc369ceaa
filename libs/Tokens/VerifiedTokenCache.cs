using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// Verifies tokens and remembers which signatures were good, so that the same text is not checked twice. It answers exactly as
/// <see cref="TokenParser"/> and <see cref="JwsVerifier"/> do: on a hit only parsing and the signature are left out, while
/// expiry and the key, as the set that is passed has it now, are judged at every use. Nothing can be taken out of it in another
/// way, it knows nothing of revocation, and refusals are not kept. Safe for concurrent use; a hit takes no lock and allocates
/// nothing.
/// </summary>
/// <param name="maxTokens">Tokens held at most. 65,536.</param>
/// <param name="maxBytes">Memory held at most, by an estimate that is never too low. 64 MiB.</param>
public sealed class VerifiedTokenCache(int maxTokens = 65_536, long maxBytes = 64 << 20)
{
    // Claims, key reference, dictionary node, ring slot, and the headers of up to 25 strings.
    private const int FixedCost = 2048;

    // Most hits end here, without a hash over the whole text: entries by the hash code, seeded per process, of their last characters,
    // which are the signature's. It only says where to look; the whole text is compared. Of two with one code the later
    // stays out, and is looked for by its hash.
    private const int TailLength = 32;
    private readonly ConcurrentDictionary<int, Entry> _byTail = new();
    private readonly ConcurrentDictionary<TokenHash, Entry> _byHash = new();
    private readonly Lock _lock = new();
    private readonly List<Entry> _ring = [];        // locked: every entry of _byHash, in no order that matters
    private int _hand;                              // locked: where the search for one to forget goes on
    private long _bytes;                            // written under the lock
    private long _misses;

    /// <summary>Tokens held.</summary>
    public int Count => _byHash.Count;

    /// <summary>Memory held, estimated.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Calls that had to verify from the start, with whatever result.</summary>
    public long Misses => Volatile.Read(ref _misses);

    /// <summary>
    /// The token, judged by form, claims, expiry, key and signature as of now. It may be revoked all the same: ask that
    /// afterwards, at every use.
    /// </summary>
    /// <param name="compact">The token and nothing else.</param>
    /// <param name="keys">Every key that is known at this moment; never one that was kept from an earlier call.</param>
    /// <param name="now">The caller's clock.</param>
    /// <exception cref="Refusal">As of <see cref="TokenParser.Parse(string)"/> and <see cref="JwsVerifier.Verify"/>.</exception>
    public VerifiedToken Verify(string compact, VerificationKeySet keys, DateTimeOffset now) =>
        TryVerify(compact, keys, now, out var verified, out var fault) ? verified : throw fault.ToRefusal();

    /// <inheritdoc cref="Verify(string, VerificationKeySet, DateTimeOffset)"/>
    public VerifiedToken Verify(ReadOnlySpan<byte> compact, VerificationKeySet keys, DateTimeOffset now) =>
        TryVerify(compact, keys, now, out var verified, out var fault) ? verified : throw fault.ToRefusal();

    /// <summary>As <see cref="Verify(string, VerificationKeySet, DateTimeOffset)"/>, but what is wrong is an answer. Throws nothing.</summary>
    public bool TryVerify(
        string compact, VerificationKeySet keys, DateTimeOffset now, [NotNullWhen(true)] out VerifiedToken? verified, [NotNullWhen(false)] out TokenFault? fault)
    {
        ArgumentNullException.ThrowIfNull(compact);
        if (MayHold(compact.Length) && _byTail.TryGetValue(TailOf(compact), out var likely))
        {
            if (!likely.Is(compact)) _byHash.TryGetValue(TokenHash.Of(compact), out likely);
            if (likely is not null && TryUse(likely, keys, now, out verified, out fault)) return verified is not null;
        }
        verified = null;
        return TokenParser.TryParse(compact, out var parsed, out fault) && TryVerifyAnew(parsed, keys, now, out verified, out fault);
    }

    /// <inheritdoc cref="TryVerify(string, VerificationKeySet, DateTimeOffset, out VerifiedToken?, out TokenFault?)"/>
    public bool TryVerify(
        ReadOnlySpan<byte> compact, VerificationKeySet keys, DateTimeOffset now, [NotNullWhen(true)] out VerifiedToken? verified, [NotNullWhen(false)] out TokenFault? fault)
    {
        if (MayHold(compact.Length) && _byTail.TryGetValue(TailOf(compact), out var likely))
        {
            if (!likely.Is(compact)) _byHash.TryGetValue(TokenHash.Of(compact), out likely);
            if (likely is not null && TryUse(likely, keys, now, out verified, out fault)) return verified is not null;
        }
        verified = null;
        return TokenParser.TryParse(compact, out var parsed, out fault) && TryVerifyAnew(parsed, keys, now, out verified, out fault);
    }

    private static bool MayHold(int length) => length is > TailLength and <= TokenLimits.MaxTokenBytes;

    /// <returns>False: it has to be verified from the start.</returns>
    private static bool TryUse(Entry entry, VerificationKeySet keys, DateTimeOffset now, out VerifiedToken? verified, out TokenFault? fault)
    {
        if (!JwsVerifier.TryRecheck(entry.Token, keys, now, out verified, out fault)) return false;
        if (verified is not null) entry.Use(verified);
        return true;
    }

    private bool TryVerifyAnew(
        ParsedToken parsed, VerificationKeySet keys, DateTimeOffset now, [NotNullWhen(true)] out VerifiedToken? verified, [NotNullWhen(false)] out TokenFault? fault)
    {
        Interlocked.Increment(ref _misses);
        if (!JwsVerifier.TryVerify(parsed, keys, now, out verified, out fault)) return false;
        Keep(new Entry(verified, parsed.Compact, CostOf(parsed)));
        return true;
    }

    private void Keep(Entry entry)
    {
        if (entry.Cost > maxBytes || maxTokens < 1) return;
        lock (_lock)
        {
            if (_byHash.TryGetValue(entry.Token.TokenHash, out var present))
            {
                present.Token = entry.Token;        // verified once more, under a newer key perhaps
                _byTail.TryAdd(TailOf(present.Compact), present);   // the one that had the place may be gone
                return;
            }
            while (_ring.Count >= maxTokens || _bytes + entry.Cost > maxBytes) ForgetOne();
            _ring.Add(entry);
            _byHash[entry.Token.TokenHash] = entry;
            _byTail.TryAdd(TailOf(entry.Compact), entry);
            Volatile.Write(ref _bytes, _bytes + entry.Cost);
        }
    }

    /// <summary>Second chance: of the tokens not used since the hand last passed, the next one. A flood of tokens used once pushes itself out.</summary>
    private void ForgetOne()
    {
        while (true)
        {
            if (_hand >= _ring.Count) _hand = 0;
            var entry = _ring[_hand];
            if (entry.Used)
            {
                entry.Used = false;
                _hand++;
                continue;
            }
            _ring[_hand] = _ring[^1];
            _ring.RemoveAt(_ring.Count - 1);
            _hand++;
            _byHash.TryRemove(entry.Token.TokenHash, out _);
            _byTail.TryRemove(KeyValuePair.Create(TailOf(entry.Compact), entry));
            Volatile.Write(ref _bytes, _bytes - entry.Cost);
            return;
        }
    }

    private static int TailOf(string compact) => string.GetHashCode(compact.AsSpan(compact.Length - TailLength));

    private static int TailOf(ReadOnlySpan<byte> compact)
    {
        Span<char> tail = stackalloc char[TailLength];
        Ascii.ToUtf16(compact[^TailLength..], tail, out var written);   // what is not ASCII is not kept either, wherever it is looked for
        return string.GetHashCode(tail[..written]);
    }

    /// <summary>
    /// Text is at most as many UTF-16 units as the payload has bytes, and may be kept once more in a form derived from it; each item of a
    /// list is a string of its own and two references.
    /// </summary>
    private static int CostOf(ParsedToken token)
    {
        const int perItem = 48;
        var items = token.Claims.Audience.Values.Count + token.Claims.Scope.Count;
        return FixedCost + token.Compact.Length + 3 * Base64UrlText.DecodedLength(token.SigningInput.Length) + perItem * items;
    }

    /// <param name="compact">The text, ASCII; longer than its signature.</param>
    /// <param name="cost">Bytes, estimated.</param>
    private sealed class Entry(VerifiedToken token, byte[] compact, int cost)
    {
        private volatile VerifiedToken _token = token;
        private volatile bool _used;

        /// <summary>Replaced by the same token under a key that changed its state; by whom first does not matter.</summary>
        internal VerifiedToken Token
        {
            get => _token;
            set => _token = value;
        }

        internal int Cost { get; } = cost;

        internal byte[] Compact { get; } = compact;

        internal bool Is(string text) => text.Length == Compact.Length && Ascii.Equals(Compact, text);

        internal bool Is(ReadOnlySpan<byte> text) => text.SequenceEqual(Compact);

        internal void Use(VerifiedToken current)
        {
            if (!ReferenceEquals(current, _token)) _token = current;
            if (!_used) _used = true;
        }

        /// <summary>Set by a hit, taken back by the hand.</summary>
        internal bool Used
        {
            get => _used;
            set => _used = value;
        }
    }
}
