using System.Diagnostics;

namespace ClawBureau.Ledger;

/// <summary>
/// One span per batch, so that a trace reaches the database although one write serves many calls: it belongs to the trace of
/// the batch's first act and is linked to those of the others.
/// </summary>
internal static class BatchTrace
{
    private const int MostLinks = 64;
    private static readonly ActivitySource Source = new("ClawBureau");

    /// <summary>The call that is queueing an act; default: nobody records it.</summary>
    public static ActivityContext Current => Source.HasListeners() && Activity.Current is { Recorded: true } call ? call.Context : default;

    /// <returns>Null when no act of the batch is recorded.</returns>
    public static Activity? Begin(IReadOnlyList<PendingAct> acts)
    {
        if (!Source.HasListeners()) return null;
        var traced = acts.Where(act => act.Trace != default).Select(act => act.Trace).ToList();
        return traced.Count == 0 ? null : Source.StartActivity(
            ActivityKind.Internal, traced[0], [new("claw.acts", acts.Count)], traced.Skip(1).Take(MostLinks).Select(trace => new ActivityLink(trace)), name: "ledger.append");
    }
}
