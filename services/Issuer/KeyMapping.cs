using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KeyState = ClawBureau.Tokens.KeyState;
using Wire = ClawBureau.Protos.Keys.V1;

namespace ClawBureau.Issuer;

/// <summary>Between the wire's types and this service's own, for keys.</summary>
internal static class KeyMapping
{
    /// <exception cref="Refusal">SIGNING_NOT_CONFIGURED: no key is active.</exception>
    public static KeySet ToKeySet(KeyReading reading, IssuerOptions options, AlgorithmNames algorithms, bool includeRetired)
    {
        var overlap = (long)options.KeyOverlap.TotalSeconds;
        var contract = reading.States.ContractAt(overlap, reading.Now);
        var seqs = reading.Rows.ToDictionary(row => row.Key.KeyId, row => row.Seq);
        return new KeySet
        {
            Keys = { reading.States.Keys.Where(key => includeRetired || key.State != KeyState.Retired).Select(key => ToKey(key, seqs[key.KeyId])) },
            ActiveKid = contract.ActiveKid.ToString(),
            ContractVersion = RotationContract.Version,
            IssuerDid = options.IssuerDid.ToString(),
            Overlap = Duration.FromTimeSpan(options.KeyOverlap),
            OverlapWindowOpen = contract.IsOverlapWindowOpen,
            JwsAlg = algorithms.Signing.ToHeader(),
            JwsAlgMixed = algorithms.IsMixed,
            JwksMaxAge = Duration.FromTimeSpan(options.JwksMaxAge),
            Seq = reading.Seq.Value,
            Epoch = reading.Head.Epoch.ToString(),
        };
    }

    public static TransparencySnapshot ToSnapshot(KeySnapshotRow row)
    {
        var stated = KeyTransparencySnapshot.Parse(row.Payload);
        return new TransparencySnapshot
        {
            SnapshotId = row.SnapshotId,
            PayloadJson = ByteString.CopyFrom(row.Payload),
            GeneratedAt = Seconds(row.GeneratedAt),
            ActiveKid = stated.ActiveKid.ToString(),
            AcceptedKids = { stated.AcceptedKids.Select(kid => kid.ToString()) },
            SigningKids = { stated.SigningKids.Select(kid => kid.ToString()) },
            VerifyOnlyKids = { stated.VerifyOnlyKids.Select(kid => kid.ToString()) },
            ExpiringKids = { stated.ExpiringKids.Select(key => new Wire.ExpiringKey { Kid = key.KeyId.ToString(), NotAfter = Seconds(key.NotAfter) }) },
            Overlap = new Duration { Seconds = stated.OverlapSeconds },
            SnapshotHashB64U = Base64UrlText.Encode(row.SnapshotHash),
            SignerKid = row.SignerKid.ToString(),
            SignatureB64U = Base64UrlText.Encode(row.Signature),
            Number = row.Number,
            PreviousChainHashB64U = row.PreviousChainHash is { } previous ? Base64UrlText.Encode(previous) : "",
            ChainHashB64U = Base64UrlText.Encode(row.ChainHash),
            ChainSignatureB64U = Base64UrlText.Encode(row.ChainSignature),
        };
    }

    /// <exception cref="Refusal">KEY_NOT_FOUND: nothing has a name of this form.</exception>
    public static KeyId ToKeyId(string kid) => KeyId.TryParse(kid, out var keyId) ? keyId : throw Refusal.OfField(Reason.KeyNotFound, "kid");

    private static Key ToKey(KeyEntry entry, Seq seq)
    {
        var key = new Key
        {
            Kid = entry.KeyId.ToString(),
            PublicKey = ByteString.CopyFrom(entry.PublicKey),
            State = entry.State switch
            {
                KeyState.Next => Wire.KeyState.Next,
                KeyState.Active => Wire.KeyState.Active,
                KeyState.VerifyOnly => Wire.KeyState.VerifyOnly,
                _ => Wire.KeyState.Retired,
            },
            Foreign = entry.IsForeign,
            CanSign = entry.CanSign,
            Revoked = entry.IsRevoked,
            Seq = seq.Value,
        };
        if (entry.NotAfter is { } end) key.NotAfter = Seconds(end);
        if (entry.PublishedAt is { } published) key.PublishedAt = Seconds(published);
        if (entry.ActivatesAt is { } begins) key.ActivatesAt = Seconds(begins);
        return key;
    }

    private static Timestamp Seconds(long epochSeconds) => new() { Seconds = epochSeconds };
}
