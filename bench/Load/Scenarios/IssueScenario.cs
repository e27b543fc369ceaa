using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// Tokens signed, recorded and committed to the disk. Beside the empty call stands what every token needs at least: the signature, and the
/// check of it before it leaves. The two together are what issuing cannot cost less than.
/// </summary>
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
        }, options.Clients, stack.Stack.Issuer.Process)
        { Database = stack.DatabaseCpu };

        using var key = new SigningKey([.. Enumerable.Range(1, 32).Select(i => (byte)i)]);
        var claims = TokenParser.Parse((await clients[0].IssueTokenAsync(LoadStack.Request(), cancellationToken: cancellationToken)).Token).Claims;
        var sign = new Side("a token signed and checked, nothing else", _ =>
        {
            TokenSigner.Sign(claims, key);
            return ValueTask.FromResult(1);
        }, 1, null);
        measured(await new Comparison(options, report).RunAsync([issue, sign, stack.Empty(stack.Stack.Issuer, options.Clients)], hasBaseline: true, cancellationToken));
    }
}
