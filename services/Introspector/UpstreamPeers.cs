using ClawBureau.Client;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>What a relay asks, under its own certificate: the Introspector it follows, and the Issuer for the keys.</summary>
public sealed class UpstreamPeers : IDisposable
{
    private readonly PeerChannel _introspector;
    private readonly PeerChannel _issuer;

    /// <exception cref="StartRefused">A certificate is missing or unusable.</exception>
    public UpstreamPeers(IntrospectorOptions options, ProcessOptions process, TimeProvider time, ILogger<PeerChannel> log)
    {
        var peer = new PeerOptions
        {
            CaFile = process.CaFile,
            ClientCertFile = process.CertificateFile,
            ClientKeyFile = process.KeyFile,
            UnaryDeadline = options.UpstreamDeadline,
        };
        _introspector = PeerChannel.Create(options.Upstream!, peer, time, log);
        _issuer = PeerChannel.Create(options.Issuer!, peer, time, log);
        IssuerCalls = new PeerCalls("the Issuer", options.UpstreamDeadline, time);
    }

    public CallInvoker Introspector => _introspector.Calls;

    public CallInvoker Issuer => _issuer.Calls;

    /// <summary>Around what the Issuer is asked.</summary>
    public PeerCalls IssuerCalls { get; }

    public void Dispose()
    {
        _introspector.Dispose();
        _issuer.Dispose();
    }
}
