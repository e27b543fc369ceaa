using ClawBureau.Tokens;

namespace ClawBureau.Ledger;

/// <summary>
/// One durable act on its way into the ledger: validated, and signed where it is a mint, before it is queued.
/// </summary>
public abstract record Act
{
    public required Correlation Correlation { get; init; }

    /// <summary>Who asked, as the caller table names him: an admin key's name, a service's identity, a token's subject.</summary>
    public required string Caller { get; init; }

    /// <summary>The token the caller authenticated with, if it did: nothing is recorded for a caller whose token is dead by then.</summary>
    public ActingToken? CallerToken { get; init; }

    public abstract EventKind Kind { get; }

    /// <summary>Mints wait behind everything else and are what overload sheds (DESIGN "The ledger", rule 4).</summary>
    public virtual bool IsMint => false;

    /// <summary>The event's subject, for filters; null where there is none.</summary>
    public virtual string? Subject => null;

    /// <summary>What goes into text columns, by field name.</summary>
    internal virtual IEnumerable<(string Field, string? Text)> Texts =>
    [
        ("caller", Caller), ("sub", Subject), ("mission_id", Correlation.MissionId), ("run_id", Correlation.RunId),
        ("trace_id", Correlation.TraceId), ("correlation_id", Correlation.CorrelationId),
    ];

    /// <summary>How many events it can become.</summary>
    internal virtual long MostEvents => 1;

    /// <summary>Two acts that share one of these never stand in the same batch.</summary>
    internal abstract IEnumerable<string> ConflictKeys { get; }

    /// <summary>A group is one conflict, whichever act is about it.</summary>
    internal static string GroupConflictKey(GroupKey group) => $"group {Convert.ToHexStringLower(group.Hash)}";

    /// <summary>Nor do two where one has as conflict key what the other reads here; two that only read it may.</summary>
    internal IEnumerable<string> ReadKeys => CallerToken?.TakenBackBy ?? [];

    /// <summary>The event's payload: canonical JSON, written once, before the act is queued.</summary>
    internal byte[] Payload => _payload ??= WritePayload();
    private byte[]? _payload;

    private protected abstract byte[] WritePayload();
}

/// <summary>A token, signed and ready; the ledger decides whether it may exist.</summary>
public sealed record MintAct : Act
{
    public required TokenHash TokenHash { get; init; }
    public required TokenClaims Claims { get; init; }
    public required KeyId KeyId { get; init; }
    public required string PolicyTier { get; init; }
    public required string PolicyVersion { get; init; }

    /// <summary>Every group the token belongs to; one blocked group, or one whose cut is not before its iat, denies it.</summary>
    public required IReadOnlyList<GroupKey> Groups { get; init; }

    /// <summary>Caller's key for retries; with it <see cref="RequestHash"/> and <see cref="SignedPayload"/> are kept until the token expires.</summary>
    public string? IdempotencyKey { get; init; }

    /// <summary>SHA-256 of the request's content, 32 bytes: tells a retry from another request under the same key.</summary>
    public byte[]? RequestHash { get; init; }

    /// <summary>The signed bytes of the token without its signature (never the token itself).</summary>
    public byte[]? SignedPayload { get; init; }

    /// <summary>The ledger policy version the request was judged by; null where the policy comes from configuration, which holds as long
    /// as the ledger has none.</summary>
    public string? LedgerPolicyVersion { get; init; }

    /// <summary>The challenge this mint consumes; null where none is needed.</summary>
    public string? ChallengeId { get; init; }

    /// <summary>Records of the control plane the grant was judged by; it is judged again when one of them has changed.</summary>
    public IReadOnlyList<Seen> Seen { get; init; } = [];

    /// <summary>head.control_seq of the view the request was already judged by (<see cref="Reading.ControlView"/>); null: judge it here.</summary>
    public long? JudgedAtControlSeq { get; init; }

    public override EventKind Kind => EventKind.TokenIssued;
    public override bool IsMint => true;
    public override string? Subject => Claims.Sub;

    internal override IEnumerable<string> ConflictKeys
    {
        get
        {
            yield return "token " + TokenHash;
            if (IdempotencyKey is not null) yield return $"idempotency {Caller.Length} {Caller} {IdempotencyKey}";
            if (ChallengeId is not null) yield return "challenge " + ChallengeId;
        }
    }

    private protected override byte[] WritePayload() => EventPayload.OfMint(this);
}

/// <summary>Revokes one token by its hash or its jti. Repeating it is answered with the first one's numbers.</summary>
public sealed record RevokeTokenAct : Act
{
    public TokenHash? TokenHash { get; init; }
    public string? Jti { get; init; }
    public string? Reason { get; init; }

