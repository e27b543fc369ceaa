// A gRPC service of another team that admits calls by their scoped token.
//   CLAW_ISSUER=https://… CLAW_INTROSPECTOR=https://… CLAW_TLS_CA_FILE=… WEATHER_CERT_FILE=… WEATHER_KEY_FILE=… dotnet run --project examples/Weather
using System.Net;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Client;
using ClawBureau.Client.Calls;
using ClawBureau.Client.Feed;
using ClawBureau.Weather;
using Grpc.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core;

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, builder.Configuration.GetValue("WEATHER_PORT", 0), listen =>
{
    listen.Protocols = HttpProtocols.Http2;
    listen.UseHttps(X509Certificate2.CreateFromPemFile(Required("WEATHER_CERT_FILE"), Required("WEATHER_KEY_FILE")));
}));

// Where the suite is, and how this service shows who it is: that alone makes the verifier, the keys and the feed of revocations.
builder.Services.AddClawBureau(suite =>
{
    suite.Issuer = new Uri(Required("CLAW_ISSUER"));
    suite.Introspector = new Uri(Required("CLAW_INTROSPECTOR"));
    suite.CaFile = Required("CLAW_TLS_CA_FILE");
    suite.ClientCertFile = Required("WEATHER_CERT_FILE");
    suite.ClientKeyFile = Required("WEATHER_KEY_FILE");
});

// What each method asks. Null would open one to anybody; a method that is added later is closed until somebody thinks of it here.
var reader = new TokenRequirements { AudienceAny = ["weather.example"], ScopeAll = ["clawproxy:weather.read"] };
builder.Services.AddSingleton(services => new ScopedTokenServerInterceptor(services.GetRequiredService<TokenVerifier>(), services.GetRequiredService<TokenWatches>(), method => reader));
builder.Services.AddGrpc(grpc => grpc.Interceptors.Add<ScopedTokenServerInterceptor>());

var app = builder.Build();
app.MapGrpcService<WeatherEndpoint>();
await app.RunAsync();

string Required(string name) => builder.Configuration[name] ?? throw new InvalidOperationException($"{name} is not set.");

internal sealed class WeatherEndpoint : WeatherService.WeatherServiceBase
{
    public override Task<GetForecastResponse> GetForecast(GetForecastRequest request, ServerCallContext context) => Task.FromResult(new GetForecastResponse
    {
        Forecast = $"sunny in {request.Place}",
        ToldTo = context.GetVerification().Claims!.Sub,
    });

    public override async Task WatchForecast(WatchForecastRequest request, IServerStreamWriter<WatchForecastResponse> responseStream, ServerCallContext context)
    {
        while (true)
        {
            await responseStream.WriteAsync(new WatchForecastResponse { Forecast = $"sunny in {request.Place}" }, context.CancellationToken);
            await Task.Delay(TimeSpan.FromSeconds(1), context.CancellationToken);
        }
    }
}
