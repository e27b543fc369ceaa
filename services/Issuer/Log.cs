using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>Every message the Issuer logs. A token appears only as its hash.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 200, EventName = "token.issued", Level = LogLevel.Information, Message = "Token {TokenHash} issued at seq {Seq} for {Caller}")]
    public static partial void Issued(ILogger logger, TokenHash tokenHash, Seq seq, string caller);

    [LoggerMessage(EventId = 201, EventName = "token.revoked", Level = LogLevel.Information, Message = "Token {TokenHash} revoked at seq {Seq}, revocation {RevocationSeq}, by {Caller}")]
    public static partial void Revoked(ILogger logger, TokenHash? tokenHash, Seq seq, RevocationSeq revocationSeq, string caller);

    [LoggerMessage(EventId = 202, EventName = "group.changed", Level = LogLevel.Information, Message = "{Act} {Group} at seq {Seq}, revocation {RevocationSeq}, by {Caller}")]
    public static partial void GroupChanged(ILogger logger, EventKind act, GroupKey group, Seq seq, RevocationSeq revocationSeq, string caller);

    [LoggerMessage(EventId = 210, EventName = "keys.announced", Level = LogLevel.Information, Message = "Signing with key {KeyId}, {Count} keys known, Ed25519 by {Backend}")]
    public static partial void KeysAnnounced(ILogger logger, KeyId? keyId, int count, string backend);

    [LoggerMessage(EventId = 216, EventName = "keys.not_locked", Level = LogLevel.Warning, Message = "The seeds' memory may be swapped out or dumped: {Problem}")]
    public static partial void SeedsNotLocked(ILogger logger, string problem);

    [LoggerMessage(EventId = 211, EventName = "keys.stated", Level = LogLevel.Information, Message = "Key {KeyId} is {State} as of seq {Seq}, by {Caller}")]
    public static partial void KeyStated(ILogger logger, KeyId keyId, KeyState state, Seq seq, string caller);

    [LoggerMessage(EventId = 212, EventName = "keys.revoked", Level = LogLevel.Warning, Message = "Key {KeyId} and every token it signed is revoked as of seq {Seq}, revocation {RevocationSeq}, by {Caller}")]
    public static partial void KeyRevoked(ILogger logger, KeyId keyId, Seq seq, RevocationSeq revocationSeq, string caller);

    [LoggerMessage(EventId = 213, EventName = "keys.not_right", Level = LogLevel.Warning, Message = "The keys are not as they should be: {Complaint}")]
    public static partial void KeysNotRight(ILogger logger, string complaint);

    [LoggerMessage(EventId = 214, EventName = "keys.seed_destroyed", Level = LogLevel.Information, Message = "The seed of the retired key {KeyId} is removed")]
    public static partial void SeedDestroyed(ILogger logger, KeyId keyId);

    [LoggerMessage(EventId = 215, EventName = "keys.snapshot_made", Level = LogLevel.Information, Message = "Key transparency snapshot {SnapshotId} is number {Number}")]
    public static partial void SnapshotMade(ILogger logger, string snapshotId, long number);

    [LoggerMessage(EventId = 250, EventName = "policy.in_force", Level = LogLevel.Information, Message = "Policy version {Version} judges, from {Source}")]
    public static partial void PolicyInForce(ILogger logger, string version, string source);

    [LoggerMessage(EventId = 220, EventName = "ledger.away", Level = LogLevel.Warning, Message = "The ledger cannot be used: {Error}")]
    public static partial void LedgerAway(ILogger logger, string error);

    [LoggerMessage(EventId = 221, EventName = "ledger.back", Level = LogLevel.Information, Message = "The ledger can be used again")]
    public static partial void LedgerBack(ILogger logger);

    [LoggerMessage(EventId = 222, EventName = "ledger.view_not_read", Level = LogLevel.Warning, Message = "The control view could not be read: {Error}")]
    public static partial void ViewNotRead(ILogger logger, string error);

    [LoggerMessage(EventId = 230, EventName = "audit.relaying", Level = LogLevel.Information, Message = "Relaying the ledger's events to the audit log from seq {Seq}")]
    public static partial void Relaying(ILogger logger, Seq seq);

    [LoggerMessage(EventId = 231, EventName = "audit.away", Level = LogLevel.Warning, Message = "The audit log cannot be told; events wait in the ledger: {Error}")]
    public static partial void AuditAway(ILogger logger, string error);

    [LoggerMessage(EventId = 232, EventName = "audit.not_configured", Level = LogLevel.Warning, Message = "CLAW_AUDIT_SINK is not set: the ledger's events are relayed to no audit log")]
    public static partial void AuditNotConfigured(ILogger logger);

    [LoggerMessage(EventId = 233, EventName = "audit.disagrees", Level = LogLevel.Error, Message = "The audit log has another story than this ledger: {What}")]
    public static partial void AuditDisagrees(ILogger logger, string what);

    [LoggerMessage(EventId = 240, EventName = "control.recorded", Level = LogLevel.Information, Message = "{Kind} at seq {Seq} by {Owner}")]
    public static partial void ControlActRecorded(ILogger logger, EventKind kind, Seq seq, string owner);

    [LoggerMessage(EventId = 234, EventName = "audit.refused", Level = LogLevel.Error, Message = "The audit log does not take the next event, and events wait in the ledger: {What}")]
    public static partial void AuditRefused(ILogger logger, string what);

    [LoggerMessage(EventId = 235, EventName = "audit.not_compared", Level = LogLevel.Information, Message = "The ledger was not compared with the audit log at the start: {Error}")]
    public static partial void AuditNotCompared(ILogger logger, string error);
}
