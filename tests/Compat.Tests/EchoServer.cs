using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Compat.Tests;

/// <summary>
/// The echo service on a real Kestrel, HTTP/2 on a free loopback port: in clear text, or over TLS with a certificate
/// made for this one server, which then also serves as the client's.
/// </summary>
internal sealed class EchoServer : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly X509Certificate2? certificate;

    private EchoServer(WebApplication app, X509Certificate2? certificate)
    {
        this.app = app;
        this.certificate = certificate;
    }

    public WaitSignals Signals => app.Services.GetRequiredService<WaitSignals>();

    public string Address => app.Urls.Single();

    public static Task<EchoServer> StartAsync(Action<GrpcServiceOptions>? configure = null) =>
        StartAsync(configure, null);

    public static Task<EchoServer> StartWithTlsAsync() => StartAsync(null, LoopbackCertificate());

    /// <summary>A channel to this server that trusts its certificate and nothing else.</summary>
    /// <param name="credentials">Null for those that fit the server: insecure or TLS.</param>
    /// <param name="withClientCertificate">Whether the client shows the certificate as its own.</param>
    /// <param name="watch">Sees each HTTP response before gRPC does.</param>
    public GrpcChannel Connect(
        ChannelCredentials? credentials = null,
        bool withClientCertificate = false,
        Action<HttpResponseMessage>? watch = null)
    {
        var handler = new SocketsHttpHandler();
        if (certificate is not null)
        {
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { certificate },
                RevocationMode = X509RevocationMode.NoCheck,
            };
            handler.SslOptions.ClientCertificates = withClientCertificate ? [certificate] : null;
        }

        return GrpcChannel.ForAddress(Address, new GrpcChannelOptions
        {
            Credentials = credentials,
            HttpHandler = new WatchedHandler(handler, watch),
            DisposeHttpClient = true,
        });
    }

    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync().AsTask().WaitAsync(Patience.Limit);
        certificate?.Dispose();
    }

    private static async Task<EchoServer> StartAsync(
        Action<GrpcServiceOptions>? configure, X509Certificate2? certificate)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<WaitSignals>();
        builder.Services.AddGrpc(options => configure?.Invoke(options));
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            if (certificate is not null)
            {
                listen.UseHttps(https =>
                {
                    https.ServerCertificate = certificate;
                    https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                    https.ClientCertificateValidation =
                        (client, _, _) => client.RawDataMemory.Span.SequenceEqual(certificate.RawDataMemory.Span);
                });
            }
        }));

        var app = builder.Build();
        app.MapGrpcService<EchoEndpoint>();
        await app.StartAsync(Patience.Token());
        return new EchoServer(app, certificate);
    }

    private static X509Certificate2 LoopbackCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=echo", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddDnsName("echo.test");
        request.CertificateExtensions.Add(names.Build());
        var now = TimeProvider.System.GetUtcNow();
        using var made = request.CreateSelfSigned(now.AddHours(-1), now.AddHours(1));

        // Windows does not use a key that was never in a PFX.
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
    }

    private sealed class WatchedHandler(HttpMessageHandler inner, Action<HttpResponseMessage>? watch)
        : DelegatingHandler(inner)
    {
        protected override async Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken);
            watch?.Invoke(response);
            return response;
        }
    }
}
