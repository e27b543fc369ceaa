using System.Diagnostics.Metrics;

namespace ClawBureau.Client;

/// <summary>What a verifying process measures, under the suite's meter and the names that docs/metrics.md documents.</summary>
public static class ClientMetrics
{
    /// <summary>Give this name to your exporter.</summary>
    public const string MeterName = "ClawBureau";

    private static readonly Meter Meter = new(MeterName);
    private static readonly KeyValuePair<string, object?> Offline = new("path", "offline");
    private static readonly KeyValuePair<string, object?> Introspection = new("path", "introspection");

    /// <summary>Verifications decided; tag <c>path</c>: offline or introspection.</summary>
    public static readonly Counter<long> Verifications = Meter.CreateCounter<long>("claw.verification", "{verification}", "Verifications by how they were decided");

    /// <summary>From the act's database time to its being applied here.</summary>
    public static readonly Histogram<double> RevocationPropagation = Meter.CreateHistogram<double>("claw.revocation.propagation", "s", "How long a revocation takes to be applied");

    /// <summary>What a verification waits for the Introspector; tag <c>result</c>: answered or refused.</summary>
    public static readonly Histogram<double> IntrospectionWait = Meter.CreateHistogram<double>("claw.verification.introspection_wait", "s", "How long a verification waits for an introspection");

    internal static void Count(VerificationSource source) => Verifications.Add(1, source == VerificationSource.Offline ? Offline : Introspection);
}
