using ClawBureau.Protos.Issuance.V1;

namespace ClawBureau.Load.Scenarios;

/// <summary>Tokens signed, recorded and committed to the disk.</summary>
internal static class IssueScenario
{
    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        var connect = stack.Connect(stack.Stack.Issuer, options.Clients);
        var clients = Enumerable.Range(0, options.Clients).Select(client => new IssuanceService.IssuanceServiceClient(connect(client))).ToArray();
        var issue = new Side($"issue durable c={options.Clients}", async client =>
        {
            await clients[client].IssueTokenAsync(LoadStack.Request());
            return 1;
        }, options.Clients, stack.Stack.Issuer.Process);
        measured(await new Comparison(options, report).RunAsync([issue, stack.Empty(stack.Stack.Issuer, options.Clients)], hasBaseline: true, cancellationToken));
    }
}
