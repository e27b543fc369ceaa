using ClawBureau.Hosting.Logs;
using ClawBureau.Hosting.Tls;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting;

/// <summary>What every process of the suite is configured by, read from the environment.</summary>
public sealed class ProcessOptions
{
    /// <summary><c>CLAW_LISTEN</c>: where to listen, such as https://127.0.0.1:7410; several separated by commas. Required.</summary>
    public IReadOnlyList<ListenAddress> Listen { get; init; } = [];

    /// <summary><c>CLAW_TLS_CERT_FILE</c>: PEM certificate, intermediates after it. Required for https.</summary>
    public string? CertificateFile { get; init; }

    /// <summary><c>CLAW_TLS_KEY_FILE</c>: PEM private key of the certificate; closed to other users. Required for https.</summary>
    public string? KeyFile { get; init; }

    /// <summary><c>CLAW_TLS_CA_FILE</c>: the only trust anchor of client certificates and peers. Without it no client certificate is accepted.</summary>
    public string? CaFile { get; init; }

    /// <summary><c>CLAW_ALLOW_PLAINTEXT</c>: 1 admits http on loopback addresses. Default 0; http is never admitted elsewhere.</summary>
    public bool AllowPlaintext { get; init; }

    /// <summary><c>CLAW_TRUST_DOMAIN</c>: the SPIFFE trust domain of service identities. Default claw.local; others are refused.</summary>
    public string TrustDomain { get; init; } = "claw.local";

    /// <summary>
    /// <c>CLAW_OPERATOR_OWNER_DIDS</c>: owners whose canonical tokens act for the whole suite and not for their owner alone,
    /// separated by commas. Default none: then only admin keys and certificates do.
    /// </summary>
    public IReadOnlySet<Did> OperatorOwners { get; init; } = new HashSet<Did>();

    /// <summary>
    /// <c>CLAW_CALLER_AUDIENCES</c>: of these, separated by commas, a caller's token must name one in its <c>aud</c>. Default none: its
    /// audience is not looked at, as existing consumers expect (clawscope-http.md 0.1).
    /// </summary>
    public IReadOnlySet<string> CallerAudiences { get; init; } = new HashSet<string>();

    /// <summary><c>CLAW_SHUTDOWN_SECONDS</c>: how long running calls may take to end. Default 10 s; streams are ended at once.</summary>
    public TimeSpan ShutdownWithin { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary><c>CLAW_UNARY_DEADLINE_SECONDS</c>: the deadline of unary calls that come without one. Default 10 s.</summary>
    public TimeSpan UnaryDeadline { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often a stream's credential is looked at. Default 5 s; that much later at most the stream of a withdrawn key ends.</summary>
    public TimeSpan CredentialCheckInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary><c>CLAW_MAX_CONNECTIONS</c>: open connections. Default 10,000; further ones are closed at once.</summary>
    public int MaxConnections { get; init; } = 10_000;

    /// <summary><c>CLAW_MAX_STREAMS_PER_CONNECTION</c>: calls at the same time on one connection. Default 100; further ones wait at the client.</summary>
    public int MaxStreamsPerConnection { get; init; } = 100;

    /// <summary><c>CLAW_MAX_MESSAGE_BYTES</c>: the largest message taken. Default 1 MiB; larger ones are answered RESOURCE_EXHAUSTED.</summary>
    public int MaxMessageBytes { get; init; } = 1024 * 1024;

    /// <summary><c>CLAW_LOG_FORMAT</c>: text (default) or json, one line each.</summary>
    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    /// <summary><c>CLAW_LOG_LEVEL</c>: the least level written, Information by default; the framework's own messages start at Warning.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <exception cref="StartRefused">A value cannot be used, or the combination is not safe.</exception>
    public static ProcessOptions From(Settings settings)
    {
        var options = new ProcessOptions
        {
            Listen = ListenAddress.ParseList(settings.Required("CLAW_LISTEN", "to the addresses to serve on, such as https://127.0.0.1:7410")),
            CertificateFile = settings.Text("CLAW_TLS_CERT_FILE"),
            KeyFile = settings.Text("CLAW_TLS_KEY_FILE"),
            CaFile = settings.Text("CLAW_TLS_CA_FILE"),
            AllowPlaintext = settings.Flag("CLAW_ALLOW_PLAINTEXT"),
            TrustDomain = settings.Text("CLAW_TRUST_DOMAIN") ?? "claw.local",
            OperatorOwners = ParseDids("CLAW_OPERATOR_OWNER_DIDS", settings.Text("CLAW_OPERATOR_OWNER_DIDS") ?? ""),
            CallerAudiences = ListOf(settings.Text("CLAW_CALLER_AUDIENCES") ?? "").ToHashSet(StringComparer.Ordinal),
            ShutdownWithin = settings.Seconds("CLAW_SHUTDOWN_SECONDS", TimeSpan.FromSeconds(10), TimeSpan.Zero, TimeSpan.FromMinutes(10)),
            UnaryDeadline = settings.Seconds("CLAW_UNARY_DEADLINE_SECONDS", TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(1), TimeSpan.FromHours(1)),
            MaxConnections = settings.Number("CLAW_MAX_CONNECTIONS", 10_000, 1, 1_000_000),
            MaxStreamsPerConnection = settings.Number("CLAW_MAX_STREAMS_PER_CONNECTION", 100, 1, 10_000),
            MaxMessageBytes = settings.Number("CLAW_MAX_MESSAGE_BYTES", 1024 * 1024, 1024, 64 * 1024 * 1024),
            LogFormat = settings.Choice("CLAW_LOG_FORMAT", LogFormat.Text),
            LogLevel = settings.Choice("CLAW_LOG_LEVEL", LogLevel.Information),
        };
        options.RequireSafeTransport();
        return options;
    }

    private static HashSet<Did> ParseDids(string name, string list) =>
        [.. ListOf(list).Select(text =>
            Did.TryParse(text, out var did) ? did : throw new StartRefused($"{name} names '{text}', which is no DID: separate DIDs by commas."))];

    private static string[] ListOf(string list) => list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private void RequireSafeTransport()
    {
        foreach (var address in Listen)
        {
            if (address.IsHttps && (CertificateFile is null || KeyFile is null))
                throw new StartRefused($"CLAW_LISTEN asks for {address}, which needs a certificate: set CLAW_TLS_CERT_FILE and CLAW_TLS_KEY_FILE.");
            if (!address.IsHttps && !address.IsLoopback)
                throw new StartRefused($"CLAW_LISTEN asks for {address}: plain http is served on loopback only; use https.");
            if (!address.IsHttps && !AllowPlaintext)
                throw new StartRefused($"CLAW_LISTEN asks for {address}: use https, or set CLAW_ALLOW_PLAINTEXT=1 for this loopback address.");
        }
    }
}
