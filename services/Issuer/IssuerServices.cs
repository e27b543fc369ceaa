using ClawBureau.Hosting;
using ClawBureau.Hosting.Callers;
using ClawBureau.Issuer.Control;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>What this process is made of.</summary>
public static class IssuerServices
{
    public static void AddIssuer(this IServiceCollection services)
    {
        services.AddSettings(IssuerOptions.Read);
        services.AddSingleton(s => new LedgerWriter(
            LedgerDatabase.ForWriting(s.GetRequiredService<IssuerOptions>().Database),
            s.GetRequiredService<IssuerOptions>().Ledger,
            s.GetRequiredService<ILogger<LedgerWriter>>()));
        services.AddSingleton(s => new LedgerReads(LedgerDatabase.ForReading(s.GetRequiredService<IssuerOptions>().Database)));
        services.AddSingleton<DatabaseClock>();
        services.AddSingleton<ControlViews>();
        services.AddSingleton<PolicyBook>();
        services.AddSingleton<AlgorithmNames>();
        services.AddSingleton<KeyTransparency>();
        services.AddSingleton<KeyKeeper>();
        services.AddSingleton<TokenMint>();
        services.AddSingleton<Revoker>();
        services.AddSingleton<GroupBlocks>();
        services.AddSingleton<ICallerTokens, LedgerCallerTokens>();
        services.AddControlPlane();
        services.AddSingleton<AuditRelay>();
        // First of all: a ledger that the audit log is ahead of is written to by nobody.
        services.AddHostedService(s => s.GetRequiredService<AuditRelay>());
        // In this order: the writer runs before the keys are announced, and stops after nobody can ask any more.
        services.AddHostedService(s => s.GetRequiredService<LedgerWriter>());
        services.AddHostedService<LedgerPulse>();
    }

    public static void MapIssuer(this WebApplication app)
    {
        app.MapGrpcService<IssuanceEndpoint>();
        app.MapGrpcService<RevocationEndpoint>();
        app.MapGrpcService<KeyEndpoint>();
        app.MapControlPlane();
        app.MapGrpcService<PolicyEndpoint>();
    }
}

/// <summary>The Issuer's reading connections, apart from the writer's one.</summary>
public sealed class LedgerReads(Npgsql.NpgsqlDataSource source)
{
    public Npgsql.NpgsqlDataSource Source { get; } = source;
    public LedgerReader Reader { get; } = new(source);

    /// <summary>Reads for somebody who waits for the answer.</summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE.</exception>
    public async Task<T> ReadAsync<T>(Func<LedgerReader, Task<T>> read)
    {
        try
        {
            return await read(Reader);
        }
        catch (Exception e) when (e is Npgsql.NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }
}
