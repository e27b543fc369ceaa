namespace ClawBureau.Ledger;

/// <summary>What ties an act to the run it happened in (OpenClaw session key, run id) and to a trace. Every field is stored as given.</summary>
public sealed record Correlation(string? MissionId = null, string? RunId = null, string? TraceId = null, string? CorrelationId = null)
{
    public static Correlation None { get; } = new();
}
