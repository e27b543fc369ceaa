using System.Net;
using System.Reflection;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;

namespace ClawBureau.Edge;

/// <summary>Which credentials open the protected routes (clawscope-http.md 0.1 C).</summary>
public enum ProtectedAuthMode
{
    /// <summary>Scoped tokens of the canonical lane.</summary>
    CanonicalCst,

    /// <summary>Admin keys.</summary>
    AdminToken,
}

/// <summary>What an Edge is told at start.</summary>
public sealed class EdgeOptions
{
    /// <summary>CLAW_ISSUER: https address of the Issuer, or those of several replicas with commas between. Required.</summary>
    public required PeerAddresses Issuer { get; init; }

    /// <summary>CLAW_INTROSPECTOR: the same of the Introspector. Required.</summary>
    public required PeerAddresses Introspector { get; init; }

    /// <summary>CLAW_VERIFIER: the same of the Verifier. Without it /v1/verify answers 503 DEPENDENCY_NOT_CONFIGURED.</summary>
    public PeerAddresses? Verifier { get; init; }

    /// <summary>CLAW_AUDIT_SINK: the same of the AuditSink. Without it /v1/audit answers 503 AUDIT_NOT_CONFIGURED.</summary>
    public PeerAddresses? AuditSink { get; init; }

    /// <summary>CLAW_EDGE_HTTP: a loopback address for plain HTTP, such as http://127.0.0.1:7405, for browsers and curl on this machine. Default none.</summary>
    public IPEndPoint? PlainHttp { get; init; }

    /// <summary>SCOPE_PROTECTED_AUTH_MODE: admin_token, or canonical_cst for anything else, as the contract has it.</summary>
    public ProtectedAuthMode ProtectedAuth { get; init; }

    /// <summary>SCOPE_INTROSPECT_AUTH: public, as the contract has it, or required: then introspection takes an admin key, which the Introspector judges.</summary>
    public bool IsIntrospectionPublic { get; init; } = true;

    /// <summary>SCOPE_INTROSPECT_RATE_PER_CLIENT: public introspections a second from one address (IPv6: one /64). Default 1,000; bursts of two seconds' worth.</summary>
    public int RatePerClient { get; init; } = 1000;

    /// <summary>CLAW_EDGE_MAX_EVENT_STREAMS: callers on server-sent events at one time; each asks the feed once a second. Default 256.</summary>
    public int MostEventStreams { get; init; } = 256;

    /// <summary>Pause between two looks at the feed on behalf of a stream of events. 1 s.</summary>
    public TimeSpan EventPause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>SCOPE_VERSION: what /health names. Default this build's own.</summary>
    public required string Version { get; init; }

    /// <exception cref="StartRefused">A setting is missing or cannot be used; the sentence names it.</exception>
    public static EdgeOptions Read(Settings settings) => new()
    {
        Issuer = PeerAddresses.Require(settings, "CLAW_ISSUER", "to the Issuer's address, such as https://127.0.0.1:7410"),
        Introspector = PeerAddresses.Require(settings, "CLAW_INTROSPECTOR", "to the Introspector's address, such as https://127.0.0.1:7420"),
        Verifier = PeerAddresses.Read(settings, "CLAW_VERIFIER"),
        AuditSink = PeerAddresses.Read(settings, "CLAW_AUDIT_SINK"),
        PlainHttp = settings.Text("CLAW_EDGE_HTTP") is { } plain ? ToPlainHttp(plain) : null,
        ProtectedAuth = settings.Text("SCOPE_PROTECTED_AUTH_MODE") == "admin_token" ? ProtectedAuthMode.AdminToken : ProtectedAuthMode.CanonicalCst,
        IsIntrospectionPublic = settings.Choice("SCOPE_INTROSPECT_AUTH", IntrospectAuth.Public) == IntrospectAuth.Public,
        RatePerClient = settings.Number("SCOPE_INTROSPECT_RATE_PER_CLIENT", 1000, 1, 10_000_000),
        MostEventStreams = settings.Number("CLAW_EDGE_MAX_EVENT_STREAMS", 256, 0, 100_000),
        Version = settings.Text("SCOPE_VERSION") ?? typeof(EdgeOptions).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0],
    };

    private enum IntrospectAuth
    {
        Public,
        Required,
    }

    private static IPEndPoint ToPlainHttp(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out var address) || address.Scheme != Uri.UriSchemeHttp || address.AbsolutePath != "/")
            throw new StartRefused($"CLAW_EDGE_HTTP is '{text}': set it to an address such as http://127.0.0.1:7405.");
        if (!address.IsLoopback) throw new StartRefused($"CLAW_EDGE_HTTP is '{text}': plain http is served on loopback only; use CLAW_LISTEN with https.");
        return new IPEndPoint(address.Host == "localhost" ? IPAddress.Loopback : IPAddress.Parse(address.DnsSafeHost), address.Port);
    }
}
