using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;

namespace ClawBureau.AuditSink;

/// <summary>What an AuditSink is told at start.</summary>
public sealed class AuditSinkOptions
{
    /// <summary>CLAW_DATABASE_AUDIT: the audit log's database as role claw_audit; another one than the ledger's outlives its loss. Required.</summary>
    public required string Database { get; init; }

    /// <summary>CLAW_INTROSPECTOR: who is asked about the tokens of callers; several addresses with commas between. Without it no token opens anything here.</summary>
    public PeerAddresses? Introspector { get; init; }

    /// <summary>Events that may wait. 65,536; beyond it appends are refused with AUDIT_OVERLOADED.</summary>
    public int QueueEvents { get; init; } = 65_536;

    /// <summary>Bytes that may wait. 64 MiB; beyond it appends are refused with AUDIT_OVERLOADED.</summary>
    public long QueueBytes { get; init; } = 64L << 20;

    /// <summary>Most events in one commit. 4,096, what one call may bring.</summary>
    public int BatchEvents { get; init; } = 4096;

    /// <summary>Most bytes in one commit, unless one call alone brings more. 4 MiB.</summary>
    public long BatchBytes { get; init; } = 4L << 20;

    /// <summary>How long one commit may take on the wire before its connection is given up. 5 s; the role's own timeouts are shorter.</summary>
    public TimeSpan BatchTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a batch is tried again after the database was lost. 5 s; then its callers are told AUDIT_UNAVAILABLE.</summary>
    public TimeSpan RetryWithin { get; init; } = TimeSpan.FromSeconds(5);

    public static AuditSinkOptions Read(Settings settings) => new()
    {
        Database = settings.Required("CLAW_DATABASE_AUDIT", "to a connection string of role claw_audit; `claw migrate` makes the role"),
        Introspector = PeerAddresses.Read(settings, "CLAW_INTROSPECTOR"),
    };
}
