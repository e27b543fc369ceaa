using System.Net;
using ClawBureau.Client.AspNetCore;
using ClawBureau.Client.Calls;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Client.Tests;

/// <summary>Another team's service: one HTTP endpoint for everybody with a token, one for those with a scope, a stream, and a gRPC service.</summary>
internal sealed class GuardedService : IAsyncDisposable
{
    private readonly WebApplication _app;

    private GuardedService(WebApplication app)
    {
        _app = app;
        var addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToList();
        (Http, Grpc) = (new HttpClient { BaseAddress = new Uri(addresses[0]) }, new Uri(addresses[1]));
    }

    public HttpClient Http { get; }

    public Uri Grpc { get; }

    public static async Task<GuardedService> StartAsync(ClientFixture client, Action<ClawBureauAuthenticationOptions>? configure = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http1);
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2);
        });
        builder.Services.AddSingleton(client.Verifier).AddSingleton(client.Watches);
        builder.Services.AddAuthentication(ClawBureauAuthentication.Scheme).AddClawBureau(options =>
        {
            options.Requirements = new TokenRequirements { AudienceAny = ["clawproxy.example"] };
            configure?.Invoke(options);
        });
        builder.Services.AddAuthorizationBuilder().AddPolicy("admins", policy => policy.RequireClaim("scope", "notes:admin"));
        builder.Services.AddSingleton(new ScopedTokenServerInterceptor(
            client.Verifier, client.Watches, method => method.EndsWith("/ListRevocations", StringComparison.Ordinal) ? null : new TokenRequirements { ScopeAny = ["clawproxy:call"] }));
        builder.Services.AddGrpc(grpc => grpc.Interceptors.Add<ScopedTokenServerInterceptor>());
        var app = builder.Build();
        app.UseAuthentication();
        app.UseAuthorization();
        app.MapGet("/open", () => "open");
        app.MapGet("/me", (HttpContext context) => $"{context.User.Identity!.Name} {context.Features.Get<VerifiedRequest>()!.Verification.Confidence.Source}").RequireAuthorization();
        app.MapGet("/admin", () => "admin").RequireAuthorization("admins");
        app.MapGet("/stream", async (HttpContext context) =>
        {
            await context.Response.WriteAsync("first\n");
            await context.Response.Body.FlushAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted);
        }).RequireAuthorization();
        app.MapGrpcService<Introspection>();
        app.MapGrpcService<Feed>();
        await app.StartAsync();
        return new GuardedService(app);
    }

    public Task<HttpResponseMessage> GetAsync(string path, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path);
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        return Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }

    private sealed class Introspection : IntrospectionService.IntrospectionServiceBase
    {
        public override Task<IntrospectTokenResponse> IntrospectToken(IntrospectTokenRequest request, ServerCallContext context) =>
            Task.FromResult(new IntrospectTokenResponse { Kid = context.GetVerification().Claims!.Sub });
    }

    private sealed class Feed : FeedService.FeedServiceBase
    {
        public override Task<ListRevocationsResponse> ListRevocations(ListRevocationsRequest request, ServerCallContext context) =>
            Task.FromResult(new ListRevocationsResponse());

        public override async Task GetSnapshot(GetSnapshotRequest request, IServerStreamWriter<GetSnapshotResponse> responseStream, ServerCallContext context)
        {
            await responseStream.WriteAsync(new GetSnapshotResponse { Begin = new SnapshotBegin() });
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        }
    }
}
