using System.Diagnostics;

namespace ClawBureau.Load;

/// <summary>
/// Measures sides in interleaved rounds, so that whatever else happens on the machine happens to all of them.
/// </summary>
internal sealed class Comparison(LoadOptions options, Action<string> report)
{
    private static readonly TimeSpan MostWarmUp = TimeSpan.FromSeconds(10);

    /// <param name="sides">The last one is what the others are compared with, if it is named as that.</param>
    /// <param name="hasBaseline">False: the sides stand for themselves.</param>
    public async Task<IReadOnlyList<Row>> RunAsync(IReadOnlyList<Side> sides, bool hasBaseline, CancellationToken cancellationToken)
    {
        foreach (var side in sides) await WarmUpAsync(side, cancellationToken);
        var slice = options.Duration / options.Rounds;
        var counted = new Rounds();
        var rounds = await counted.RunAsync(options.Rounds, async done =>
        {
            report($"{sides[0].Name}: round {done + 1} of {options.Rounds}");
            var round = new Sample[sides.Count];
            // Every other round in the other order: what comes first is not always the same.
            foreach (int i in done % 2 == 0 ? Enumerable.Range(0, sides.Count) : Enumerable.Range(0, sides.Count).Reverse())
                round[i] = await sides[i].RunAsync(slice, cancellationToken);
            return round;
        });

        var baseline = hasBaseline ? sides.Count - 1 : -1;
        return [.. sides.Select((side, i) => RowOf(side, i))];

        Row RowOf(Side side, int i)
        {
            var compared = baseline >= 0 && i != baseline;
            var cpu = CpuOf(i);
            return new Row(
                side.Name,
                Median(rounds.Select(round => round[i].PerSecond)),
                Milliseconds(rounds.SelectMany(round => round[i].Latencies), 0.5),
                Milliseconds(rounds.SelectMany(round => round[i].Latencies), 0.99),
                cpu,
                side.Server is null ? null : rounds.Sum(round => round[i].ClientCpu.TotalMicroseconds) / rounds.Sum(round => round[i].Operations),
                compared ? sides[baseline].Name : null,
                compared ? Median(rounds.Select(round => round[i].PerSecond / round[baseline].PerSecond)) : null,
                compared && cpu is { } own && CpuOf(baseline) is { } other ? own / other : null,
                i == 0 ? counted.Discarded : 0,        // of the comparison, told once
                i == 0 ? counted.Stolen : 0)
            {
                DatabaseCpuUs = rounds.Any(round => round[i].DatabaseCpu is null) ? null : rounds.Sum(round => round[i].DatabaseCpu!.Value.TotalMicroseconds) / rounds.Sum(round => round[i].Operations),
            };
        }

        double? CpuOf(int i) => sides[i].IsElsewhere ? null : rounds.Sum(round => round[i].ServerCpu.TotalMicroseconds) / rounds.Sum(round => round[i].Operations);
    }

    /// <summary>
    /// Until what runs was compiled for good: the runtime does that behind the first tens of thousands of calls, however much each of them
    /// brings, which would count as theirs. A slow side gets no more than twice the time it is measured for, and no more than ten seconds.
    /// </summary>
    private async Task WarmUpAsync(Side side, CancellationToken cancellationToken)
    {
        long done = 0;
        var (spent, most) = (TimeSpan.Zero, TimeSpan.FromTicks(Math.Min(2 * options.Duration.Ticks, MostWarmUp.Ticks)));
        do
        {
            done += (await side.RunAsync(options.WarmUp, cancellationToken)).Latencies.Count;
            spent += options.WarmUp;
        }
        while (done < options.WarmUpCalls && spent < most);
    }

    internal static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>Nearest rank.</summary>
    internal static double Milliseconds(IEnumerable<long> timestamps, double quantile)
    {
        var sorted = timestamps.Order().ToArray();
        return sorted.Length == 0 ? 0 : sorted[Math.Max(0, (int)Math.Ceiling(quantile * sorted.Length) - 1)] * 1000.0 / Stopwatch.Frequency;
    }
}
