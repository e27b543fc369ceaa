// A client of the service in examples/Notes: it gets a token, renews it in time, and shows it with every request.
//   CLAW_ISSUER=https://… CLAW_TLS_CA_FILE=… CLAW_ADMIN_KEY=… dotnet run --project examples/NotesReader http://127.0.0.1:5000
using System.Net;
using ClawBureau.Client;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Types.V1;
using Microsoft.Extensions.Logging.Abstractions;

var notes = new Uri(args is [var address] ? address : throw new InvalidOperationException("Name the address of the service: NotesReader http://127.0.0.1:5000"));
var suite = new ClawBureauOptions { CaFile = Required("CLAW_TLS_CA_FILE"), AdminKey = Required("CLAW_ADMIN_KEY") };
using var issuer = new SuiteChannel(new Uri(Required("CLAW_ISSUER")), suite);

// What every token grants. The source sets an idempotency key for each, so a lost answer costs no second token.
var grant = new IssueTokenRequest { Sub = "did:key:z6MkexampleAgent", Aud = new Audience { Values = { "notes.example" } }, Scope = { "clawproxy:notes.read" } };
var calls = new PeerCalls("the Issuer", suite.Verification.CallTimeout, TimeProvider.System);
var tokens = new TokenSource(new GrpcTokenIssuer(issuer.Calls, grant, calls), keys: null, TimeProvider.System, NullLogger<TokenSource>.Instance);

using var http = new HttpClient { BaseAddress = notes };
var token = await tokens.GetAsync(CancellationToken.None);
using var answer = await ReadAsync(token);
if (answer.StatusCode == HttpStatusCode.Unauthorized && await RejectedForItsKeyAsync(answer) && await tokens.ReplaceAsync(token, CancellationToken.None) is { } replacement)
{
    // Once, with another token; a second rejection is for people to look at.
    using var again = await ReadAsync(replacement);
    return await PrintAsync(again);
}
return await PrintAsync(answer);

Task<HttpResponseMessage> ReadAsync(IssuedToken shown)
{
    var request = new HttpRequestMessage(HttpMethod.Get, "/notes");
    request.Headers.Add("X-CST", shown.Compact);
    return http.SendAsync(request);
}

static async Task<bool> RejectedForItsKeyAsync(HttpResponseMessage answer) =>
    await answer.Content.ReadAsStringAsync() is var body && (body.Contains("TOKEN_UNKNOWN_KID", StringComparison.Ordinal) || body.Contains("TOKEN_KID_EXPIRED", StringComparison.Ordinal));

static async Task<int> PrintAsync(HttpResponseMessage answer)
{
    Console.WriteLine($"{(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
    return answer.IsSuccessStatusCode ? 0 : 1;
}

static string Required(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set.");
