namespace ClawBureau.Tokens;

/// <summary>
/// What one row of the feed says from now on: a token is dead, or a group stands like this. A row of the ledger, an entry on
/// the wire and an element of a <see cref="RevocationSet"/> all become one.
/// </summary>
public sealed record RevocationEntry
{
    /// <summary>Place in the feed: of two entries about one group, the larger one holds.</summary>
    public required RevocationSeq RevocationSeq { get; init; }

    /// <summary>Place in the ledger.</summary>
    public required Seq Seq { get; init; }

    /// <summary>Database time of the act.</summary>
    public required DateTimeOffset RevokedAt { get; init; }

    /// <summary>For a token: its hash, its jti, or both.</summary>
    public TokenHash? TokenHash { get; init; }
    public string? Jti { get; init; }

    /// <summary>For a token: its exp, or a bound where that is not known. Null: kept for ever.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>For a group, as it stands after the act; null for a token.</summary>
    public GroupKey? Group { get; init; }
    public bool Blocked { get; init; }

    /// <summary>Tokens of the group with iat at or before this are dead, blocked or not; epoch seconds, 0: none.</summary>
    public long Cut { get; init; }
}

/// <summary>Why a token is dead.</summary>
/// <param name="Since">When that was recorded.</param>
/// <param name="Group">The kind of group whose block or cut it is; null when the token itself was revoked.</param>
public sealed record Death(DateTimeOffset Since, RevocationKind? Group);
