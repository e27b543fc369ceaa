using System.Diagnostics.Metrics;

namespace ClawBureau.Hosting.Telemetry;

/// <summary>The suite's own metrics, by the names docs/metrics.md documents. All of one meter, whichever process records them.</summary>
public static class SuiteMetrics
{
    public const string MeterName = "ClawBureau";

    private static readonly Meter Meter = new(MeterName);

    /// <summary>Tokens recorded; tags <c>tier</c>, <c>lane</c>.</summary>
    public static readonly Counter<long> TokensIssued = Meter.CreateCounter<long>("claw.tokens.issued", "{token}", "Tokens recorded in the ledger");

    /// <summary>Revocations recorded; tag <c>repeated</c>.</summary>
    public static readonly Counter<long> TokensRevoked = Meter.CreateCounter<long>("claw.tokens.revoked", "{token}", "Tokens revoked in the ledger");

    /// <summary>Groups blocked or lifted; tags <c>kind</c>, <c>act</c>.</summary>
    public static readonly Counter<long> GroupsChanged = Meter.CreateCounter<long>("claw.groups.changed", "{group}", "Groups blocked or lifted in the ledger");

    /// <summary>From call to answer; tag <c>result</c>: active, revoked or inactive.</summary>
    public static readonly Histogram<double> IntrospectionDuration = Meter.CreateHistogram<double>("claw.introspection.duration", "s", "How long an introspection takes");

    /// <summary>Batches of events told to the audit log; tag <c>result</c>: appended, present, refused or unavailable.</summary>
    public static readonly Counter<long> AuditExports = Meter.CreateCounter<long>("claw.audit.exports", "{export}", "Batches told to the audit log by result");

    /// <summary>Events of the ledger that the audit log is not known to have.</summary>
    public static readonly Gauge<long> AuditLag = Meter.CreateGauge<long>("claw.audit.lag", "{event}", "Events of the ledger that the audit log is not known to have");
}
