using ClawBureau.Hosting.Keys;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>
/// /v1/jwks, /v1/did and /v1/keys/rotation-contract (clawscope-http.md 3), from the Issuer's key set, and the signed history of it
/// under /v1/keys/transparency (4.3).
/// </summary>
internal sealed class KeyRoutes(EdgePeers peers, TimeProvider time)
{
    private const int DefaultHistory = 20, MostHistory = 100;

    public async Task<Answer> JwksAsync(EdgeCall call)
    {
        var keys = await ReadAsync(call);
        return new Answer(StatusCodes.Status200OK, KeyDocuments.Jwks(keys, time.GetUtcNow()))
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
        return new Answer(StatusCodes.Status200OK, KeyDocuments.Contract(keys, time.GetUtcNow()).ToJson());
    }

    public async Task<Answer> LatestSnapshotAsync(EdgeCall call)
    {
        var snapshot = (await peers.Keys.GetTransparencySnapshotAsync(new(), call.Options)).Snapshot;
        return Answer.Ok(json => WriteMembers(json, snapshot));
    }

    public async Task<Answer> HistoryAsync(EdgeCall call)
    {
        var page = await peers.Keys.ListTransparencySnapshotsAsync(new() { PageSize = RevocationRoutes.LimitOf(call.Query["limit"].ToString(), DefaultHistory, MostHistory) }, call.Options);
        return Answer.Ok(json =>
        {
            json.Name("snapshots").BeginArray();
            foreach (var snapshot in page.Snapshots)
            {
                json.BeginObject();
                WriteMembers(json, snapshot);
                json.EndObject();
            }
            json.EndArray();
        });
    }

    /// <summary>The body is not looked at: there is nothing to say in it.</summary>
    public async Task<Answer> CreateSnapshotAsync(EdgeCall call)
    {
        var snapshot = (await peers.Keys.CreateTransparencySnapshotAsync(new(), call.Options)).Snapshot;
        return Answer.Ok(json =>
        {
            json.Name("status").Value("snapshot_created").Name("snapshot").BeginObject();
            WriteMembers(json, snapshot);
            json.EndObject();
        });
    }

    /// <summary>The nine members that were hashed and signed, in their order, and what belongs to them.</summary>
    private static void WriteMembers(JsJsonWriter json, TransparencySnapshot snapshot)
    {
        KeyTransparencySnapshot.WriteStated(json, KeyTransparencySnapshot.Parse(snapshot.PayloadJson.Memory), snapshot.GeneratedAt.Seconds);
        json.Name("snapshot_id").Value(snapshot.SnapshotId)
            .Name("snapshot_hash_b64u").Value(snapshot.SnapshotHashB64U)
            .Name("signer_kid").Value(snapshot.SignerKid)
            .Name("signature_b64u").Value(snapshot.SignatureB64U);
    }

    private async Task<KeySet> ReadAsync(EdgeCall call) => (await peers.Keys.GetKeySetAsync(new(), call.Options)).KeySet;
}
