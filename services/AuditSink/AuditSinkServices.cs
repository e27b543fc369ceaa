using ClawBureau.Hosting;
using ClawBureau.Hosting.Callers;

namespace ClawBureau.AuditSink;

/// <summary>What this process is made of.</summary>
public static class AuditSinkServices
{
    public static void AddAuditSink(this IServiceCollection services)
    {
        services.AddSettings(AuditSinkOptions.Read);
        services.AddSingleton(s => new AuditDatabase(s.GetRequiredService<AuditSinkOptions>().Database));
        services.AddSingleton<LookupIndex>();
        services.AddSingleton<AuditLog>();
        services.AddSingleton<EntryReader>();
        services.AddSingleton<CallerTokenPeer>();
        services.AddSingleton<ICallerTokens>(s => s.GetRequiredService<CallerTokenPeer>());
        services.AddHostedService(s => s.GetRequiredService<AuditLog>());
        services.AddHostedService(s => s.GetRequiredService<LookupIndex>());
    }

    public static void MapAuditSink(this WebApplication app) => app.MapGrpcService<AuditEndpoint>();
}
