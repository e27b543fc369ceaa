using ClawBureau.Tokens;

namespace ClawBureau.Ledger.Recovery;

/// <summary>An event of a ledger as the audit log has it.</summary>
/// <param name="Payload">As recorded, byte for byte.</param>
public sealed record AuditedEvent(Guid Epoch, Seq Seq, string Kind, DateTimeOffset RecordedAt, byte[] Payload, byte[]? TokenHash, string? Subject, Correlation Correlation);

/// <summary>What the audit log has of a ledger from its last common event on.</summary>
/// <param name="Anchor">The newest event of which the ledger may have the same; null: the ledger was empty, or the log is.</param>
/// <param name="After">What the log has after it, oldest first.</param>
public sealed record AuditedTail(AuditedEvent? Anchor, IReadOnlyList<AuditedEvent> After);
