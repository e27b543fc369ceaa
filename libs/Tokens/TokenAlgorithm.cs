namespace ClawBureau.Tokens;

/// <summary>The two names of the one signature algorithm a token may have; it is pinned to the key, never chosen by the token.</summary>
public enum TokenAlgorithm
{
    /// <summary><c>EdDSA</c> (RFC 8037): what existing consumers expect.</summary>
    EdDsa = 0,

    /// <summary><c>Ed25519</c>, the fully specified name (RFC 9864).</summary>
    Ed25519 = 1,
}

/// <summary>The algorithm's spelling in headers and JWKs.</summary>
public static class TokenAlgorithms
{
    public static string ToHeader(this TokenAlgorithm algorithm) =>
        algorithm == TokenAlgorithm.Ed25519 ? "Ed25519" : "EdDSA";

    /// <summary>Exact spelling only.</summary>
    public static bool TryParse(string? text, out TokenAlgorithm algorithm)
    {
        algorithm = text == "Ed25519" ? TokenAlgorithm.Ed25519 : TokenAlgorithm.EdDsa;
        return text is "EdDSA" or "Ed25519";
    }
}
