using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// Introspection that sees everything acknowledged before the call, one by one and in batches. The tokens have been seen before. Beside the empty
/// call stands the same without a read of the ledger: less than that it cannot cost.
/// </summary>
internal static class IntrospectScenario
{
    private const int Tokens = 512;
    private const int BatchSize = 100;
    private const int BatchClients = 8;

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        var tokens = await stack.IssueAsync(Tokens, cancellationToken);
        var connect = stack.Connect(stack.Stack.Introspector, options.Clients);
        var clients = Enumerable.Range(0, options.Clients).Select(client => new IntrospectionService.IntrospectionServiceClient(connect(client))).ToArray();
        var next = 0;
        // The same from what the service knows already, as a caller may ask who takes an answer of up to an hour's age: what reading costs is the difference.
        var known = new Consistency { Bounded = new() { Seconds = 3600 } };
        measured(await new Comparison(options, report).RunAsync(
            [
                Introspect("introspect linearizable", null),
                Introspect("introspect, the ledger not read", known),
                stack.Empty(stack.Stack.Introspector, options.Clients),
            ], hasBaseline: true, cancellationToken));

        Side Introspect(string name, Consistency? consistency) => new($"{name} c={options.Clients}", async client =>
        {
            var answer = await clients[client].IntrospectTokenAsync(
                new IntrospectTokenRequest { Token = tokens[(uint)Interlocked.Increment(ref next) % Tokens], Consistency = consistency });
            if (!answer.Active) throw new InvalidOperationException($"a good token is answered as {answer.InactiveReason}");
            return 1;
        }, options.Clients, stack.Stack.Introspector.Process)
        { Database = stack.DatabaseCpu };
    }

    public static async Task RunBatchAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        var tokens = await stack.IssueAsync(Tokens, cancellationToken);
        var connect = stack.Connect(stack.Stack.Introspector, BatchClients);
        var clients = Enumerable.Range(0, BatchClients).Select(client => new IntrospectionService.IntrospectionServiceClient(connect(client))).ToArray();
        var next = 0;
        var introspect = new Side($"batch introspect of {BatchSize} c={BatchClients}", async client =>
        {
            var first = (int)((uint)Interlocked.Add(ref next, BatchSize) % (Tokens - BatchSize));
            var answer = await clients[client].BatchIntrospectTokensAsync(new BatchIntrospectTokensRequest { Tokens = { tokens.AsSpan(first, BatchSize).ToArray() } });
            if (!answer.Results.All(result => result.Answer is { Active: true })) throw new InvalidOperationException("a good token is not answered as active");
            return BatchSize;
        }, BatchClients, stack.Stack.Introspector.Process);
        measured(await new Comparison(options, report).RunAsync([introspect], hasBaseline: false, cancellationToken));
    }
}
