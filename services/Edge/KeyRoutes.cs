using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>/v1/jwks, /v1/did and /v1/keys/rotation-contract (clawscope-http.md 3), from the Issuer's key set.</summary>
internal sealed class KeyRoutes(EdgePeers peers, TimeProvider time)
{
    public async Task<Answer> JwksAsync(EdgeCall call)
    {
        var keys = await ReadAsync(call);
        TokenAlgorithm? algorithm = !keys.JwsAlgMixed && TokenAlgorithms.TryParse(keys.JwsAlg, out var named) ? named : null;
        return new Answer(StatusCodes.Status200OK, JsonWebKeys.Write(SetOf(keys).AcceptedAt(time.GetUtcNow()), algorithm))
        {
            CacheControl = $"public, max-age={keys.JwksMaxAge.Seconds}",
        };
    }

    public async Task<Answer> DidAsync(EdgeCall call)
    {
        var keys = await ReadAsync(call);
        var active = keys.Keys.Single(key => key.Kid == keys.ActiveKid);
        return Answer.Ok(json => json
            .Name("did").Value(keys.IssuerDid)
            .Name("kid").Value(active.Kid)
            .Name("public_key_b64u").Value(Base64UrlText.Encode(active.PublicKey.Span)));
    }

    public async Task<Answer> RotationContractAsync(EdgeCall call)
    {
        var keys = await ReadAsync(call);
        var signing = keys.Keys.Where(key => key.CanSign && key.Kid != keys.ActiveKid).Select(key => key.Kid).Prepend(keys.ActiveKid);
        var contract = RotationContract.Of(SetOf(keys), [.. signing.Select(KeyId.Parse)], keys.Overlap.Seconds, time.GetUtcNow());
        return new Answer(StatusCodes.Status200OK, contract.ToJson());
    }

    private async Task<KeySet> ReadAsync(EdgeCall call) => (await peers.Keys.GetKeySetAsync(new(), call.Options)).KeySet;

    private static VerificationKeySet SetOf(KeySet keys) => VerificationKeySet.From(keys.Keys.Select(key => (
        KeyId.Parse(key.Kid), key.PublicKey.ToByteArray(), Tokens.KeyState.VerifyOnly, key.NotAfter?.Seconds, key.Foreign)));
}
