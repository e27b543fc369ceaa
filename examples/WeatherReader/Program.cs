// A client of the service in examples/Weather: every call shows a token, which is got and renewed in the background.
//   CLAW_ISSUER=https://… CLAW_TLS_CA_FILE=… CLAW_ADMIN_KEY=… dotnet run --project examples/WeatherReader https://127.0.0.1:5001 clawproxy:weather.read
using ClawBureau.Client;
using ClawBureau.Client.Calls;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using ClawBureau.Weather;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Logging.Abstractions;
using Audience = ClawBureau.Protos.Types.V1.Audience;

if (args is not [var address, var scope]) throw new InvalidOperationException("Name the service's address and a scope: WeatherReader https://127.0.0.1:5001 clawproxy:weather.read");
var suite = new ClawBureauOptions { CaFile = Required("CLAW_TLS_CA_FILE"), AdminKey = Required("CLAW_ADMIN_KEY") };
using var issuer = new SuiteChannel(new Uri(Required("CLAW_ISSUER")), suite);
var grant = new IssueTokenRequest { Sub = "did:key:z6MkexampleReader", Aud = new Audience { Values = { "weather.example" } }, Scope = { scope } };
var calls = new PeerCalls("the Issuer", suite.Verification.CallTimeout, TimeProvider.System);
var tokens = new TokenSource(new GrpcTokenIssuer(issuer.Calls, grant, calls), keys: null, TimeProvider.System, NullLogger<TokenSource>.Instance);

// The same TLS, without the admin key: this service gets the token and nothing else. A unary call that is rejected because of the
// token's key is made once more with another token.
using var channel = new SuiteChannel(new Uri(address), new ClawBureauOptions { CaFile = suite.CaFile });
var weather = new WeatherService.WeatherServiceClient(channel.Calls.Intercept(new ScopedTokenClientInterceptor(tokens)));
try
{
    Console.WriteLine($"token {await tokens.GetAsync(CancellationToken.None)}");          // prints as its hash
    var forecast = await weather.GetForecastAsync(new GetForecastRequest { Place = "Rome" });
    Console.WriteLine($"{forecast.Forecast}, {forecast.ToldTo}");

    using var watch = weather.WatchForecast(new WatchForecastRequest { Place = "Oslo" });
    while (await watch.ResponseStream.MoveNext(CancellationToken.None)) Console.WriteLine(watch.ResponseStream.Current.Forecast);
    return 0;
}
catch (Refusal refusal)
{
    Console.WriteLine($"ended: {ReasonCatalog.Of(refusal.Reason).Code}");
    return 1;
}

static string Required(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set.");
