using System.CommandLine;
using System.Globalization;
using ClawBureau.Load;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw bench`: measures the suite on a stack of its own, always beside what it is compared with.</summary>
internal static class BenchVerb
{
    public static Command Create()
    {
        var names = new Argument<string[]>("names") { Description = $"What to measure: {string.Join(", ", LoadRun.Names)}; default: all.", Arity = ArgumentArity.ZeroOrMore };
        var json = new Option<bool>("--json") { Description = "Print everything as one JSON object, on the last line." };
        var seconds = new Option<double>("--seconds") { Description = "How long each side of a comparison runs; default 5.", DefaultValueFactory = _ => 5 };
        var clients = new Option<int>("--clients") { Description = "Calls under way at one time; default 64.", DefaultValueFactory = _ => 64 };
        var watchers = new Option<int[]>("--watchers") { Description = "How many watch the feed, one figure after the other; default 1 100 1000 10000.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [.. new LoadOptions().Watchers] };
        var command = new Command("bench", "Measure throughput, latency and CPU on a stack of its own, beside an empty call, raw SQL or the bare signature in the same rounds.") { names, json, seconds, clients, watchers };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var chosen = parsed.GetValue(names) is { Length: > 0 } given ? given.Distinct().ToArray() : [.. LoadRun.Names];
            if (chosen.FirstOrDefault(name => !LoadRun.Names.Contains(name)) is { } unknown) throw new UsageException($"There is nothing called '{unknown}' to measure: {string.Join(", ", LoadRun.Names)}.");
            if (!(parsed.GetValue(seconds) is > 0 and <= 3600)) throw new UsageException("--seconds must be more than 0 and at most 3600.");
            if (parsed.GetValue(clients) is < 1 or > 1024) throw new UsageException("--clients must be 1 to 1024.");
            if (parsed.GetValue(watchers)!.Any(count => count is < 1 or > 10_000)) throw new UsageException("--watchers must be 1 to 10000 each.");

            var rows = new List<Row>();
            int failures = 0;
            Console.Out.WriteLine(LoadRun.DescribeMachine());
            Console.Out.WriteLine($"{"",-52} {"per s",11} {"p50 ms",9} {"p99 ms",9} {"server us",10} {"client us",10} {"db us",8} {"ratio",7} {"cpu",7}  against");
            await LoadRun.RunAsync(
                new LoadOptions { Names = chosen, Duration = TimeSpan.FromSeconds(parsed.GetValue(seconds)), Clients = parsed.GetValue(clients), Watchers = parsed.GetValue(watchers)! },
                Console.Error.WriteLine,
                measured =>
                {
                    rows.AddRange(measured);
                    foreach (var row in measured) Console.Out.WriteLine($"{row.Name,-52} {Number(row.PerSecond, 0),11} {Number(row.P50Ms, 3),9} {Number(row.P99Ms, 3),9} {Number(row.CpuUs, 1),10} {Number(row.ClientCpuUs, 1),10} {Number(row.DatabaseCpuUs, 1),8} {Number(row.Ratio, 2),7} {Number(row.CpuRatio, 2),7}  {row.Baseline}");
                },
                (name, e) =>
                {
                    failures++;
                    Console.Error.WriteLine($"claw: {name} could not be measured: {Failure.Of(e).Sentence}");
                },
                cancellationToken);
            Console.Out.WriteLine($"rounds thrown out because the hypervisor took CPU away: {rows.Select(row => row.Discarded).DefaultIfEmpty(0).Sum()}; kept all the same: {rows.Select(row => row.Stolen).DefaultIfEmpty(0).Sum()}");
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    machine = LoadRun.DescribeMachine(),
                    rows = rows.Select(row => new
                    {
                        name = row.Name,
                        per_second = Rounded(row.PerSecond),
                        p50_ms = Rounded(row.P50Ms),
                        p99_ms = Rounded(row.P99Ms),
                        cpu_us = Rounded(row.CpuUs),
                        baseline = row.Baseline,
                        ratio = Rounded(row.Ratio),
                        cpu_ratio = Rounded(row.CpuRatio),
                    }),
                });
            }
            return failures == 0 ? ExitCode.Done : ExitCode.Unavailable;
        });
        return command;
    }

    private static string Number(double? value, int digits) => value?.ToString("N" + digits, CultureInfo.InvariantCulture) ?? "";

    private static double? Rounded(double? value) => value is { } number ? Math.Round(number, 4) : null;
}
