using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ClawBureau.Hosting.Tls;

/// <summary>Listeners, limits and TLS of every process.</summary>
internal sealed class KestrelSetup(ProcessOptions options, ListenProtocols protocols, TimeProvider time, ILoggerFactory loggers)
    : IConfigureOptions<KestrelServerOptions>
{
    public void Configure(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        Limit(kestrel.Limits);
        var tls = new Lazy<TlsHandshakeCallbackOptions>(Tls); // one for all https listeners
        foreach (var address in options.Listen)
        {
            void SetUp(ListenOptions listen)
            {
                listen.Protocols = protocols.Value;
                if (address.IsHttps) Secure(listen, tls.Value);
            }

            // Any address also works on machines without IPv6.
            if (address.Address.Equals(IPAddress.IPv6Any)) kestrel.ListenAnyIP(address.Port, SetUp);
            else kestrel.Listen(address.Address, address.Port, SetUp);
        }
    }

    private void Secure(ListenOptions listen, TlsHandshakeCallbackOptions tls)
    {
        listen.UseHttps(tls);
        listen.Use(next => connection =>
        {
            var certificate = connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate;
            connection.Features.Set(PeerIdentity.Of(certificate, options.TrustDomain));
            return next(connection);
        });
        if (protocols.Value == HttpProtocols.Http2) listen.Use(next => connection => GatheredOutput.RunAsync(next, connection));
    }

    private void Limit(KestrelServerLimits limits)
    {
        limits.MaxConcurrentConnections = options.MaxConnections;
        limits.MaxRequestHeaderCount = 64;
        limits.MaxRequestHeadersTotalSize = 32 * 1024; // a token of 16 KiB among them
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        // The framework lifts the rate of request bodies for client streams, where silence is normal; a response that its
        // caller does not read is cut off at this rate also on streams.
        limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 240, gracePeriod: TimeSpan.FromSeconds(5));
        limits.MinResponseDataRate = new MinDataRate(bytesPerSecond: 240, gracePeriod: TimeSpan.FromSeconds(5));
        limits.Http2.MaxStreamsPerConnection = options.MaxStreamsPerConnection;
        limits.Http2.HeaderTableSize = 4096;
        limits.Http2.MaxRequestHeaderFieldSize = 24 * 1024;
        limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
        limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
    }

    private TlsHandshakeCallbackOptions Tls()
    {
        var logger = loggers.CreateLogger<CertificateFile>();
        var certificate = new CertificateFile(options.CertificateFile!, options.KeyFile!, time, logger);
        var clients = options.CaFile is { } caFile ? TrustAnchor.Load(caFile).PolicyFor(TrustAnchor.ClientAuthentication) : null;
        return new TlsHandshakeCallbackOptions
        {
            HandshakeTimeout = TimeSpan.FromSeconds(10),
            OnConnection = _ => ValueTask.FromResult(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = certificate.Current,
                EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
                // Asked for, not required: callers with an admin key have none. One that is shown must be good.
                ClientCertificateRequired = clients is not null,
                CertificateChainPolicy = clients,
                RemoteCertificateValidationCallback = static (_, shown, _, errors) => shown is null || errors == SslPolicyErrors.None,
            }),
        };
    }
}

/// <summary>What the listeners of a process speak; gRPC processes HTTP/2 alone.</summary>
internal sealed record ListenProtocols(HttpProtocols Value);
