using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Hosting.Tls;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Grpc.Net.Client.Balancer;
using Grpc.Net.Client.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ClawBureau.Hosting.Peers;

/// <summary>
/// The way to another process: TLS that trusts one CA, HTTP/2 with keepalive pings, a deadline on every unary call, refusals as
/// <see cref="Tokens.Refusal"/>. Calls to a peer with several replicas go to those that can be reached, in turn; one that comes
/// back is used again. Nothing is retried here: whoever calls knows what may be repeated.
/// </summary>
public sealed class PeerChannel : IDisposable
{
    // A replica that was restarted is back within a second or two; the library's own bound is two minutes.
    private static readonly TimeSpan FirstReconnect = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MostReconnect = TimeSpan.FromSeconds(1);

    private readonly ServiceProvider? _replicas;

    private PeerChannel(GrpcChannel channel, CallInvoker calls, ServiceProvider? replicas) => (Channel, Calls, _replicas) = (channel, calls, replicas);

    public GrpcChannel Channel { get; }

    /// <summary>Give this to the generated clients.</summary>
    public CallInvoker Calls { get; }

    /// <exception cref="StartRefused">A file is missing or unusable, or the address is plain http where that is not admitted.</exception>
    public static PeerChannel Create(Uri address, PeerOptions options, TimeProvider? time = null, ILogger<PeerChannel>? logger = null) =>
        Create(new PeerAddresses(address), options, time, logger);

    /// <exception cref="StartRefused">As above; all addresses have one scheme.</exception>
    public static PeerChannel Create(PeerAddresses addresses, PeerOptions options, TimeProvider? time = null, ILogger<PeerChannel>? logger = null)
    {
        time ??= TimeProvider.System;
        bool encrypted = addresses.All[0].Scheme == Uri.UriSchemeHttps;
        foreach (var address in addresses.All)
        {
            if ((address.Scheme == Uri.UriSchemeHttps) != encrypted) throw new StartRefused($"The addresses {addresses} are of one peer, but not of one scheme: use https for all.");
            if (!encrypted && (!address.IsLoopback || !options.AllowPlaintext))
                throw new StartRefused($"{address} is not https: plain http is used on loopback only, and only where it is allowed.");
        }
        var handler = new SocketsHttpHandler
        {
            ConnectTimeout = options.ConnectTimeout,
            KeepAlivePingDelay = TimeSpan.FromSeconds(30),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            EnableMultipleHttp2Connections = true,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            UseProxy = false,
        };
        if (encrypted) handler.SslOptions = Tls(options, time, logger ?? NullLogger<PeerChannel>.Instance);

        var channelOptions = new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = options.MaxMessageBytes,
        };
        var replicas = addresses.All.Count > 1 ? Replicas(addresses) : null;
        if (replicas is not null)
        {
            channelOptions.Credentials = encrypted ? ChannelCredentials.SecureSsl : ChannelCredentials.Insecure;
            channelOptions.ServiceProvider = replicas;
            channelOptions.ServiceConfig = new ServiceConfig { LoadBalancingConfigs = { new RoundRobinConfig() } };
            (channelOptions.InitialReconnectBackoff, channelOptions.MaxReconnectBackoff) = (FirstReconnect, MostReconnect);
        }
        var channel = GrpcChannel.ForAddress(replicas is null ? addresses.All[0] : new Uri("static:///replicas"), channelOptions);
        var calls = channel.Intercept(new RefusalClientInterceptor(), new CallDefaults(options.AdminKey, options.UnaryDeadline, time));
        return new PeerChannel(channel, calls, replicas);
    }

    public void Dispose()
    {
        Channel.Dispose();
        _replicas?.Dispose();
    }

    /// <summary>What tells the channel its addresses.</summary>
    private static ServiceProvider Replicas(PeerAddresses addresses) => new ServiceCollection()
        .AddSingleton<ResolverFactory>(new StaticResolverFactory(_ => addresses.All.Select(address => new BalancerAddress(address.Host, address.Port))))
        .BuildServiceProvider();

    private static SslClientAuthenticationOptions Tls(PeerOptions options, TimeProvider time, ILogger logger)
    {
        if (options.CaFile is null) throw new StartRefused("A peer is called over https without a CA file: name the CA that signs the suite's certificates.");
        var tls = new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = TrustAnchor.Load(options.CaFile).PolicyFor(TrustAnchor.ServerAuthentication),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        };
        if (options is { ClientCertFile: { } certFile, ClientKeyFile: { } keyFile })
        {
            var certificate = new CertificateFile(certFile, keyFile, time, logger);
            tls.LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate.Current.TargetCertificate;
        }
        return tls;
    }

    /// <summary>Gives calls the deadline and the credential that they do not bring themselves.</summary>
    private sealed class CallDefaults(string? adminKey, TimeSpan unaryDeadline, TimeProvider time) : Interceptor
    {
        public override TResponse BlockingUnaryCall<TRequest, TResponse>(
            TRequest request, ClientInterceptorContext<TRequest, TResponse> context, BlockingUnaryCallContinuation<TRequest, TResponse> continuation) =>
            continuation(request, With(context, unaryDeadline));

        public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
            TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncUnaryCallContinuation<TRequest, TResponse> continuation) =>
            continuation(request, With(context, unaryDeadline));

        public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
            TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncServerStreamingCallContinuation<TRequest, TResponse> continuation) =>
            continuation(request, With(context, null));

        public override AsyncClientStreamingCall<TRequest, TResponse> AsyncClientStreamingCall<TRequest, TResponse>(
            ClientInterceptorContext<TRequest, TResponse> context, AsyncClientStreamingCallContinuation<TRequest, TResponse> continuation) =>
            continuation(With(context, null));

        public override AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(
            ClientInterceptorContext<TRequest, TResponse> context, AsyncDuplexStreamingCallContinuation<TRequest, TResponse> continuation) =>
            continuation(With(context, null));

        private ClientInterceptorContext<TRequest, TResponse> With<TRequest, TResponse>(
            ClientInterceptorContext<TRequest, TResponse> context, TimeSpan? deadline)
            where TRequest : class
            where TResponse : class
        {
            var options = context.Options;
            if (deadline is { } limit && options.Deadline is null) options = options.WithDeadline(time.GetUtcNow().UtcDateTime + limit);
            if (adminKey is not null && options.Headers?.Get("authorization") is null) options = options.WithHeaders(WithKey(options.Headers));
            return new ClientInterceptorContext<TRequest, TResponse>(context.Method, context.Host, options);
        }

        // A copy: the caller may use his own for several calls.
        private Metadata WithKey(Metadata? headers)
        {
            var copy = new Metadata();
            foreach (var header in headers ?? Metadata.Empty)
            {
                copy.Add(header);
            }
            copy.Add("authorization", $"Bearer {adminKey}");
            return copy;
        }
    }
}
