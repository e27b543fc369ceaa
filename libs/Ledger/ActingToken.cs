using ClawBureau.Tokens;

namespace ClawBureau.Ledger;

/// <summary>
/// The token a caller authenticated with: an act of its holder is recorded only if the token is still good when it is, by the
/// ledger's own rows and under its lock.
/// </summary>
/// <param name="TokenHash">Its hash.</param>
/// <param name="Jti">Its jti; null where it has none.</param>
/// <param name="IssuedAt">Its iat, epoch seconds: what the cuts of its groups are compared with.</param>
/// <param name="KeyId">The key that signed it.</param>
/// <param name="Groups">Every group it belongs to.</param>
public sealed record ActingToken(TokenHash TokenHash, string? Jti, long IssuedAt, KeyId KeyId, IReadOnlyList<GroupKey> Groups)
{
    /// <summary>Which acts must not stand in one batch with an act of this token: those that take it back.</summary>
    internal IEnumerable<string> TakenBackBy
    {
        get
        {
            yield return "token " + TokenHash;
            if (Jti is not null) yield return "jti " + Jti;
            foreach (var group in Groups) yield return Act.GroupConflictKey(group);
            yield return "key " + KeyId;
        }
    }
}
