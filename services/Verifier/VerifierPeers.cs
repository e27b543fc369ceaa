using ClawBureau.Client;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Protos.Keys.V1;
using Grpc.Core;

namespace ClawBureau.Verifier;

/// <summary>The services that this process asks, under its own certificate. It hands nobody's credential on.</summary>
public sealed class VerifierPeers : IDisposable
{
    private readonly PeerChannel _issuer;
    private readonly PeerChannel _introspector;

    /// <exception cref="StartRefused">A certificate is missing or unusable.</exception>
    public VerifierPeers(VerifierOptions options, ProcessOptions process, TimeProvider time, ILogger<PeerChannel> log)
    {
        var peer = new PeerOptions
        {
            CaFile = process.CaFile,
            ClientCertFile = process.CertificateFile,
            ClientKeyFile = process.KeyFile,
            UnaryDeadline = options.CallTimeout,
        };
        _issuer = PeerChannel.Create(options.Issuer, peer, time, log);
        _introspector = PeerChannel.Create(options.Introspector, peer, time, log);
        IssuerCalls = new PeerCalls("the Issuer", options.CallTimeout, time);
        Keys = new(_issuer.Calls);
        Controllers = new(_issuer.Calls);
    }

    public CallInvoker Issuer => _issuer.Calls;

    public CallInvoker Introspector => _introspector.Calls;

    /// <summary>Around what the Issuer is asked.</summary>
    public PeerCalls IssuerCalls { get; }

    public KeyService.KeyServiceClient Keys { get; }

    public ControllerService.ControllerServiceClient Controllers { get; }

    public void Dispose()
    {
        _issuer.Dispose();
        _introspector.Dispose();
    }
}
