using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Reading;

/// <summary>One row of the feed, or of the live set: what is dead since when.</summary>
public sealed record RevocationRow
{
    public required RevocationSeq RevocationSeq { get; init; }
    public required Seq Seq { get; init; }
    public required DateTimeOffset RevokedAt { get; init; }
    public string? Reason { get; init; }

    /// <summary>For a token: its hash, its jti, or both.</summary>
    public TokenHash? TokenHash { get; init; }
    public string? Jti { get; init; }

    /// <summary>For a token: its exp, or a bound where that is not known. The row may be dropped 24 h later.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>For a group, as it stands after the act; null for a token.</summary>
    public GroupKey? Group { get; init; }
    public bool Blocked { get; init; }

    /// <summary>Tokens of the group with iat at or before this are dead, blocked or not; 0: none.</summary>
    public long Cut { get; init; }

    /// <summary>What it says, without why.</summary>
    public RevocationEntry ToEntry() => new()
    {
        RevocationSeq = RevocationSeq,
        Seq = Seq,
        RevokedAt = RevokedAt,
        TokenHash = TokenHash,
        Jti = Jti,
        ExpiresAt = ExpiresAt,
        Group = Group,
        Blocked = Blocked,
        Cut = Cut,
    };
}

/// <summary>A key as the ledger knows it, and the place of its last change.</summary>
public sealed record KeyRow(KeyEntry Key, Seq Seq);