    /// <summary>
    /// How long the revocation is kept at least when the ledger does not know the token's own expiry; longer where a token could
    /// ever have been given a longer life than that.
    /// </summary>
    public required DateTimeOffset KeepUntil { get; init; }

    /// <summary>Only a token of this owner that the ledger knows is revoked; null: any, known or not.</summary>
    public string? OwnerScope { get; init; }

    /// <summary>Live rows the owner may have, where the act is the owner's own; null: an operator's, which is not counted.</summary>
    public int? OwnerRows { get; init; }

    public override EventKind Kind => EventKind.TokenRevoked;
    internal override IEnumerable<(string Field, string? Text)> Texts => [.. base.Texts, ("jti", Jti), ("reason", Reason), ("owner_scope", OwnerScope)];
    internal override IEnumerable<string> ConflictKeys => [TokenHash is { } hash ? "token " + hash : "jti " + Jti];
    private protected override byte[] WritePayload() => EventPayload.OfRevocation(this);
}

/// <summary>Blocks a group of tokens until lifted: nothing in it is valid, nothing more is minted into it.</summary>
public sealed record BlockGroupAct : Act
{
    public required GroupKey Group { get; init; }
    public string? Reason { get; init; }

    /// <summary>Whose tokens it concerns: the group's owner scope, or the owner that the group is; null where it is not one owner's.</summary>
    public string? OwnerDid { get; init; }

    /// <inheritdoc cref="RevokeTokenAct.OwnerRows"/>
    public int? OwnerRows { get; init; }

    public override EventKind Kind => EventKind.GroupBlocked;
    internal override IEnumerable<(string Field, string? Text)> Texts => [.. base.Texts, ("reason", Reason), ("owner_scope", OwnerDid)];
    internal override IEnumerable<string> ConflictKeys => [GroupConflictKey(Group)];
    private protected override byte[] WritePayload() => EventPayload.OfGroup(this, Group, OwnerDid, Reason);
}

/// <summary>Lifts a block and leaves a cut: tokens issued up to now stay dead whatever their issuer's clock said.</summary>
public sealed record LiftBlockAct : Act
{
    public required GroupKey Group { get; init; }
    public string? Reason { get; init; }

    /// <inheritdoc cref="BlockGroupAct.OwnerDid"/>
    public string? OwnerDid { get; init; }

    /// <summary>The lift is the owner's own: a block that an operator set stands.</summary>
    public bool IsOwners { get; init; }

    public override EventKind Kind => EventKind.BlockLifted;
    internal override IEnumerable<(string Field, string? Text)> Texts => [.. base.Texts, ("reason", Reason), ("owner_scope", OwnerDid)];
    internal override IEnumerable<string> ConflictKeys => [GroupConflictKey(Group)];
    private protected override byte[] WritePayload() => EventPayload.OfGroup(this, Group, OwnerDid, Reason);
}

/// <summary>States what keys may do from now on: all of them in one event, or none.</summary>
public sealed record KeyAct : Act
{
    /// <summary>As they stand from now on; keys that are not named stay as they are.</summary>
    public required IReadOnlyList<KeyEntry> Keys { get; init; }

    /// <summary>Seq of the latest change of a key that this one was worked out from; null: whatever stands. Another one refuses it.</summary>
    public Seq? JudgedAtKeysSeq { get; init; }

    /// <summary>Refused when a token was issued that lives beyond this second: a replaced key must outlive all it signed. Null: not asked.</summary>
    public long? LongestExp { get; init; }

    /// <summary>One of the keys, whose tokens are revoked with it.</summary>
    public KeyId? Revoked { get; init; }

    public string? Reason { get; init; }

    public override EventKind Kind => EventKind.KeyChanged;
    internal override IEnumerable<(string Field, string? Text)> Texts => [.. base.Texts, ("reason", Reason)];
    internal override IEnumerable<string> ConflictKeys => Revoked is { } kid ? ["keys", GroupConflictKey(GroupKey.Of(RevocationKind.KeyId, "", kid.ToString()))] : ["keys"];
    private protected override byte[] WritePayload() => EventPayload.OfKeys(this);
}

/// <summary>Puts a policy document; the last one put is the current one.</summary>
public sealed record PolicyAct : Act
{
    public required string Version { get; init; }

    /// <summary>Canonical JSON.</summary>
    public required byte[] Document { get; init; }

    /// <summary>The version that must be current; empty: none was ever put; null: whatever is.</summary>
    public string? ExpectedVersion { get; init; }

    public string? Reason { get; init; }

    public override EventKind Kind => EventKind.PolicyPut;
    internal override IEnumerable<(string Field, string? Text)> Texts => [.. base.Texts, ("version", Version), ("expected_version", ExpectedVersion), ("reason", Reason)];
    internal override IEnumerable<string> ConflictKeys => ["policy"];
    private protected override byte[] WritePayload() => EventPayload.OfPolicy(this);
}
