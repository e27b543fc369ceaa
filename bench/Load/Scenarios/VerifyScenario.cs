using System.Text;
using ClawBureau.Client;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using TokenRequirements = ClawBureau.Client.TokenRequirements;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// The library in this process, following the stack's feed: tokens it has verified before, and tokens it has not (its cache is off), beside
/// the bare signature check; each on one thread. Then the service, one token a call and a hundred, beside the empty call.
/// </summary>
internal static class VerifyScenario
{
    private const int Tokens = 512;
    private const int BatchSize = 100;
    private const int BatchClients = 8;

    // The loop around an operation should not be what is measured.
    private const int CachedAtOnce = 512;
    private const int UncachedAtOnce = 8;

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        var tokens = await stack.IssueAsync(Tokens, cancellationToken);
        await using var caching = await FollowAsync(stack, 65_536, tokens[0], cancellationToken);
        await using var forgetting = await FollowAsync(stack, 0, tokens[0], cancellationToken);
        var keySet = await new KeyService.KeyServiceClient(stack.Connect(stack.Stack.Issuer, 1)(0)).GetKeySetAsync(new(), cancellationToken: cancellationToken);
        var publicKey = keySet.KeySet.Keys.Single(key => key.Kid == keySet.KeySet.ActiveKid).PublicKey.ToByteArray();
        var signed = tokens.Select(token => (Message: Encoding.ASCII.GetBytes(token[..token.LastIndexOf('.')]), Signature: SignatureOf(token))).ToArray();
        int next = 0;
        measured(await new Comparison(options, report).RunAsync(
            [
                Library("verify in Client, seen before", caching, CachedAtOnce),
                Library("verify in Client, new", forgetting, UncachedAtOnce),
                new Side($"raw {Ed25519.Backend} verify", _ =>
                {
                    for (int i = 0; i < UncachedAtOnce; i++)
                    {
                        var (message, signature) = signed[(uint)next++ % Tokens];
                        if (!Ed25519.Verify(publicKey, message, signature)) throw new InvalidOperationException("a good signature is refused");
                    }
                    return ValueTask.FromResult(UncachedAtOnce);
                }, 1, null),
            ], hasBaseline: true, cancellationToken));

        var verifier = stack.Stack.First("verifier");
        var connect = stack.Connect(verifier, options.Clients);
        var clients = Enumerable.Range(0, options.Clients).Select(client => new VerificationService.VerificationServiceClient(connect(client))).ToArray();
        measured(await new Comparison(options, report).RunAsync(
            [
                new Side($"verify by Verifier c={options.Clients}", async client =>
                {
                    var answer = await clients[client].VerifyTokenAsync(new VerifyTokenRequest { Token = tokens[(uint)Interlocked.Increment(ref next) % Tokens] });
                    if (answer.Verdict.Status != VerificationStatus.Valid) throw new InvalidOperationException($"a good token is answered as {answer.Verdict.Reason}");
                    return 1;
                }, options.Clients, verifier.Process),
                new Side($"verify by Verifier, {BatchSize} a call, c={BatchClients}", async client =>
                {
                    var first = (int)((uint)Interlocked.Add(ref next, BatchSize) % (Tokens - BatchSize));
                    var answer = await clients[client].BatchVerifyTokensAsync(new BatchVerifyTokensRequest { Tokens = { tokens.AsSpan(first, BatchSize).ToArray() } });
                    if (answer.Results.Count != BatchSize) throw new InvalidOperationException("a token is not answered");
                    return BatchSize;
                }, Math.Min(BatchClients, options.Clients), verifier.Process),
                stack.Empty(verifier, options.Clients),
            ], hasBaseline: true, cancellationToken));

        Side Library(string name, ServiceProvider services, int atOnce)
        {
            var library = services.GetRequiredService<TokenVerifier>();
            return new Side(name, async _ =>
            {
                for (int i = 0; i < atOnce; i++)
                {
                    var answer = await library.VerifyAsync(tokens[(uint)next++ % Tokens], TokenRequirements.None, Freshness.Default, CancellationToken.None);
                    if (!answer.IsValid) throw new InvalidOperationException($"a good token is answered as {answer.Reason}");
                }
                return atOnce;
            }, 1, null);
        }
    }

    /// <summary>The library as a service has it, once it holds keys and a lease.</summary>
    private static async Task<ServiceProvider> FollowAsync(LoadStack stack, int cachedTokens, string token, CancellationToken cancellationToken)
    {
        var services = new ServiceCollection()
            .AddLogging(logging => logging.SetMinimumLevel(LogLevel.Error))
            .AddClawBureau(options =>
            {
                (options.Issuer, options.Introspector, options.CaFile, options.AdminKey) = (stack.Stack.Issuer.Address, stack.Stack.Introspector.Address, stack.Stack.CaFile, stack.Stack.AdminKey);
                options.Verification.CachedTokens = cachedTokens;
            })
            .BuildServiceProvider();
        foreach (var hosted in services.GetServices<IHostedService>()) await hosted.StartAsync(cancellationToken);
        var verifier = services.GetRequiredService<TokenVerifier>();
        while (!verifier.TryVerify(token, TokenRequirements.None, out _)) await Task.Delay(20, cancellationToken);
        return services;
    }

    private static byte[] SignatureOf(string token)
    {
        var text = token.AsSpan(token.LastIndexOf('.') + 1);
        var bytes = new byte[Base64UrlText.DecodedLength(text.Length)];
        return Base64UrlText.TryDecode(text, bytes, out _) ? bytes : throw new InvalidOperationException("a token without signature");
    }
}
