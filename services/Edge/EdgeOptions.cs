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

    /// <summary>CLAW_EDGE_HTTP: a loopback address for plain HTTP, such as http://127.0.0.1:7405, for browsers and curl on this machine. Default none.</summary>
    public IPEndPoint? PlainHttp { get; init; }

    /// <summary>SCOPE_PROTECTED_AUTH_MODE: admin_token, or canonical_cst for anything else, as the contract has it.</summary>
    public ProtectedAuthMode ProtectedAuth { get; init; }

    /// <summary>SCOPE_VERSION: what /health names. Default this build's own.</summary>
    public required string Version { get; init; }

    /// <exception cref="StartRefused">A setting is missing or cannot be used; the sentence names it.</exception>
    public static EdgeOptions Read(Settings settings) => new()
    {
        Issuer = PeerAddresses.Require(settings, "CLAW_ISSUER", "to the Issuer's address, such as https://127.0.0.1:7410"),
        Introspector = PeerAddresses.Require(settings, "CLAW_INTROSPECTOR", "to the Introspector's address, such as https://127.0.0.1:7420"),
        Verifier = PeerAddresses.Read(settings, "CLAW_VERIFIER"),
        PlainHttp = settings.Text("CLAW_EDGE_HTTP") is { } plain ? ToPlainHttp(plain) : null,
        ProtectedAuth = settings.Text("SCOPE_PROTECTED_AUTH_MODE") == "admin_token" ? ProtectedAuthMode.AdminToken : ProtectedAuthMode.CanonicalCst,
        Version = settings.Text("SCOPE_VERSION") ?? typeof(EdgeOptions).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0],
    };

    private static IPEndPoint ToPlainHttp(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out var address) || address.Scheme != Uri.UriSchemeHttp || address.AbsolutePath != "/")
            throw new StartRefused($"CLAW_EDGE_HTTP is '{text}': set it to an address such as http://127.0.0.1:7405.");
        if (!address.IsLoopback) throw new StartRefused($"CLAW_EDGE_HTTP is '{text}': plain http is served on loopback only; use CLAW_LISTEN with https.");
        return new IPEndPoint(address.Host == "localhost" ? IPAddress.Loopback : IPAddress.Parse(address.DnsSafeHost), address.Port);
    }
}
