using System.Text;
using ClawBureau.Hosting.Calls;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;
using Types = ClawBureau.Protos.Types.V1;
using Wire = ClawBureau.Protos.Control.V1;

namespace ClawBureau.Issuer.Control;

/// <summary>Between the wire's types and the control plane's own.</summary>
internal static class ControlMapping
{
    private const int MostText = 512;

    /// <summary>Trimmed, bounded, fit to be looked up; empty where the request has none.</summary>
    /// <exception cref="Refusal">FIELD_TOO_LONG, TEXT_NOT_STORABLE.</exception>
    public static string ToText(string given, string field)
    {
        var text = JsText.Trim(given);
        if (text.Length > MostText) throw Refusal.OfField(Reason.FieldTooLong, field, $"{field} must have <= {MostText} chars");
        StorableText.Require(text, field);
        return text;
    }

    /// <exception cref="Refusal">INVALID_REQUEST: there is none.</exception>
    public static string ToRequired(string given, string field) =>
        ToText(given, field) is { Length: > 0 } text ? text : throw Refusal.OfField(Reason.InvalidRequest, field, $"{field} is required");

    public static string? ToOptional(string given, string field) => ToText(given, field) is { Length: > 0 } text ? text : null;

    /// <exception cref="Refusal">INVALID_REQUEST: missing, or no DID.</exception>
    public static string ToDid(string given, string field) => ToRequired(given, field) is var text && Did.TryParse(text, out _)
        ? text
        : throw Refusal.OfField(Reason.InvalidRequest, field, $"{field} is no DID");

    /// <summary>Nothing is required yet: some routes look the controller up first (control-plane-http.md 2.4).</summary>
    public static SignedOrder ToOrder(string owner, string challengeId, string signature, Types.Correlation? correlation, CallCorrelation call, string ownerField = "owner_did") => new(
        ToText(owner, ownerField),
        ToText(challengeId, "challenge_id"),
        ToText(signature, "signature_b64u"),
        Mapping.ToCorrelation(correlation, call, "", ""));

    public static IReadOnlyList<string>? ToScopes(Wire.SensitiveScopes? scopes) => scopes?.Scopes;

    public static string? ToSignature(string given) => ToOptional(given, "signature_b64u");

    public static string ToPurpose(Wire.ControlPurpose purpose) => purpose switch
    {
        Wire.ControlPurpose.RegisterController => Purpose.RegisterController,
        Wire.ControlPurpose.RegisterAgent => Purpose.RegisterAgent,
        Wire.ControlPurpose.UpdateSensitivePolicy => Purpose.UpdateSensitivePolicy,
        Wire.ControlPurpose.ConfirmRotation => Purpose.ConfirmRotation,
        Wire.ControlPurpose.TransferControllerRequest => Purpose.RequestTransfer,
        Wire.ControlPurpose.TransferControllerConfirm => Purpose.ConfirmTransfer,
        Wire.ControlPurpose.TransferControllerCancel => Purpose.CancelTransfer,
        Wire.ControlPurpose.ExportIdentity => Purpose.ExportIdentity,
        Wire.ControlPurpose.ImportIdentity => Purpose.ImportIdentity,
        _ => throw Refusal.OfField(Reason.InvalidRequest, "purpose", "purpose is invalid"),
    };

    public static AliasRole? ToRole(Wire.RotationRole role) => role switch
    {
        Wire.RotationRole.Controller => AliasRole.Controller,
        Wire.RotationRole.Agent => AliasRole.Agent,
        _ => null,
    };

    public static Wire.RotationRole ToWire(AliasRole? role) => role switch
    {
        AliasRole.Controller => Wire.RotationRole.Controller,
        AliasRole.Agent => Wire.RotationRole.Agent,
        _ => Wire.RotationRole.Unspecified,
    };

    public static Wire.TransferState ToWire(TransferState state) => state switch
    {
        TransferState.Pending => Wire.TransferState.TransferPending,
        TransferState.Transferred => Wire.TransferState.Transferred,
        _ => Wire.TransferState.Active,
    };

