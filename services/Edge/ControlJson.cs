using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Edge;

/// <summary>The control plane's records as its contract writes them (control-plane-http.md 2.4, 2.5).</summary>
internal static class ControlJson
{
    public static JsJsonWriter Controller(this JsJsonWriter json, Controller controller)
    {
        json.BeginObject()
            .Name("controller_did").Value(controller.ControllerDid)
            .Name("owner_did").Value(controller.OwnerDid)
            .Name("active").Value(controller.Active)
            .Time("registered_at", controller.RegisteredAt)
            .Name("last_challenge_id").Value(controller.LastChallengeId)
            .Name("policy").BeginObject()
            .Name("policy_version").Value(controller.Policy.PolicyVersion)
            .Name("mode").Value(controller.Policy.Mode)
            .Name("owner_did").Value(controller.Policy.OwnerDid)
            .Name("allowed_sensitive_scopes").Value(controller.Policy.AllowedSensitiveScopes)
            .Name("policy_hash_b64u").Value(controller.Policy.PolicyHashB64U)
            .Time("updated_at", controller.Policy.UpdatedAt)
            .EndObject()
            .Name("transfer_state").Value(StateOf(controller.TransferState))
            .Optional("transfer_to_owner_did", controller.TransferToOwnerDid)
            .OptionalTime("transfer_requested_at", controller.TransferRequestedAt)
            .OptionalTime("transfer_expires_at", controller.TransferExpiresAt)
            .OptionalTime("transferred_at", controller.TransferredAt)
            .Optional("transferred_from_owner_did", controller.TransferredFromOwnerDid)
            .Optional("rotated_from_did", controller.RotatedFromDid)
            .OptionalTime("rotation_confirmed_at", controller.RotationConfirmedAt)
            .Name("consented").Value(controller.Consented);
        return json.EndObject();
    }

    public static JsJsonWriter Binding(this JsJsonWriter json, AgentBinding binding) => json.BeginObject()
        .Name("binding_version").Value(binding.BindingVersion)
        .Name("controller_did").Value(binding.ControllerDid)
        .Name("agent_did").Value(binding.AgentDid)
        .Name("owner_did").Value(binding.OwnerDid)
        .Name("active").Value(binding.Active)
        .Time("registered_at", binding.RegisteredAt)
        .Name("last_challenge_id").Value(binding.LastChallengeId)
        .Name("policy_hash_b64u").Value(binding.PolicyHashB64U)
        .Optional("rotated_from_did", binding.RotatedFromDid)
        .OptionalTime("rotation_confirmed_at", binding.RotationConfirmedAt)
        .Name("consented").Value(binding.Consented)
        .EndObject();

    public static JsJsonWriter Alias(this JsJsonWriter json, RotationAlias alias) => json.BeginObject()
        .Name("alias_version").Value(alias.AliasVersion)
        .Name("role").Value(RoleOf(alias.Role))
        .Name("from_did").Value(alias.FromDid)
        .Name("to_did").Value(alias.ToDid)
        .Name("owner_did").Value(alias.OwnerDid)
        .Name("active").Value(alias.Active)
        .Time("confirmed_at", alias.ConfirmedAt)
        .Optional("controller_did", alias.ControllerDid)
        .EndObject();

    public static JsJsonWriter Aliases(this JsJsonWriter json, string name, IEnumerable<RotationAlias> aliases)
    {
        json.Name(name).BeginArray();
        foreach (var alias in aliases) json.Alias(alias);
        return json.EndArray();
    }

    /// <summary>Null where there is nothing, as challenges and cursors are told.</summary>
    public static JsJsonWriter Nullable(this JsJsonWriter json, string name, string text) => text.Length > 0 ? json.Name(name).Value(text) : json.Name(name).Null();

    public static JsJsonWriter Act(this JsJsonWriter json, ControlAct? act) => json.Optional("event_key", act?.EventKey);

    public static string StateOf(TransferState state) => state switch
    {
        TransferState.TransferPending => "transfer_pending",
        TransferState.Transferred => "transferred",
        _ => "active",
    };

    public static string RoleOf(RotationRole role) => role switch
    {
        RotationRole.Controller => "controller",
        RotationRole.Agent => "agent",
        _ => "",
    };

    private static JsJsonWriter OptionalTime(this JsJsonWriter json, string name, Timestamp? time) => time is null ? json : json.Time(name, time);
}
