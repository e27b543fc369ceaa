using System.Collections.Concurrent;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>Why a token is dead.</summary>
/// <param name="Group">The kind of group whose block or cut it is; null when the token itself was revoked.</param>
public sealed record Death(DateTimeOffset Since, RevocationKind? Group);

/// <summary>
/// Everything that is dead, in memory. Entries only come or are replaced by newer ones, so a reader that starts after a row
/// was applied sees it; no lock is needed. Written by <see cref="LedgerFollower"/> alone.
/// </summary>
public sealed class LiveSet
{
    private static readonly TimeSpan KeptBeyondExpiry = TimeSpan.FromHours(24);
    private readonly ConcurrentDictionary<TokenHash, RevocationRow> _byHash = new();
    private readonly ConcurrentDictionary<string, RevocationRow> _byJti = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<GroupKey, RevocationRow> _groups = new();

    /// <summary>Entries held.</summary>
    public int Count => Math.Max(_byHash.Count, _byJti.Count) + _groups.Count;

    /// <summary>Null: nothing revoked stands against the token.</summary>
    public Death? Find(TokenHash hash, TokenClaims claims, KeyId signedBy)
    {
        if (_byHash.TryGetValue(hash, out var row) || (claims.Jti is { } jti && _byJti.TryGetValue(jti, out row))) return new Death(row.RevokedAt, null);
        if (_groups.IsEmpty) return null;
        foreach (var group in TokenGroups.Of(claims, signedBy))
        {
            if (_groups.TryGetValue(group, out var state) && (state.Blocked || claims.IssuedAt <= state.Cut))
                return new Death(state.RevokedAt, group.Kind);
        }
        return null;
    }

    public void Apply(RevocationRow row)
    {
        if (row.Group is { } group) _groups.AddOrUpdate(group, row, (_, old) => old.RevocationSeq < row.RevocationSeq ? row : old);
        if (row.TokenHash is { } hash) _byHash.TryAdd(hash, row);
        if (row.Jti is { } jti) _byJti.TryAdd(jti, row);
    }

    /// <summary>Forgets tokens that expired more than 24 h ago: no verifier takes them for good however its clock is off.</summary>
    public void DropExpired(DateTimeOffset now)
    {
        foreach (var (hash, row) in _byHash)
            if (row.ExpiresAt + KeptBeyondExpiry < now) _byHash.TryRemove(hash, out _);
        foreach (var (jti, row) in _byJti)
            if (row.ExpiresAt + KeptBeyondExpiry < now) _byJti.TryRemove(jti, out _);
    }
}
