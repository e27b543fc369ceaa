using ClawBureau.Load.Scenarios;
using ClawBureau.Tokens;

namespace ClawBureau.Load;

/// <summary>`claw bench`: everything DESIGN states as a ratio, both sides in one run on one machine.</summary>
public static class LoadRun
{
    private static readonly IReadOnlyDictionary<string, Scenario> Scenarios =
        new Dictionary<string, Scenario>
        {
            ["issue"] = IssueScenario.RunAsync,
            ["introspect"] = IntrospectScenario.RunAsync,
            ["batch-introspect"] = IntrospectScenario.RunBatchAsync,
            ["mass"] = MassScenario.RunAsync,
            ["verify"] = VerifyScenario.RunAsync,
            ["revoke"] = RevokeScenario.RunAsync,
            ["watch"] = WatchScenario.RunAsync,
            ["audit"] = AuditScenario.RunAsync,
        };

    /// <param name="measured">Told the lines of each comparison as they stand.</param>
    private delegate Task Scenario(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken);

    /// <summary>Every scenario, in the order they run.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Scenarios.Keys];

    /// <summary>What the figures are of.</summary>
    public static string DescribeMachine() => Machine.Describe();

    /// <summary>Brings a stack up, measures, takes it down.</summary>
    /// <param name="report">Told what is being done.</param>
    /// <param name="measured">Told the lines of each comparison as they stand.</param>
    /// <param name="failed">Told of a scenario that could not be measured; the others are, all the same.</param>
    public static async Task RunAsync(
        LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, Action<string, Exception> failed, CancellationToken cancellationToken)
    {
        await using var stack = await LoadStack.StartAsync(report, cancellationToken);
        foreach (var name in options.Names)
        {
            try
            {
                await Scenarios[name](stack, options, report, measured, cancellationToken);
            }
            catch (Exception e) when (e is Refusal or TimeoutException or InvalidOperationException && !cancellationToken.IsCancellationRequested)
            {
                failed(name, e);
            }
        }
    }
}
