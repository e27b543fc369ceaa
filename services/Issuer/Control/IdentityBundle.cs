using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>What a bundle carries: a controller, its agents, the names both have had.</summary>
internal sealed record IdentityRecords(string OwnerDid, Controller Controller, IReadOnlyList<Agent> Agents, IReadOnlyList<Alias> Aliases);

/// <summary>
/// An identity as it travels between issuers (control-plane-http.md 2.7). Version 1 is what existing readers know: HMAC with a
/// shared key over the payload's hash alone. Version 2 is signed with an issuer's Ed25519 key, over the time of export too.
/// </summary>
internal sealed class IdentityBundle
{
    public const int MostBytes = 1 << 20;

    private const string Type = "identity_export_bundle";
    private const string HmacAlgorithm = "HMAC-SHA256";
    private const string Ed25519Algorithm = "Ed25519";

    private readonly JsonElement _payload;
    private readonly string _signature;

    private IdentityBundle(JsonElement envelope)
    {
        Version = TextOf(envelope, "envelope_version");
        BundleHash = TextOf(envelope, "bundle_hash_b64u");
        ExportedAt = DateTimeOffset.FromUnixTimeSeconds(envelope.GetProperty("exported_at").GetInt64());
        _payload = envelope.GetProperty("payload");
        _signature = TextOf(envelope, "signature_b64u");
        var algorithm = TextOf(envelope, "signature_algorithm");
        if (Version == "2") (IssuerDid, SignerKid) = (TextOf(envelope, "issuer_did"), TextOf(envelope, "signer_kid"));
        if (TextOf(envelope, "envelope_type") != Type
            || (Version, algorithm) is not (("1", HmacAlgorithm) or ("2", Ed25519Algorithm))
            || !PolicyHash.TryParse(BundleHash, out _)
            || TextOf(_payload, "bundle_version") != "1"
            || _payload.GetProperty("controller").ValueKind != JsonValueKind.Object
            || _payload.GetProperty("agent_bindings").ValueKind != JsonValueKind.Array
            || _payload.GetProperty("rotation_aliases").ValueKind != JsonValueKind.Array)
            throw new FormatException("not an identity bundle of a known version");
        PayloadHash = HashOf(_payload);
    }

    /// <summary>"1" or "2".</summary>
    public string Version { get; }

    /// <summary>What the envelope says.</summary>
    public string BundleHash { get; }

    /// <summary>What the payload has: 43 characters.</summary>
    public string PayloadHash { get; }

    public DateTimeOffset ExportedAt { get; }
    public string? IssuerDid { get; }
    public string? SignerKid { get; }

