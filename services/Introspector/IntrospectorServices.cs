using ClawBureau.Hosting;
using ClawBureau.Hosting.Callers;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>What this process is made of.</summary>
public static class IntrospectorServices
{
    public static void AddIntrospector(this IServiceCollection services)
    {
        services.AddSettings(IntrospectorOptions.Read);
        services.AddSingleton(s => LedgerDatabase.ForReading(s.GetRequiredService<IntrospectorOptions>().Database));
        services.AddSingleton<LedgerReader>();
        services.AddSingleton<RevocationSet>();
        services.AddSingleton(new VerifiedTokenCache());
        services.AddSingleton<IntrospectionRights>();
        services.AddSingleton<FollowerReceipts>();
        services.AddSingleton<Watches>();
        services.AddSingleton<FeedRing>();
        services.AddSingleton<IntrospectorClock>();
        services.AddSingleton<SnapshotTurns>();
        services.AddSingleton<LedgerFollower>();
        services.AddSingleton<ICallerTokens, FollowedCallerTokens>();
        services.AddHostedService(s => s.GetRequiredService<LedgerFollower>());
    }

    public static void MapIntrospector(this WebApplication app)
    {
        app.MapGrpcService<IntrospectionEndpoint>();
        app.MapGrpcService<FeedEndpoint>();
    }
}
