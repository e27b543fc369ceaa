using ClawBureau.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace ClawBureau.Edge;

/// <summary>What this process is made of.</summary>
public static class EdgeServices
{
    public static void AddEdge(this IServiceCollection services)
    {
        services.AddSettings(EdgeOptions.Read);
        services.AddSingleton<EdgePeers>();
        services.AddSingleton<KeyRoutes>();
        services.AddSingleton<TokenRoutes>();
        services.AddSingleton<IntrospectionRoutes>();
        services.AddSingleton<RevocationRoutes>();
        services.AddSingleton<RevocationFeed>();
        services.AddSingleton<AuditRoutes>();
        services.AddSingleton<ClientRate>();
        services.AddSingleton<VerificationRoutes>();
        services.AddSingleton<BindingRoutes>();
        services.AddSingleton<ControlRoutes>();
        services.AddSingleton<BootstrapRoutes>();
        services.AddSingleton<RouteTable>();
        services.AddSingleton<HttpFace>();
        services.AddOptions<KestrelServerOptions>().Configure<EdgeOptions>((kestrel, options) =>
        {
            if (options.PlainHttp is { } plain) kestrel.Listen(plain, listen => listen.Protocols = HttpProtocols.Http1);
        });
    }

    /// <summary>Everything that is not gRPC. Not one endpoint per route: the framework's router folds case, forgives a trailing slash and answers 405.</summary>
    public static void MapEdge(this WebApplication app)
    {
        var face = app.Services.GetRequiredService<HttpFace>();
        app.Map("/{**path}", (RequestDelegate)face.AnswerAsync);
    }
}
