namespace ClawBureau.Tokens;

/// <summary>A key that will stop being accepted; <paramref name="NotAfter"/> in epoch seconds, inclusive.</summary>
public sealed record ExpiringKey(KeyId KeyId, long NotAfter);

/// <summary>
/// Which key signs and which are accepted, at one moment: what <c>/v1/keys/rotation-contract</c> answers (contract section 3)
/// and what a transparency snapshot records (section 4.3).
/// </summary>
public sealed record RotationContract
{
    /// <summary>The only version there is, a string.</summary>
    public const string Version = "2";

    public required KeyId ActiveKid { get; init; }
    public required IReadOnlyList<KeyId> AcceptedKids { get; init; }

    /// <summary>All of the signing configuration, accepted or not.</summary>
    public required IReadOnlyList<KeyId> SigningKids { get; init; }

    /// <summary>Accepted ones only.</summary>
    public required IReadOnlyList<KeyId> VerifyOnlyKids { get; init; }

    /// <summary>Accepted keys that have a cut-off.</summary>
    public required IReadOnlyList<ExpiringKey> ExpiringKids { get; init; }

    /// <summary>Configured overlap, seconds; says nothing about what is accepted.</summary>
    public required long OverlapSeconds { get; init; }

    public bool IsOverlapWindowOpen => OverlapSeconds > 0 && AcceptedKids.Count > 1;

    public static RotationContract Of(KeyRing ring, long overlapSeconds, DateTimeOffset now) =>
        Of(ring.VerificationKeys, [.. ring.SigningKeys.Select(key => key.KeyId)], overlapSeconds, now);

    /// <param name="keys">Every key, in the order of JWKS.</param>
    /// <param name="signingKids">The active key first.</param>
    /// <param name="overlapSeconds">As configured.</param>
    /// <param name="now">Decides what is accepted.</param>
    public static RotationContract Of(
        VerificationKeySet keys, IReadOnlyList<KeyId> signingKids, long overlapSeconds, DateTimeOffset now)
    {
        var accepted = keys.AcceptedAt(now).ToList();
        return new RotationContract
        {
            ActiveKid = signingKids[0],
            AcceptedKids = [.. accepted.Select(key => key.KeyId)],
            SigningKids = signingKids,
            VerifyOnlyKids = [.. accepted.Select(key => key.KeyId).Where(keyId => !signingKids.Contains(keyId))],
            ExpiringKids = [.. accepted.Where(key => key.NotAfter is not null).Select(key => new ExpiringKey(key.KeyId, key.NotAfter!.Value))],
            OverlapSeconds = overlapSeconds,
        };
    }

    /// <summary>The document as UTF-8, members in the contract's order.</summary>
    public byte[] ToJson()
    {
        var writer = new JsJsonWriter().BeginObject();
        writer.Name("contract_version").Value(Version);
        writer.Name("key_algorithm").Value("Ed25519");
        WriteKids(writer);
        writer.Name("overlap_seconds").Value(OverlapSeconds);
        writer.Name("overlap_window_open").Value(IsOverlapWindowOpen);
        WriteExpiring(writer);
        writer.Name("revocation_stream_endpoint").Value("/v1/revocations/stream");
        writer.Name("jwks_endpoint").Value("/v1/jwks");
        return writer.EndObject().ToArray();
    }

    internal void WriteKids(JsJsonWriter writer)
    {
        writer.Name("active_kid").Value(ActiveKid.ToString());
        writer.Name("accepted_kids").Value(AcceptedKids.Select(keyId => keyId.ToString()));
        writer.Name("signing_kids").Value(SigningKids.Select(keyId => keyId.ToString()));
        writer.Name("verify_only_kids").Value(VerifyOnlyKids.Select(keyId => keyId.ToString()));
    }

    internal void WriteExpiring(JsJsonWriter writer)
    {
        writer.Name("expiring_kids").BeginArray();
        foreach (var key in ExpiringKids)
        {
            writer.BeginObject();
            writer.Name("kid").Value(key.KeyId.ToString());
            writer.Name("not_after_unix").Value(key.NotAfter);
            writer.EndObject();
        }
        writer.EndArray();
    }
}
