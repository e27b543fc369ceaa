using ClawBureau.Client;
using ClawBureau.Client.Keys;
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
        services.AddSingleton<RevocationSet>();
        services.AddSingleton(new VerifiedTokenCache());
        services.AddSingleton<IntrospectionRights>();
        services.AddSingleton<FollowerReceipts>();
        services.AddSingleton<Watches>();
        services.AddSingleton<FeedRing>();
        services.AddSingleton<IntrospectorClock>();
        services.AddSingleton<SnapshotTurns>();
        services.AddSingleton<ICallerTokens, FollowedCallerTokens>();
        services.AddLedger();
        services.AddUpstream();
        services.AddSingleton<IFeedSource>(s => IsRelay(s) ? s.GetRequiredService<UpstreamFollower>() : s.GetRequiredService<LedgerFollower>());
        services.AddSingleton<IRevocationLists>(s => IsRelay(s) ? s.GetRequiredService<UpstreamLists>() : s.GetRequiredService<LedgerLists>());
        services.AddHostedService<BackgroundService>(s => IsRelay(s) ? s.GetRequiredService<UpstreamFollower>() : s.GetRequiredService<LedgerFollower>());
    }

    public static void MapIntrospector(this WebApplication app)
    {
        app.MapGrpcService<IntrospectionEndpoint>();
        app.MapGrpcService<FeedEndpoint>();
    }

    private static bool IsRelay(IServiceProvider services) => services.GetRequiredService<IntrospectorOptions>().Upstream is not null;

    private static void AddLedger(this IServiceCollection services)
    {
        services.AddSingleton(s => LedgerDatabase.ForReading(s.GetRequiredService<IntrospectorOptions>().Database!));
        services.AddSingleton<LedgerReader>();
        services.AddSingleton<LedgerFollower>();
        services.AddSingleton<LedgerLists>();
    }

    private static void AddUpstream(this IServiceCollection services)
    {
        services.AddSingleton<UpstreamPeers>();
        services.AddSingleton(s => new ClientOptions { CallTimeout = s.GetRequiredService<IntrospectorOptions>().UpstreamDeadline, MostBackoff = TimeSpan.FromSeconds(1) });
        services.AddSingleton<IKeySource>(s => new IssuerKeySource(s.GetRequiredService<UpstreamPeers>().Issuer, s.GetRequiredService<UpstreamPeers>().IssuerCalls));
        services.AddSingleton<KeyCache>();
        services.AddSingleton<UpstreamFollower>();
        services.AddSingleton<UpstreamLists>();
    }
}
