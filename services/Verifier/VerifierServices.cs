using ClawBureau.Client;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting;

namespace ClawBureau.Verifier;

/// <summary>What this process is made of.</summary>
public static class VerifierServices
{
    public static void AddVerifier(this IServiceCollection services)
    {
        services.AddSettings(VerifierOptions.Read);
        services.AddSingleton<VerifierPeers>();
        services.AddSingleton<IKeySource>(s => new IssuerKeySource(s.GetRequiredService<VerifierPeers>().Issuer, s.GetRequiredService<VerifierPeers>().IssuerCalls));
        services.AddTokenVerification(s => ToClientOptions(s.GetRequiredService<VerifierOptions>()), s => s.GetRequiredService<VerifierPeers>().Introspector);
        services.AddSingleton<TransparencyCache>();
        services.AddSingleton<ControlChains>();
        services.AddSingleton<TokenControl>();
        services.AddSingleton<PublicGate>();
        services.AddHostedService<ReadyWatch>();
    }

    public static void MapVerifier(this WebApplication app) => app.MapGrpcService<VerificationEndpoint>();

    private static ClientOptions ToClientOptions(VerifierOptions options) => new()
    {
        MaxStaleness = options.MaxStaleness,
        KeyCoolDown = options.KeyCoolDown,
        CallTimeout = options.CallTimeout,
        CachedTokens = options.CachedTokens,
    };
}
