using System.Security.Cryptography;
using System.Text.Json;

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

    /// <summary>What it is called, unless there is one of that name already: then a suffix follows, <c>_2</c> and on.</summary>
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

    /// <summary>What a payload states, read back from the bytes that were signed.</summary>
    /// <exception cref="FormatException">It is no payload of a snapshot.</exception>
    public static RotationContract Parse(ReadOnlyMemory<byte> payload)
    {
        try
        {
            using var document = JsonDocument.Parse(payload);
            var stated = document.RootElement;
            if (stated.GetProperty("snapshot_version").GetString() != Version) throw new FormatException("a transparency snapshot of another version");
            return new RotationContract
            {
                ActiveKid = KeyId.Parse(stated.GetProperty("active_kid").GetString()!),
                AcceptedKids = Kids("accepted_kids"),
                SigningKids = Kids("signing_kids"),
                VerifyOnlyKids = Kids("verify_only_kids"),
                ExpiringKids =
                [
                    .. stated.GetProperty("expiring_kids").EnumerateArray()
                        .Select(key => new ExpiringKey(KeyId.Parse(key.GetProperty("kid").GetString()!), key.GetProperty("not_after_unix").GetInt64())),
                ],
                OverlapSeconds = stated.GetProperty("overlap_seconds").GetInt64(),
            };

            IReadOnlyList<KeyId> Kids(string member) => [.. stated.GetProperty(member).EnumerateArray().Select(kid => KeyId.Parse(kid.GetString()!))];
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new FormatException("no payload of a transparency snapshot", e);
        }
    }

    /// <summary>The bytes that are hashed and signed.</summary>
    public byte[] SignedPayload() => Payload(Keys, GeneratedAt);

    /// <summary>Writes the nine members that are hashed and signed.</summary>
    public static void WriteStated(JsJsonWriter writer, RotationContract keys, long generatedAt)
    {
        writer.Name("snapshot_version").Value(Version);
        writer.Name("generated_at").Value(generatedAt);
        writer.Name("generated_at_iso")
            .Value(DateTimeOffset.FromUnixTimeSeconds(generatedAt).ToString("yyyy-MM-ddTHH:mm:ss.fffZ"));
        keys.WriteKids(writer);
        keys.WriteExpiring(writer);
        writer.Name("overlap_seconds").Value(keys.OverlapSeconds);
    }

    private static byte[] Payload(RotationContract keys, long generatedAt)
    {
        var writer = new JsJsonWriter().BeginObject();
        WriteStated(writer, keys, generatedAt);
        return writer.EndObject().ToArray();
    }
}
