using ClawBureau.Hosting;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;

namespace ClawBureau.AuditSink;

/// <summary>The Introspector, which judges the tokens of callers for this process: it has no keys and follows no revocations.</summary>
public sealed class CallerTokenPeer : ICallerTokens, IDisposable
{
    private readonly PeerChannel? _channel;
    private readonly IntrospectedTokens? _tokens;

    /// <exception cref="StartRefused">A certificate is missing or unusable.</exception>
    public CallerTokenPeer(AuditSinkOptions options, ProcessOptions process, TimeProvider time, ILogger<PeerChannel> log)
    {
        if (options.Introspector is not { } addresses) return;
        var peer = new PeerOptions { CaFile = process.CaFile, ClientCertFile = process.CertificateFile, ClientKeyFile = process.KeyFile, UnaryDeadline = process.UnaryDeadline };
        _channel = PeerChannel.Create(addresses, peer, time, log);
        _tokens = new IntrospectedTokens(new IntrospectionService.IntrospectionServiceClient(_channel.Calls));
    }

    public Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken) => _tokens is { } tokens
        ? tokens.JudgeAsync(compact, cancellationToken)
        : throw new Refusal(Reason.DependencyNotConfigured, "CLAW_INTROSPECTOR is not configured");

    public void Dispose() => _channel?.Dispose();
}
