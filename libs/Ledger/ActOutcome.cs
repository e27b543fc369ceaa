using ClawBureau.Tokens;

namespace ClawBureau.Ledger;

/// <summary>What the ledger said of an act. Everything but <see cref="Recorded"/> wrote nothing.</summary>
public enum Verdict
{
    /// <summary>The act stands, at its Seq.</summary>
    Recorded = 0,

    /// <summary>It stood already; the outcome carries the first one's numbers.</summary>
    Repeated = 1,

    /// <summary>A group of the token is blocked.</summary>
    Blocked = 2,

    /// <summary>A group of the token was blocked and lifted, and the iat is not after its cut: sign again with a later one.</summary>
    BeforeCut = 3,

    /// <summary>The controller is frozen or inactive.</summary>
    ControllerFrozen = 4,

    /// <summary>The key is not active in the ledger.</summary>
    KeyMayNotSign = 5,

    /// <summary>Another policy version became current since the request was judged.</summary>
    PolicyChanged = 6,

    /// <summary>The challenge does not exist, is used, or has expired.</summary>
    ChallengeUnusable = 7,

    /// <summary>The keys changed, or a longer-lived token was issued, since the act was worked out: read them and work it out again.</summary>
    KeysMoved = 9,

    /// <summary>A record of the control plane that the act was decided from has changed: read and decide again.</summary>
    Stale = 20,

    /// <summary>The ledger knows no such token of the owner within whose scope it was to be revoked.</summary>
    NotIssuedHere = 30,

    /// <summary>The owner has as many live rows as allowed.</summary>
    OwnerLimitReached = 31,

    /// <summary>Nothing was ever blocked or cut there that could be lifted.</summary>
    NotBlocked = 32,

    /// <summary>An operator set the block, so its owner does not lift it.</summary>
    OperatorsBlock = 33,

    /// <summary>A policy of that version was put before, with another document or not as the latest one.</summary>
    VersionTaken = 40,
}

/// <summary>The ledger's answer to one act, after commit.</summary>
public sealed record ActOutcome
{
    public required Verdict Verdict { get; init; }
    public required Guid Epoch { get; init; }

    /// <summary>The act's place; for <see cref="Verdict.Repeated"/> the first one's.</summary>
    public Seq Seq { get; init; }

    /// <summary>Place in the feed, for revocations, blocks and lifts.</summary>
    public RevocationSeq RevocationSeq { get; init; }

    /// <summary>Database time at which the act (or the first one) was recorded.</summary>
    public DateTimeOffset RecordedAt { get; init; }

    /// <summary>head.control_seq after the batch.</summary>
    public long ControlSeq { get; init; }

    /// <summary>The token a revocation resolved to; null where only its jti is known.</summary>
    public TokenHash? TokenHash { get; init; }

    /// <summary>With <see cref="Verdict.Blocked"/>: the kind of group that is.</summary>
    public RevocationKind? BlockedBy { get; init; }

    /// <summary>With <see cref="Verdict.BeforeCut"/>: the iat must be greater than this (epoch seconds). With a lift: the cut it left.</summary>
    public long Cut { get; init; }

    /// <summary>With <see cref="Verdict.Repeated"/> of a mint: what the first request under the idempotency key made.</summary>
    public PriorMint? PriorMint { get; init; }
}

/// <summary>What is kept of a mint under its idempotency key.</summary>
public sealed record PriorMint(byte[] RequestHash, KeyId KeyId, byte[] SignedPayload, string PolicyTier, string PolicyVersion);