    /// <param name="now">Decides about the deadline of a pending transfer.</param>
    /// <param name="outcome">The act that wrote it; null: it was read.</param>
    public static Wire.Controller ToWire(Controller controller, DateTime now, ActOutcome? outcome = null)
    {
        var wire = new Wire.Controller
        {
            ControllerDid = controller.ControllerDid,
            OwnerDid = controller.OwnerDid,
            Active = controller.Active,
            RegisteredAt = ToTimestamp(controller.RegisteredAt),
            LastChallengeId = controller.LastChallengeId,
            Policy = new Wire.SensitivePolicy
            {
                PolicyVersion = SensitivePolicy.Version,
                Mode = SensitivePolicy.Mode,
                OwnerDid = controller.OwnerDid,
                AllowedSensitiveScopes = { controller.AllowedSensitiveScopes },
                PolicyHashB64U = controller.PolicyHash,
                UpdatedAt = ToTimestamp(controller.PolicyUpdatedAt),
            },
            TransferState = ToWire(controller.StateAt(now)),
            TransferredAt = ToTimestamp(controller.TransferredAt),
            TransferredFromOwnerDid = controller.TransferredFromOwnerDid ?? "",
            RotatedFromDid = controller.RotatedFromDid ?? "",
            RotationConfirmedAt = ToTimestamp(controller.RotationConfirmedAt),
            Consented = controller.Consented,
            Seq = controller.Seq == 0 && outcome is not null ? outcome.Seq.Value : controller.Seq,
        };
        if (!controller.IsFrozenAt(now)) return wire;
        wire.TransferToOwnerDid = controller.TransferToOwnerDid;
        wire.TransferRequestedAt = ToTimestamp(controller.TransferRequestedAt);
        wire.TransferExpiresAt = ToTimestamp(controller.TransferExpiresAt);
        return wire;
    }

    public static Wire.AgentBinding ToWire(Agent agent, ActOutcome? outcome = null) => new()
    {
        BindingVersion = "1",
        ControllerDid = agent.ControllerDid,
        AgentDid = agent.AgentDid,
        OwnerDid = agent.OwnerDid,
        Active = agent.Active,
        RegisteredAt = ToTimestamp(agent.RegisteredAt),
        LastChallengeId = agent.LastChallengeId,
        PolicyHashB64U = agent.PolicyHash,
        RotatedFromDid = agent.RotatedFromDid ?? "",
        RotationConfirmedAt = ToTimestamp(agent.RotationConfirmedAt),
        Consented = agent.Consented,
        Seq = agent.Seq == 0 && outcome is not null ? outcome.Seq.Value : agent.Seq,
    };

    public static Wire.RotationAlias ToWire(Alias alias) => new()
    {
        AliasVersion = "1",
        Role = ToWire((AliasRole?)alias.Role),
        FromDid = alias.FromDid,
        ToDid = alias.ToDid,
        OwnerDid = alias.OwnerDid,
        Active = alias.Active,
        ConfirmedAt = ToTimestamp(alias.ConfirmedAt),
        ControllerDid = alias.ControllerDid,
    };

    public static void AddAliases(RepeatedField<Wire.RotationAlias> field, IReadOnlyList<Alias> aliases) => field.AddRange(aliases.Select(ToWire));

    /// <param name="kind">As the contract names it: controller-register, transfer-request …</param>
    /// <param name="name">The challenge's id, or a bundle's hash.</param>
    public static Wire.ControlAct? ToAct(ActOutcome? outcome, string kind, string ownerDid, string name) => outcome is null ? null : new Wire.ControlAct
    {
        Revision = Mapping.ToRevision([outcome]),
        RecordedAt = Timestamp.FromDateTimeOffset(outcome.RecordedAt),
        EventKey = $"events:control-plane:{9_999_999_999 - outcome.RecordedAt.ToUnixTimeSeconds():D10}:{kind}:{ownerDid}:{name}",
    };

    public static Types.Revision ToWire(Revision revision) => new()
    {
        Epoch = revision.Epoch.ToString(),
        Seq = revision.Seq.Value,
        RevocationSeq = revision.RevocationSeq.Value,
    };

    public static Timestamp ToTimestamp(DateTime time) => Timestamp.FromDateTime(time);

    public static Timestamp? ToTimestamp(DateTime? time) => time is { } given ? Timestamp.FromDateTime(given) : null;

    /// <summary>Opaque to the caller, bound to the list it was made by.</summary>
    public static string ToPageToken(string controllerDid, string? lastAgentDid) =>
        lastAgentDid is null ? "" : Base64UrlText.Encode(Encoding.UTF8.GetBytes($"{controllerDid} {lastAgentDid}"));

    /// <exception cref="Refusal">PAGE_TOKEN_INVALID</exception>
    public static string? ToLastAgent(string token, string controllerDid)
    {
        if (token.Length == 0) return null;
        var bytes = new byte[Base64UrlText.DecodedLength(Math.Min(token.Length, 4 * MostText))];
        if (!Base64UrlText.TryDecode(token.AsSpan(), bytes, out int written)) throw new Refusal(Reason.PageTokenInvalid);
        var parts = Encoding.UTF8.GetString(bytes.AsSpan(0, written)).Split(' ');
        return parts is [var controller, var agent] && controller == controllerDid && Did.TryParse(agent, out _) ? agent : throw new Refusal(Reason.PageTokenInvalid);
    }
}
