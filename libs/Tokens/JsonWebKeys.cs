namespace ClawBureau.Tokens;

/// <summary>The JWKS document of contract section 3.</summary>
public static class JsonWebKeys
{
    /// <summary>
    /// <c>{"keys":[{"kty":"OKP","crv":"Ed25519","x","kid","alg","use":"sig","ext":true}]}</c> as UTF-8, members in that order.
    /// </summary>
    /// <param name="accepted">Keys accepted now, signing keys first; see <see cref="KeyRing.AcceptedAt"/>.</param>
    /// <param name="algorithm">The name tokens carry; null leaves <c>alg</c> out, while tokens with either name are live.</param>
    public static byte[] Write(IEnumerable<VerificationKey> accepted, TokenAlgorithm? algorithm = TokenAlgorithm.EdDsa)
    {
        var writer = new JsJsonWriter().BeginObject();
        writer.Name("keys").BeginArray();
        foreach (var key in accepted)
        {
            writer.BeginObject();
            writer.Name("kty").Value("OKP");
            writer.Name("crv").Value("Ed25519");
            writer.Name("x").Value(Base64UrlText.Encode(key.PublicKey));
            writer.Name("kid").Value(key.KeyId.ToString());
            if (algorithm is { } name) writer.Name("alg").Value(name.ToHeader());
            writer.Name("use").Value("sig");
            writer.Name("ext").Value(true);
            writer.EndObject();
        }
        return writer.EndArray().EndObject().ToArray();
    }
}
