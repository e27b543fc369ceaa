namespace ClawBureau.Tokens;

/// <summary>
/// Everything that is dead, in memory: what an Introspector or a follower asks about every token. Entries may come in any
/// order and more than once; the numbers they carry decide, not their arrival.
/// <para>
/// Any number of readers, no locks: an entry is written before its place in an index is, and never changed afterwards; a newer
/// state of a group is a new entry. Whoever reads after <see cref="Apply"/> returned sees what it applied.
/// </para>
/// </summary>
public sealed class RevocationSet
{
    // No verifier takes a token for good 24 h after its expiry, however its clock is off.
    private static readonly TimeSpan KeptBeyondExpiry = TimeSpan.FromHours(24);

    private readonly Lock _writing = new();
    private volatile RevocationTable _table = new();

    /// <summary>Entries that hold: tokens, and groups as they stand.</summary>
    public int Count => _table.Live;

    /// <summary>Bytes taken, all indexes included.</summary>
    public long MemoryBytes => _table.MemoryBytes;

    /// <summary>Whether something stands against a token, by its own names first, then by its groups.</summary>
    /// <param name="hash">Hash of its compact text.</param>
    /// <param name="claims">Its claims.</param>
    /// <param name="signedBy">The key that verified it.</param>
    /// <returns>Null: nothing does.</returns>
    public Death? Find(TokenHash hash, TokenClaims claims, KeyId signedBy)
    {
        var table = _table;
        return table.FindToken(hash, claims.Jti) ?? table.FindGroup(claims, signedBy);
    }

    /// <inheritdoc cref="Find(TokenHash, TokenClaims, KeyId)"/>
    public Death? Find(VerifiedToken token) => Find(token.TokenHash, token.Claims, token.KeyId);

    /// <summary>Makes an entry hold. One that says nothing new changes nothing.</summary>
    public void Apply(RevocationEntry entry)
    {
        lock (_writing) _table.Apply(entry);
    }

    /// <summary>
    /// Begins anew with these entries: a snapshot. Readers see all of what was before until they see all of what is now.
    /// </summary>
    public void Replace(IEnumerable<RevocationEntry> entries)
    {
        lock (_writing)
        {
            var table = new RevocationTable();
            foreach (var entry in entries) table.Apply(entry);
            _table = table;
        }
    }

    /// <summary>The same with a set that was built meanwhile, and which nobody writes to any more.</summary>
    public void Become(RevocationSet fresh)
    {
        lock (_writing) _table = fresh._table;
    }

    /// <summary>
    /// Forgets tokens that expired more than 24 h ago. What nobody asks about any more may stay until it is an eighth of the
    /// whole: forgetting copies what is kept.
    /// </summary>
    /// <param name="now">A time that does not go backwards: who saw a later one before must begin with a snapshot instead.</param>
    /// <returns>How many entries less there are now.</returns>
    public int DropExpired(DateTimeOffset now)
    {
        uint oldest = RevocationTable.ToSeconds(now - KeptBeyondExpiry);
        lock (_writing)
        {
            var table = _table;
            int unneeded = table.CountUnneeded(oldest);
            if (unneeded == 0 || unneeded < table.Count / 8) return 0;
            _table = table.WithoutUnneeded(oldest);
            return table.Live - _table.Live;
        }
    }

    /// <summary>
    /// Everything that holds, by ascending revocation_seq. It holds at least what was applied when the enumeration began;
    /// what is applied meanwhile does not disturb it.
    /// </summary>
    public IEnumerable<RevocationEntry> ReadAll() => _table.ReadAll();
}
