using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ClawBureau.Hosting.Refusals;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;

namespace ClawBureau.Client;

/// <summary>A connection to a service of the suite: https with the CA and the certificate of <see cref="ClawBureauOptions"/>, failures as <see cref="Tokens.Refusal"/>.</summary>
public sealed class SuiteChannel : IDisposable
{
    private readonly GrpcChannel _channel;

    /// <exception cref="ArgumentException">The address is not https, or only one of certificate and key is named.</exception>
    public SuiteChannel(Uri address, ClawBureauOptions options)
    {
        if (address.Scheme != Uri.UriSchemeHttps) throw new ArgumentException($"{address} is not https", nameof(address));
        _channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = NewHandler(options),
            DisposeHttpClient = true,
            MaxReceiveMessageSize = 4 * 1024 * 1024,
        });
        Calls = _channel.Intercept(new RefusalClientInterceptor(), new KeyInterceptor(options.AdminKey));
    }

    /// <summary>Give this to generated clients.</summary>
    public CallInvoker Calls { get; }

    public void Dispose() => _channel.Dispose();

    internal static SocketsHttpHandler NewHandler(ClawBureauOptions options)
    {
        var tls = new SslClientAuthenticationOptions { EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13 };
        if (options.CaFile is { } caFile)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(caFile);
            tls.CertificateChainPolicy = policy;
        }
        if (options.ClientCertFile is not null || options.ClientKeyFile is not null)
        {
            if (options.ClientCertFile is null || options.ClientKeyFile is null)
                throw new ArgumentException($"{nameof(options.ClientCertFile)} and {nameof(options.ClientKeyFile)} belong together.");
            tls.ClientCertificates = [X509Certificate2.CreateFromPemFile(options.ClientCertFile, options.ClientKeyFile)];
        }
        return new SocketsHttpHandler
        {
            SslOptions = tls,
            ConnectTimeout = TimeSpan.FromSeconds(5),
            KeepAlivePingDelay = TimeSpan.FromSeconds(10),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(5),
            EnableMultipleHttp2Connections = true,
            AllowAutoRedirect = false,
            UseCookies = false,
        };
    }

    /// <summary>Shows the admin key with calls that bring no credential of their own.</summary>
    private sealed class KeyInterceptor(string? adminKey) : Interceptor
    {
        public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
            TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncUnaryCallContinuation<TRequest, TResponse> continuation) =>
            continuation(request, With(context));

        public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
            TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncServerStreamingCallContinuation<TRequest, TResponse> continuation) =>
            continuation(request, With(context));

        public override AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(
            ClientInterceptorContext<TRequest, TResponse> context, AsyncDuplexStreamingCallContinuation<TRequest, TResponse> continuation) =>
            continuation(With(context));

        private ClientInterceptorContext<TRequest, TResponse> With<TRequest, TResponse>(ClientInterceptorContext<TRequest, TResponse> context)
            where TRequest : class
            where TResponse : class
        {
            if (adminKey is null || context.Options.Headers?.Get("authorization") is not null) return context;
            var headers = new Metadata();
            foreach (var header in context.Options.Headers ?? Metadata.Empty) headers.Add(header);
            headers.Add("authorization", $"Bearer {adminKey}");
            return new ClientInterceptorContext<TRequest, TResponse>(context.Method, context.Host, context.Options.WithHeaders(headers));
        }
    }
}
