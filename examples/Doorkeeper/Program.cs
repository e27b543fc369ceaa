// A program without a web framework: it takes tokens, one per line of its input, and says of each whether it may pass. For an empty
// line it shows one of its own, which it gets and renews by itself. At the end of its input it waits until every token that passed
// is dead, and says so in the moment it is.
//   CLAW_ISSUER=https://… CLAW_INTROSPECTOR=https://… CLAW_TLS_CA_FILE=… CLAW_ADMIN_KEY=… dotnet run --project examples/Doorkeeper
using ClawBureau.Client;
using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Audience = ClawBureau.Protos.Types.V1.Audience;
using TokenRequirements = ClawBureau.Client.TokenRequirements;

var builder = Host.CreateApplicationBuilder(args);
builder.Logging.ClearProviders().AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace).SetMinimumLevel(LogLevel.Warning);

// The verifier, the keys and the feed of revocations; the host keeps them current.
builder.Services.AddClawBureau(suite =>
{
    suite.Issuer = new Uri(Required("CLAW_ISSUER"));
    suite.Introspector = new Uri(Required("CLAW_INTROSPECTOR"));
    suite.CaFile = Required("CLAW_TLS_CA_FILE");
    suite.AdminKey = Required("CLAW_ADMIN_KEY");
});
using var host = builder.Build();
var services = host.Services;
var (verifier, watches, time) = (services.GetRequiredService<TokenVerifier>(), services.GetRequiredService<TokenWatches>(), services.GetRequiredService<TimeProvider>());
var stopping = services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
var requirements = new TokenRequirements { AudienceAny = ["door.example"], ScopeAll = ["clawproxy:door.pass"] };

// Its own token: what every one grants. The source asks for the next in time, and after a rejection because of its key fetches the keys first.
var grant = new IssueTokenRequest { Sub = "did:key:z6MkexampleDoorkeeper", Aud = new Audience { Values = { "door.example" } }, Scope = { "clawproxy:door.pass" } };
var calls = new PeerCalls("the Issuer", services.GetRequiredService<ClientOptions>().CallTimeout, time);
var own = new TokenSource(
    new GrpcTokenIssuer(services.GetRequiredService<SuitePeers>().Issuer, grant, calls), services.GetRequiredService<KeyCache>(), time, services.GetRequiredService<ILogger<TokenSource>>());

await host.StartAsync();
// Until then each token would be asked about.
await Task.WhenAll(services.GetRequiredService<KeyCache>().Loaded, services.GetRequiredService<RevocationFollower>().Loaded).WaitAsync(stopping);
var deaths = new List<Task>();
while (await Console.In.ReadLineAsync(stopping) is { } line)
{
    var token = line.Trim() is { Length: > 0 } shown ? shown : (await own.GetAsync(stopping)).Compact;
    Console.Out.WriteLine(await JudgeAsync(token));
}
await Task.WhenAll(deaths).WaitAsync(stopping);
await host.StopAsync();

async Task<string> JudgeAsync(string token)
{
    try
    {
        // From memory where that is fresh enough: nobody is asked, and nothing is allocated for a token that was here before.
        if (!verifier.TryVerify(token, requirements, out var verification))
            verification = await verifier.VerifyAsync(token, requirements, Freshness.Default, stopping);
        if (!verification.IsValid) return $"INVALID {ReasonCatalog.Of(verification.Reason).Code} {verification.Explain()}";

        var (hash, confidence, died) = (verification.TokenHash, verification.Confidence, new TaskCompletionSource());
        deaths.Add(died.Task);
        watches.Add(hash, verification.Claims, verification.KeyId, _ =>
        {
            Console.Out.WriteLine($"DEAD {hash}");
            died.SetResult();
        });
        return $"VALID {hash} {verification.Claims.Sub} {confidence.Source}, revocations {confidence.RevocationAge.TotalMilliseconds:0} ms old";
    }
    catch (Refusal refusal)
    {
        // Nothing can be said freshly enough: that is no yes.
        return $"UNKNOWN {ReasonCatalog.Of(refusal.Reason).Code} {refusal.Message}";
    }
}

string Required(string name) => builder.Configuration[name] ?? throw new InvalidOperationException($"{name} is not set.");
