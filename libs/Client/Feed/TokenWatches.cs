using System.Collections.Concurrent;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Feed;

/// <summary>
/// Tells whoever holds something open under a token that the token is dead, at once: a service closes the connection then instead of
/// waiting for the next request.
/// </summary>
public sealed class TokenWatches(RevocationSet revocations)
{
    private readonly ConcurrentDictionary<Watch, bool> _watches = new();

    /// <summary>Watches now.</summary>
    public int Count => _watches.Count;

    /// <summary>
    /// Calls back once, on a thread of the pool, when something stands against the token; also when it already does. Dispose what is
    /// returned when the connection is closed: once that has returned, nobody is called back any more, nor still is.
    /// </summary>
    public IDisposable Add(TokenHash hash, TokenClaims claims, KeyId signedBy, Action<Death> revoked)
    {
        var watch = new Watch(this, hash, claims, signedBy, revoked);
        _watches[watch] = true;
        // Afterwards, so that a revocation which is applied meanwhile finds the watch or is found here.
        watch.Check(revocations);
        return watch;
    }

    internal void Check(IReadOnlyList<RevocationEntry> entries, RevocationSet revocations)
    {
        if (_watches.IsEmpty) return;
        bool hasGroups = entries.Any(entry => entry.Group is not null);
        var hashes = entries.Where(entry => entry.TokenHash is not null).Select(entry => entry.TokenHash!.Value).ToHashSet();
        var jtis = entries.Where(entry => entry.Jti is not null).Select(entry => entry.Jti!).ToHashSet(StringComparer.Ordinal);
        foreach (var (watch, _) in _watches)
        {
            if (hasGroups || hashes.Contains(watch.Hash) || watch.Claims.Jti is { } jti && jtis.Contains(jti)) watch.Check(revocations);
        }
    }

    internal void CheckAll(RevocationSet revocations)
    {
        foreach (var (watch, _) in _watches) watch.Check(revocations);
    }

    private sealed class Watch(TokenWatches watches, TokenHash hash, TokenClaims claims, KeyId signedBy, Action<Death> revoked) : IDisposable
    {
        private readonly Lock _calling = new();
        private int _ended;
        private bool _isDisposed;           // locked

        public TokenHash Hash => hash;

        public TokenClaims Claims => claims;

        public void Check(RevocationSet revocations)
        {
            if (revocations.Find(hash, claims, signedBy) is not { } death || Interlocked.Exchange(ref _ended, 1) != 0) return;
            watches._watches.TryRemove(this, out _);
            ThreadPool.QueueUserWorkItem(_ =>
            {
                // What is to be closed may be closed by now, and its place taken by somebody else's.
                lock (_calling)
                {
                    if (!_isDisposed) revoked(death);
                }
            });
        }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _ended, 1) == 0) watches._watches.TryRemove(this, out _);
            lock (_calling) _isDisposed = true;
        }
    }
}
