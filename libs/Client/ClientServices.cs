using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

namespace ClawBureau.Client;

/// <summary>Adds verification to a service.</summary>
public static class ClientServices
{
    /// <summary>
    /// Adds <see cref="TokenVerifier"/> and what keeps it current, with connections of its own to the addresses that are set.
    /// </summary>
    /// <exception cref="ArgumentException">At start: an option cannot be used; the message names it.</exception>
    public static IServiceCollection AddClawBureau(this IServiceCollection services, Action<ClawBureauOptions> configure)
    {
        var options = new ClawBureauOptions();
        configure(options);
        services.AddSingleton(options);
        services.AddSingleton(_ => new SuitePeers(options));
        services.AddSingleton<IKeySource>(provider => provider.GetRequiredService<SuitePeers>().KeySource(provider.GetRequiredService<TimeProvider>()));
        return services.AddTokenVerification(_ => options.Verification, provider => provider.GetRequiredService<SuitePeers>().Introspector);
    }

    /// <summary>The same over connections that the service has already. It also adds an <see cref="IKeySource"/>.</summary>
    /// <param name="introspector">Calls to the Introspector; refusals must arrive as <see cref="Refusal"/>.</param>
    public static IServiceCollection AddTokenVerification(this IServiceCollection services, Func<IServiceProvider, ClientOptions> options, Func<IServiceProvider, CallInvoker> introspector)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(provider =>
        {
            var read = options(provider);
            read.Validate();
            return read;
        });
        services.AddSingleton<SteadyClock>();
        services.AddSingleton<RevocationSet>();
        services.AddSingleton(provider => new VerifiedTokenCache(provider.GetRequiredService<ClientOptions>().CachedTokens));
        services.AddSingleton<TokenWatches>();
        services.AddSingleton<KeyCache>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<RevocationFollower>(provider, introspector(provider)));
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<IntrospectionPeer>(
            provider, introspector(provider), new PeerCalls("the Introspector", provider.GetRequiredService<ClientOptions>().CallTimeout, provider.GetRequiredService<TimeProvider>())));
        services.AddSingleton<TokenVerifier>();
        services.AddHostedService<Following>();
        return services;
    }

    /// <summary>Runs while the service does.</summary>
    private sealed class Following(KeyCache keys, RevocationFollower follower) : BackgroundService
    {
        protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(keys.RunAsync(stoppingToken), follower.RunAsync(stoppingToken));
    }
}

/// <summary>The connections that <see cref="ClawBureauOptions"/> ask for.</summary>
public sealed class SuitePeers : IDisposable
{
    private readonly ClawBureauOptions _options;
    private readonly SuiteChannel? _issuer;
    private readonly SuiteChannel _introspector;
    private readonly HttpClient? _http;

    /// <exception cref="ArgumentException">An address is missing or cannot be used.</exception>
    public SuitePeers(ClawBureauOptions options)
    {
        _options = options;
        if (options.Introspector is null) throw new ArgumentException($"{nameof(options.Introspector)} is not set.");
        if (options.Issuer is null && options.HttpFace is null) throw new ArgumentException($"Neither {nameof(options.Issuer)} nor {nameof(options.HttpFace)} is set.");
        _introspector = new SuiteChannel(options.Introspector, options);
        if (options.Issuer is { } issuer) _issuer = new SuiteChannel(issuer, options);
        else _http = new HttpClient(SuiteChannel.NewHandler(options)) { BaseAddress = options.HttpFace, Timeout = Timeout.InfiniteTimeSpan };
    }

    public CallInvoker Introspector => _introspector.Calls;

    /// <exception cref="InvalidOperationException">No Issuer is configured.</exception>
    public CallInvoker Issuer => _issuer?.Calls ?? throw new InvalidOperationException("Set ClawBureauOptions.Issuer: tokens are issued over gRPC.");

    public void Dispose()
    {
        _issuer?.Dispose();
        _introspector.Dispose();
        _http?.Dispose();
    }

    internal IKeySource KeySource(TimeProvider time)
    {
        var calls = new PeerCalls("the source of keys", _options.Verification.CallTimeout, time);
        return _http is null ? new IssuerKeySource(Issuer, calls) : new JwksKeySource(_http, calls);
    }
}
