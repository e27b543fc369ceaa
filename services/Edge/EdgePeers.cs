using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Edge;

/// <summary>
/// The services that own what this process shows. It calls them under its own certificate, which opens what is public; whoever
/// wants more brings his credential, and they judge it.
/// </summary>
public sealed class EdgePeers : IDisposable
{
    private readonly List<PeerChannel> _channels = [];
    private readonly VerificationService.VerificationServiceClient? _verification;
    private readonly AuditService.AuditServiceClient? _audit;

    /// <exception cref="StartRefused">A certificate is missing or unusable.</exception>
    public EdgePeers(EdgeOptions edge, ProcessOptions process, TimeProvider time, ILogger<PeerChannel> log)
    {
        var peer = new PeerOptions
        {
            CaFile = process.CaFile,
            ClientCertFile = process.CertificateFile,
            ClientKeyFile = process.KeyFile,
            UnaryDeadline = process.UnaryDeadline,
        };
        var issuer = Open(edge.Issuer);
        Issuance = new(issuer);
        Revocation = new(issuer);
        Keys = new(issuer);
        Bindings = new(issuer);
        Controllers = new(issuer);
        Portability = new(issuer);
        Bootstrap = new(issuer);
        var introspector = Open(edge.Introspector);
        Introspection = new(introspector);
        Feed = new(introspector);
        if (edge.Verifier is { } verifier) _verification = new(Open(verifier));
        if (edge.AuditSink is { } sink) _audit = new(Open(sink));

        CallInvoker Open(PeerAddresses addresses)
        {
            var channel = PeerChannel.Create(addresses, peer, time, log);
            _channels.Add(channel);
            return channel.Calls;
        }
    }

    public IssuanceService.IssuanceServiceClient Issuance { get; }
    public RevocationService.RevocationServiceClient Revocation { get; }
    public KeyService.KeyServiceClient Keys { get; }
    public BindingService.BindingServiceClient Bindings { get; }
    public ControllerService.ControllerServiceClient Controllers { get; }
    public PortabilityService.PortabilityServiceClient Portability { get; }
    public BootstrapService.BootstrapServiceClient Bootstrap { get; }
    public IntrospectionService.IntrospectionServiceClient Introspection { get; }
    public FeedService.FeedServiceClient Feed { get; }

    /// <exception cref="Refusal">DEPENDENCY_NOT_CONFIGURED: there is no Verifier.</exception>
    public VerificationService.VerificationServiceClient Verification =>
        _verification ?? throw new Refusal(Reason.DependencyNotConfigured, "CLAW_VERIFIER is not configured");

    /// <exception cref="Refusal">AUDIT_NOT_CONFIGURED: there is no AuditSink.</exception>
    public AuditService.AuditServiceClient Audit => _audit ?? throw new Refusal(Reason.AuditNotConfigured, "CLAW_AUDIT_SINK is not configured");

    public void Dispose() => _channels.ForEach(channel => channel.Dispose());
}
