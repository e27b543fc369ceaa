namespace ClawBureau.Client;

/// <summary>Where the suite is, and how this service shows who it is.</summary>
public sealed class ClawBureauOptions
{
    /// <summary>gRPC address of the Issuer, such as https://issuer.example:7410: keys and their states come from there, and new tokens. This or <see cref="HttpFace"/> is required.</summary>
    public Uri? Issuer { get; set; }

    /// <summary>Address of the HTTP face: keys come from its JWKS instead, which tells less (<see cref="Keys.JwksKeySource"/>).</summary>
    public Uri? HttpFace { get; set; }

    /// <summary>gRPC address of an Introspector, or of what balances several: the revocation feed, and introspection. Required.</summary>
    public Uri? Introspector { get; set; }

    /// <summary>PEM file of the only CA whose servers are trusted. Without it the machine's own trust store decides.</summary>
    public string? CaFile { get; set; }

    /// <summary>PEM certificate that names this service; with <see cref="ClientKeyFile"/>.</summary>
    public string? ClientCertFile { get; set; }

    public string? ClientKeyFile { get; set; }

    /// <summary>Admin key, where there is no certificate. Scopes needed: <c>feed:read</c> and <c>tokens:introspect</c>; to get tokens also <c>tokens:issue</c>.</summary>
    public string? AdminKey { get; set; }

    /// <summary>Freshness, timeouts and bounds; the defaults are the suite's own.</summary>
    public ClientOptions Verification { get; } = new();
}
