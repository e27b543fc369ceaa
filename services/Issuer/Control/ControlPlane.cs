using ClawBureau.Hosting;

namespace ClawBureau.Issuer.Control;

/// <summary>What the control plane is made of. It lives in the Issuer because a freeze and a mint are decided in one transaction.</summary>
internal static class ControlPlane
{
    public static void AddControlPlane(this IServiceCollection services)
    {
        services.AddSettings(ControlOptions.Read);
        services.AddSingleton<ControlLedger>();
        services.AddSingleton<Challenges>();
        services.AddSingleton<BindingRegistry>();
        services.AddSingleton<ControlChallenges>();
        services.AddSingleton<ControllerRegistry>();
        services.AddSingleton<Rotations>();
        services.AddSingleton<Transfers>();
        services.AddSingleton<Chains>();
        services.AddSingleton<CanonicalLane>();
        services.AddSingleton<Portability>();
        services.AddSingleton<TokenExchange>();
    }

    public static void MapControlPlane(this WebApplication app)
    {
        app.MapGrpcService<BindingEndpoint>();
        app.MapGrpcService<ControllerEndpoint>();
        app.MapGrpcService<PortabilityEndpoint>();
        app.MapGrpcService<BootstrapEndpoint>();
    }
}