    /// <summary>Writes a version 1 envelope.</summary>
    public static byte[] WriteHmac(IdentityRecords records, DateTimeOffset exportedAt, byte[] key, out string bundleHash)
    {
        // Readers of version 1 let a controller have further members. With its own time of export it cannot be made young again.
        var payload = WritePayload(records, exportedAt);
        bundleHash = HashOf(payload);
        var signature = HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(bundleHash));
        return WriteEnvelope("1", exportedAt, bundleHash, HmacAlgorithm, signature, payload, _ => { });
    }

    /// <summary>Writes a version 2 envelope.</summary>
    public static byte[] WriteSigned(IdentityRecords records, DateTimeOffset exportedAt, SigningKey key, string issuerDid, out string bundleHash)
    {
        var payload = WritePayload(records, null);
        bundleHash = HashOf(payload);
        var signature = key.Sign(TextToSign(bundleHash, exportedAt, issuerDid));
        return WriteEnvelope("2", exportedAt, bundleHash, Ed25519Algorithm, signature, payload,
            json => json.Name("issuer_did").Value(issuerDid).Name("signer_kid").Value(key.KeyId.ToString()));
    }

    /// <summary>Reads the envelope; the records in it are not looked at yet.</summary>
    /// <exception cref="Refusal">IMPORT_BUNDLE_INVALID</exception>
    public static IdentityBundle Read(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return new IdentityBundle(document.RootElement.Clone());
        }
        catch (Exception e) when (IsMalformed(e))
        {
            throw new Refusal(Reason.ImportBundleInvalid, inner: e);
        }
    }

    public bool VerifiesHmac(byte[] key) =>
        CryptographicOperations.FixedTimeEquals(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(BundleHash)), Decode(_signature));

    public bool VerifiesWith(VerificationKey key) => key.Verify(TextToSign(BundleHash, ExportedAt, IssuerDid!), Decode(_signature));

    /// <summary>Version 1: the payload says when it was exported, and the envelope says the same. Bundles of other issuers do not say.</summary>
    public bool AgreesWithPayloadTime =>
        !_payload.GetProperty("controller").TryGetProperty("exported_at", out var at) || (at.ValueKind == JsonValueKind.Number && at.TryGetInt64(out long time) && time == ExportedAt.ToUnixTimeSeconds());

    /// <summary>What the payload holds.</summary>
    /// <exception cref="Refusal">IMPORT_BUNDLE_INVALID</exception>
    public IdentityRecords ReadRecords()
    {
        try
        {
            var controller = ReadController(_payload.GetProperty("controller"));
            var agents = _payload.GetProperty("agent_bindings").EnumerateArray().Select(agent => ReadAgent(agent, controller)).ToList();
            var aliases = _payload.GetProperty("rotation_aliases").EnumerateArray().Select(alias => ReadAlias(alias, controller.ControllerDid)).ToList();
            if (agents.DistinctBy(agent => agent.AgentDid).Count() != agents.Count || aliases.DistinctBy(alias => (alias.Role, alias.ControllerDid, alias.FromDid)).Count() != aliases.Count)
                throw new FormatException("a record stands twice");
            return new IdentityRecords(DidOf(_payload, "owner_did"), controller, agents, aliases);
        }
        catch (Exception e) when (IsMalformed(e) || e is Refusal)
        {
            throw new Refusal(Reason.ImportBundleInvalid, inner: e);
        }
    }

    private static Controller ReadController(JsonElement json)
    {
        var owner = DidOf(json, "owner_did");
        var policy = json.GetProperty("policy");
        var scopes = policy.GetProperty("allowed_sensitive_scopes").EnumerateArray().Select(scope => scope.GetString()!).ToArray();
        SensitivePolicy.Of(owner, scopes);
        return new Controller
        {
            ControllerDid = DidOf(json, "controller_did"),
            OwnerDid = owner,
            Active = json.GetProperty("active").GetBoolean(),
            Frozen = OptionalText(json, "transfer_state") == "transfer_pending",
            PolicyHash = SensitivePolicy.Recorded(owner, scopes).Hash.ToString(),
            AllowedSensitiveScopes = scopes,
            PolicyUpdatedAt = TimeOf(policy, "updated_at"),
            RegisteredAt = TimeOf(json, "registered_at"),
            ChangedAt = TimeOf(json, "registered_at"),
            LastChallengeId = TextOf(json, "last_challenge_id"),
            TransferredAt = OptionalTime(json, "transferred_at"),
            TransferredFromOwnerDid = OptionalText(json, "transferred_from_owner_did"),
            RotatedFromDid = OptionalText(json, "rotated_from_did"),
            RotationConfirmedAt = OptionalTime(json, "rotation_confirmed_at"),
            Consented = false,          // what somebody agreed to elsewhere was not asked here
        };
    }

    private static Agent ReadAgent(JsonElement json, Controller controller) => DidOf(json, "controller_did") == controller.ControllerDid
        ? new Agent
        {
            ControllerDid = controller.ControllerDid,
            AgentDid = DidOf(json, "agent_did"),
            OwnerDid = DidOf(json, "owner_did"),
            Active = json.GetProperty("active").GetBoolean(),
            RegisteredAt = TimeOf(json, "registered_at"),
            LastChallengeId = TextOf(json, "last_challenge_id"),
            PolicyHash = controller.PolicyHash,
            RotatedFromDid = OptionalText(json, "rotated_from_did"),
            RotationConfirmedAt = OptionalTime(json, "rotation_confirmed_at"),
            Consented = false,
        }
        : throw new FormatException("an agent of another controller");

    private static Alias ReadAlias(JsonElement json, string controllerDid)
    {
        var role = TextOf(json, "role") switch { "controller" => AliasRole.Controller, "agent" => AliasRole.Agent, _ => throw new FormatException("an alias of another role") };
        return new Alias
        {
            Role = role,
            ControllerDid = role == AliasRole.Controller ? "" : OptionalText(json, "controller_did") ?? controllerDid,
            FromDid = DidOf(json, "from_did"),
            ToDid = DidOf(json, "to_did"),
            OwnerDid = DidOf(json, "owner_did"),
            Active = json.GetProperty("active").GetBoolean(),
            ConfirmedAt = TimeOf(json, "confirmed_at"),
        };
    }

    private static byte[] WritePayload(IdentityRecords records, DateTimeOffset? exportedAt)
    {
        var json = new JsJsonWriter().BeginObject().Name("bundle_version").Value("1").Name("owner_did").Value(records.OwnerDid).Name("controller");
        var controller = records.Controller;
        json.BeginObject()
            .Name("controller_did").Value(controller.ControllerDid)
            .Name("owner_did").Value(controller.OwnerDid)
            .Name("active").Value(controller.Active);
        Time(json, "registered_at", controller.RegisteredAt);
        json.Name("last_challenge_id").Value(controller.LastChallengeId)
            .Name("policy").BeginObject()
            .Name("policy_version").Value(SensitivePolicy.Version)
            .Name("mode").Value(SensitivePolicy.Mode)
            .Name("owner_did").Value(controller.OwnerDid)
            .Name("allowed_sensitive_scopes").Value(controller.AllowedSensitiveScopes)
            .Name("policy_hash_b64u").Value(controller.PolicyHash);
        Time(json, "updated_at", controller.PolicyUpdatedAt);
        json.EndObject().Name("transfer_state").Value(controller.TransferredAt is null ? "active" : "transferred");
        Time(json, "transferred_at", controller.TransferredAt);
        Text(json, "transferred_from_owner_did", controller.TransferredFromOwnerDid);
        Text(json, "rotated_from_did", controller.RotatedFromDid);
        Time(json, "rotation_confirmed_at", controller.RotationConfirmedAt);
        if (exportedAt is { } at) json.Name("exported_at").Value(at.ToUnixTimeSeconds());
        json.EndObject().Name("agent_bindings").BeginArray();
        foreach (var agent in records.Agents)
        {
            json.BeginObject()
                .Name("binding_version").Value("1")
                .Name("controller_did").Value(agent.ControllerDid)
                .Name("agent_did").Value(agent.AgentDid)
                .Name("owner_did").Value(agent.OwnerDid)
                .Name("active").Value(agent.Active);
            Time(json, "registered_at", agent.RegisteredAt);
            json.Name("last_challenge_id").Value(agent.LastChallengeId).Name("policy_hash_b64u").Value(agent.PolicyHash);
            Text(json, "rotated_from_did", agent.RotatedFromDid);
            Time(json, "rotation_confirmed_at", agent.RotationConfirmedAt);
            json.EndObject();
        }
        json.EndArray().Name("rotation_aliases").BeginArray();
        foreach (var alias in records.Aliases)
        {
            json.BeginObject()
                .Name("alias_version").Value("1")
                .Name("role").Value(alias.Role == AliasRole.Controller ? "controller" : "agent")
                .Name("from_did").Value(alias.FromDid)
                .Name("to_did").Value(alias.ToDid)
                .Name("owner_did").Value(alias.OwnerDid)
                .Name("active").Value(alias.Active);
            Time(json, "confirmed_at", alias.ConfirmedAt);
            if (alias.Role == AliasRole.Agent) json.Name("controller_did").Value(alias.ControllerDid);
            json.EndObject();
        }
        return json.EndArray().EndObject().ToArray();
    }

    private static byte[] WriteEnvelope(
        string version, DateTimeOffset exportedAt, string bundleHash, string algorithm, byte[] signature, byte[] payload, Action<JsJsonWriter> signer)
    {
        var json = new JsJsonWriter().BeginObject().Name("envelope_version").Value(version).Name("envelope_type").Value(Type);
        Time(json, "exported_at", exportedAt.UtcDateTime);
        json.Name("bundle_hash_b64u").Value(bundleHash).Name("signature_algorithm").Value(algorithm);
        signer(json);
        json.Name("signature_b64u").Value(Base64UrlText.Encode(signature)).Name("payload");
        // The payload stands in the envelope as it was hashed.
        return [.. json.Written, .. payload, (byte)'}'];
    }

    private static string HashOf(byte[] json) => Base64UrlText.Encode(SHA256.HashData(CanonicalJson.Of(json)));

    private static string HashOf(JsonElement json) => Base64UrlText.Encode(SHA256.HashData(CanonicalJson.Of(json)));

    // Nothing else that this suite signs begins so.
    private static byte[] TextToSign(string bundleHash, DateTimeOffset exportedAt, string issuerDid) =>
        Encoding.UTF8.GetBytes($"clawbureau:{Type}:v2:{bundleHash}:{exportedAt.ToUnixTimeSeconds()}:{issuerDid}");

    private static byte[] Decode(string text)
    {
        var bytes = new byte[Base64UrlText.DecodedLength(Math.Min(text.Length, 256))];
        return Base64UrlText.TryDecode(text.AsSpan(), bytes, out int written) ? bytes[..written] : [];
    }

    private static void Time(JsJsonWriter json, string name, DateTime? time)
    {
        if (time is not { } at) return;
        json.Name(name).Value(new DateTimeOffset(at).ToUnixTimeSeconds()).Name(name + "_iso").Value(at.ToString("yyyy-MM-ddTHH:mm:ss.fffZ"));
    }

    private static void Text(JsJsonWriter json, string name, string? text)
    {
        if (text is not null) json.Name(name).Value(text);
    }

    private static string TextOf(JsonElement json, string name) =>
        json.GetProperty(name).GetString() is { Length: > 0 and <= 512 } text && StorableText.IsStorable(text) ? text : throw new FormatException($"{name} is no text");

    private static string? OptionalText(JsonElement json, string name) =>
        json.TryGetProperty(name, out var member) && member.ValueKind != JsonValueKind.Null ? TextOf(json, name) : null;

    private static string DidOf(JsonElement json, string name) => Did.Parse(TextOf(json, name)).ToString();

    private static DateTime TimeOf(JsonElement json, string name) => DateTimeOffset.FromUnixTimeSeconds(json.GetProperty(name).GetInt64()).UtcDateTime;

    private static DateTime? OptionalTime(JsonElement json, string name) =>
        json.TryGetProperty(name, out var member) && member.ValueKind != JsonValueKind.Null ? TimeOf(json, name) : null;

    // Whatever a reader of JSON says of a document that is not what it should be.
    private static bool IsMalformed(Exception e) => e is JsonException or FormatException or InvalidOperationException or KeyNotFoundException or ArgumentException;
}
