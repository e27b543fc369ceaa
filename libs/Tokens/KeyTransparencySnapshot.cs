using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// A signed statement of the key states at one second (contract section 4.3). Hash and signature are over the compact JSON of
/// the first nine members in exactly their order; that is not canonical JSON.
/// </summary>
public sealed record KeyTransparencySnapshot
{
    /// <summary>The only version there is, a string.</summary>
    public const string Version = "1";

    /// <summary>Epoch seconds.</summary>
    public required long GeneratedAt { get; init; }

    public required RotationContract Keys { get; init; }

    /// <summary>SHA-256 of <see cref="SignedPayload"/>, base64url.</summary>
    public required string Hash { get; init; }

    public required KeyId SignerKid { get; init; }

    /// <summary>Ed25519 over <see cref="SignedPayload"/>, base64url.</summary>
    public required string Signature { get; init; }

    public string Id => $"kts_{GeneratedAt}_{Keys.ActiveKid}";

    /// <summary>States and signs what holds now.</summary>
    public static KeyTransparencySnapshot Create(RotationContract keys, SigningKey signer, DateTimeOffset now)
    {
        var generatedAt = now.ToUnixTimeSeconds();
        var payload = Payload(keys, generatedAt);
        return new KeyTransparencySnapshot
        {
            GeneratedAt = generatedAt,
            Keys = keys,
            Hash = Base64UrlText.Encode(SHA256.HashData(payload)),
            SignerKid = signer.KeyId,
            Signature = Base64UrlText.Encode(signer.Sign(payload)),
        };
    }

    /// <summary>The bytes that are hashed and signed.</summary>
    public byte[] SignedPayload() => Payload(Keys, GeneratedAt);

    private static byte[] Payload(RotationContract keys, long generatedAt)
    {
        var writer = new JsJsonWriter().BeginObject();
        writer.Name("snapshot_version").Value(Version);
        writer.Name("generated_at").Value(generatedAt);
        writer.Name("generated_at_iso")
            .Value(DateTimeOffset.FromUnixTimeSeconds(generatedAt).ToString("yyyy-MM-ddTHH:mm:ss.fffZ"));
        keys.WriteKids(writer);
        keys.WriteExpiring(writer);
        writer.Name("overlap_seconds").Value(keys.OverlapSeconds);
        return writer.EndObject().ToArray();
    }
}
