using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Keys;

/// <summary>The documents of clawscope-http.md 3, made from the Issuer's key set by whoever publishes or prints them.</summary>
public static class KeyDocuments
{
    /// <summary>The JWKS, compact. While tokens under both names of the algorithm are alive it states none.</summary>
    public static byte[] Jwks(KeySet keys, DateTimeOffset now)
    {
        TokenAlgorithm? algorithm = !keys.JwsAlgMixed && TokenAlgorithms.TryParse(keys.JwsAlg, out var named) ? named : null;
        return JsonWebKeys.Write(SetOf(keys).AcceptedAt(now), algorithm);
    }

    public static RotationContract Contract(KeySet keys, DateTimeOffset now)
    {
        var signing = keys.Keys.Where(key => key.CanSign && key.Kid != keys.ActiveKid).Select(key => key.Kid).Prepend(keys.ActiveKid);
        return RotationContract.Of(SetOf(keys), [.. signing.Select(KeyId.Parse)], keys.Overlap.Seconds, now);
    }

    // The set holds what is not retired; which of it signs is the contract's own business.
    private static VerificationKeySet SetOf(KeySet keys) => VerificationKeySet.From(keys.Keys.Select(key => (
        KeyId.Parse(key.Kid), key.PublicKey.ToByteArray(), Tokens.KeyState.VerifyOnly, key.NotAfter?.Seconds, key.Foreign)));
}
