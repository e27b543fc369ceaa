using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Edge;

/// <summary>/v1/control-plane/* (control-plane-http.md 2.3 to 2.9). Where the path names a controller, it is looked up before the body.</summary>
internal sealed class ControlRoutes(EdgePeers peers)
{
    private const int MostBundleBytes = (1 << 20) + (64 << 10);
    private const int DefaultPage = 50;
    private const int MostPage = 200;
    private const int ControllerSegment = 4;        // of /v1/control-plane/controllers/{controller_did}/agents/{agent_did}
    private const int AgentSegment = 6;

    public IEnumerable<Route> Routes =>
    [
        new("POST", "/v1/control-plane/challenges", Access.Public, ChallengeAsync),
        // Here the contract has another status than elsewhere: the controller exists, under somebody else.
        new("POST", "/v1/control-plane/controllers/register", Access.Public, RegisterAsync) { Refuse = r => Answer.Refused(r, Reason.ControllerOwnerMismatch, StatusCodes.Status409Conflict) },
        new("POST", "/v1/control-plane/controllers/{controller_did}/agents/register", Access.Public, RegisterAgentAsync),
        new("POST", "/v1/control-plane/controllers/{controller_did}/sensitive-policy", Access.Public, UpdatePolicyAsync),
        new("POST", "/v1/control-plane/controllers/{controller_did}/transfer/request", Access.Public, RequestTransferAsync),
        new("POST", "/v1/control-plane/controllers/{controller_did}/transfer/confirm", Access.Public, ConfirmTransferAsync),
        new("POST", "/v1/control-plane/controllers/{controller_did}/transfer/cancel", Access.Public, CancelTransferAsync),
        new("POST", "/v1/control-plane/rotations/confirm", Access.Public, RotateAsync),
        new("POST", "/v1/control-plane/identity/export", Access.Public, ExportAsync),
        new("POST", "/v1/control-plane/identity/import", Access.Public, ImportAsync) { MostBodyBytes = MostBundleBytes },
        new("GET", "/v1/control-plane/controllers/{controller_did}", Access.Public, GetControllerAsync),
        new("GET", "/v1/control-plane/controllers/{controller_did}/agents", Access.Public, ListAgentsAsync),
        new("GET", "/v1/control-plane/controllers/{controller_did}/agents/{agent_did}", Access.Public, GetChainAsync),
    ];

    private async Task<Answer> ChallengeAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new CreateControlChallengeRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            Purpose = ToPurpose(JsText.Trim(body.Text("purpose") ?? "")),
            ControllerDid = body.Text("controller_did") ?? "",
            AgentDid = body.Text("agent_did") ?? "",
            RotationRole = ToRole(body),
            FromDid = body.Text("from_did") ?? "",
            ToDid = body.Text("to_did") ?? "",
            TransferToOwnerDid = body.Text("transfer_to_owner_did") ?? "",
            BundleHashB64U = body.Text("bundle_hash_b64u") ?? "",
            ContextParts = { body.Texts("context_parts") ?? (body.Has("context_parts") ? throw new Refusal(Reason.InvalidContextParts) : []) },
            AllowedSensitiveScopes = ToScopes(body),
        });
        var made = await peers.Controllers.CreateControlChallengeAsync(request, call.Options);
        return Answer.Ok(json => json
            .Name("challenge_id").Value(made.ChallengeId)
            .Name("purpose").Value(NameOf(made.Purpose))
            .Name("owner_did").Value(made.OwnerDid)
            .Nullable("controller_did", made.ControllerDid)
            .Nullable("agent_did", made.AgentDid)
            .Nullable("rotation_role", ControlJson.RoleOf(made.RotationRole))
            .Nullable("from_did", made.FromDid)
            .Nullable("to_did", made.ToDid)
            .Nullable("transfer_to_owner_did", made.TransferToOwnerDid)
            .Nullable("bundle_hash_b64u", made.BundleHashB64U)
            .Name("context_parts").Value(made.ContextParts)
            .Name("nonce").Value(made.Nonce)
            .Name("message").Value(made.Message)
            .Name("expires_at").Value(made.ExpiresAt.Seconds)
            .Name("expires_in_sec").Value(made.ExpiresIn.Seconds));
    }

    private async Task<Answer> RegisterAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new RegisterControllerRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            ControllerDid = body.Text("controller_did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
            ControllerSignatureB64U = body.Text("controller_signature_b64u") ?? "",
            AllowedSensitiveScopes = ToScopes(body),
        });
        var answer = await peers.Controllers.RegisterControllerAsync(request, call.Options);
        return OfController(answer.AlreadyRegistered ? "already_registered" : "registered", answer.Controller, answer.Act);
    }

    private async Task<Answer> RegisterAgentAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(
            body => new RegisterAgentRequest
            {
                ControllerDid = call.Segment(ControllerSegment),
                OwnerDid = body.Text("owner_did") ?? "",
                AgentDid = body.Text("agent_did") ?? "",
                ChallengeId = body.Text("challenge_id") ?? "",
                SignatureB64U = body.Text("signature_b64u") ?? "",
                AgentSignatureB64U = body.Text("agent_signature_b64u") ?? "",
            },
            async () => await peers.Controllers.RegisterAgentAsync(new() { ControllerDid = call.Segment(ControllerSegment) }, call.Options));
        var answer = await peers.Controllers.RegisterAgentAsync(request, call.Options);
        return Answer.Ok(json => json.Name("status").Value(answer.AlreadyRegistered ? "already_registered" : "registered").Name("binding").Binding(answer.Binding).Act(answer.Act));
    }

    private async Task<Answer> UpdatePolicyAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(
            body => new UpdateSensitivePolicyRequest
            {
                ControllerDid = call.Segment(ControllerSegment),
                OwnerDid = body.Text("owner_did") ?? "",
                ChallengeId = body.Text("challenge_id") ?? "",
                SignatureB64U = body.Text("signature_b64u") ?? "",
                AllowedSensitiveScopes = ToScopes(body),
            },
            async () => await peers.Controllers.UpdateSensitivePolicyAsync(new() { ControllerDid = call.Segment(ControllerSegment) }, call.Options));
        var answer = await peers.Controllers.UpdateSensitivePolicyAsync(request, call.Options);
        return OfController("updated", answer.Controller, answer.Act);
    }

    private async Task<Answer> RotateAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new ConfirmRotationRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            RotationRole = ToRole(body),
            FromDid = body.Text("from_did") ?? "",
            ToDid = body.Text("to_did") ?? "",
            ControllerDid = body.Text("controller_did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
        });
        var answer = await peers.Controllers.ConfirmRotationAsync(request, call.Options);
        return answer.AlreadyConfirmed
            ? Answer.Ok(json => json.Name("status").Value("already_confirmed").Name("alias").Alias(answer.Alias))
            : Answer.Ok(json => json
                .Name("status").Value("rotated")
                .Name("rotation_role").Value(ControlJson.RoleOf(answer.RotationRole))
                .Name("alias").Alias(answer.Alias)
                .Act(answer.Act));
    }

    private async Task<Answer> RequestTransferAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(
            body =>
            {
                var asked = new RequestTransferRequest
                {
                    ControllerDid = call.Segment(ControllerSegment),
                    OwnerDid = body.Text("owner_did") ?? "",
                    TransferToOwnerDid = body.Text("transfer_to_owner_did") ?? "",
                    ChallengeId = body.Text("challenge_id") ?? "",
                    SignatureB64U = body.Text("signature_b64u") ?? "",
                };
                if (body.Number("deadline_sec") is { } seconds and >= 1 and < 315_576_000) asked.Deadline = new Duration { Seconds = (long)seconds };
                return asked;
            },
            async () => await peers.Controllers.RequestTransferAsync(new() { ControllerDid = call.Segment(ControllerSegment) }, call.Options));
        var answer = await peers.Controllers.RequestTransferAsync(request, call.Options);
        return OfController(answer.AlreadyPending ? "already_pending" : "transfer_pending", answer.Controller, answer.Act);
    }

    private async Task<Answer> ConfirmTransferAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(
            body => new ConfirmTransferRequest
            {
                ControllerDid = call.Segment(ControllerSegment),
                OwnerDid = body.Text("owner_did") ?? "",
                TransferToOwnerDid = body.Text("transfer_to_owner_did") ?? "",
                ChallengeId = body.Text("challenge_id") ?? "",
                SignatureB64U = body.Text("signature_b64u") ?? "",
            },
            async () => await peers.Controllers.ConfirmTransferAsync(new() { ControllerDid = call.Segment(ControllerSegment) }, call.Options));
        var answer = await peers.Controllers.ConfirmTransferAsync(request, call.Options);
        return OfController(answer.AlreadyTransferred ? "already_transferred" : "transferred", answer.Controller, answer.Act);
    }

    private async Task<Answer> CancelTransferAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(
            body => new CancelTransferRequest
            {
                ControllerDid = call.Segment(ControllerSegment),
                OwnerDid = body.Text("owner_did") ?? "",
                ChallengeId = body.Text("challenge_id") ?? "",
                SignatureB64U = body.Text("signature_b64u") ?? "",
            },
            async () => await peers.Controllers.CancelTransferAsync(new() { ControllerDid = call.Segment(ControllerSegment) }, call.Options));
        var answer = await peers.Controllers.CancelTransferAsync(request, call.Options);
        return OfController("cancelled", answer.Controller, answer.Act);
    }

    private async Task<Answer> ExportAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new ExportIdentityRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            ControllerDid = body.Text("controller_did") ?? "",
            AgentDid = body.Text("agent_did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
            // Existing readers know version 1 only; who wants the other asks for it.
            BundleVersion = body.Text("envelope_version") switch { null or "1" => BundleVersion.Hmac, "2" => BundleVersion.Ed25519, _ => (BundleVersion)99 },
        });
        var answer = await peers.Portability.ExportIdentityAsync(request, call.Options);
        // The bundle goes out as it was hashed.
        var before = new JsJsonWriter().BeginObject().Name("status").Value("exported").Name("export_bundle");
        var after = new JsJsonWriter().Name("event_key").Value(answer.Act.EventKey).EndObject();
        return new Answer(StatusCodes.Status200OK, [.. before.Written, .. answer.BundleJson.Span, (byte)',', .. after.Written]);
    }

    private async Task<Answer> ImportAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new ImportIdentityRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
            BundleJson = ByteString.CopyFrom(body.Json("bundle") ?? []),
        });
        var answer = await peers.Portability.ImportIdentityAsync(request, call.Options);
        return answer.AlreadyImported
            ? Answer.Ok(json => json.Name("status").Value("already_imported").Name("bundle_hash_b64u").Value(answer.BundleHashB64U))
            : Answer.Ok(json => json
                .Name("status").Value("imported")
                .Name("bundle_hash_b64u").Value(answer.BundleHashB64U)
                .Name("controller_did").Value(answer.ControllerDid)
                .Act(answer.Act));
    }

    private async Task<Answer> GetControllerAsync(EdgeCall call)
    {
        var answer = await peers.Controllers.GetControllerAsync(new() { ControllerDid = call.Segment(ControllerSegment) }, call.Options);
        return Answer.Ok(json => json
            .Name("status").Value("ok")
            .Name("requested_controller_did").Value(answer.RequestedControllerDid)
            .Name("resolved_controller_did").Value(answer.ResolvedControllerDid)
            .Aliases("aliases", answer.Aliases)
            .Name("transfer_state").Value(ControlJson.StateOf(answer.Controller.TransferState))
            .Name("controller").Controller(answer.Controller));
    }

    private async Task<Answer> ListAgentsAsync(EdgeCall call)
    {
        var request = new ListAgentsRequest
        {
            ControllerDid = call.Segment(ControllerSegment),
            PageSize = int.TryParse(call.Query["limit"], out int limit) ? Math.Clamp(limit, 1, MostPage) : DefaultPage,
            PageToken = call.Query["cursor"].ToString(),
        };
        var answer = await peers.Controllers.ListAgentsAsync(request, call.Options);
        return Answer.Ok(json =>
        {
            json.Name("requested_controller_did").Value(answer.RequestedControllerDid)
                .Name("controller_did").Value(answer.ControllerDid)
                .Name("transfer_state").Value(ControlJson.StateOf(answer.TransferState))
                .Aliases("aliases", answer.Aliases)
                .Name("bindings").BeginArray();
            foreach (var binding in answer.Bindings) json.Binding(binding);
            json.EndArray().Nullable("cursor", answer.NextPageToken).Name("list_complete").Value(answer.NextPageToken.Length == 0);
        });
    }

    private async Task<Answer> GetChainAsync(EdgeCall call)
    {
        var answer = await peers.Controllers.GetControlChainAsync(new() { ControllerDid = call.Segment(ControllerSegment), AgentDid = call.Segment(AgentSegment) }, call.Options);
        return Answer.Ok(json => json
            .Name("status").Value("ok")
            .Name("owner_did").Value(answer.OwnerDid)
            .Name("controller").Controller(answer.Controller)
            .Name("agent_binding").Binding(answer.AgentBinding)
            .Name("alias_resolution").BeginObject()
            .Name("requested_controller_did").Value(answer.RequestedControllerDid)
            .Name("resolved_controller_did").Value(answer.ResolvedControllerDid)
            .Name("requested_agent_did").Value(answer.RequestedAgentDid)
            .Name("resolved_agent_did").Value(answer.ResolvedAgentDid)
            .Aliases("controller_aliases", answer.ControllerAliases)
            .Aliases("agent_aliases", answer.AgentAliases)
            .EndObject()
            .Name("chain").BeginObject()
            .Name("owner_did").Value(answer.OwnerDid)
            .Name("controller_did").Value(answer.ResolvedControllerDid)
            .Name("agent_did").Value(answer.ResolvedAgentDid)
            .Name("policy_hash_b64u").Value(answer.Controller.Policy.PolicyHashB64U)
            .Name("active").Value(answer.Active)
            .Name("transfer_state").Value(ControlJson.StateOf(answer.Controller.TransferState))
            .EndObject());
    }

    private static Answer OfController(string status, Controller controller, ControlAct? act) =>
        Answer.Ok(json => json.Name("status").Value(status).Name("controller").Controller(controller).Act(act));

    private static RotationRole ToRole(JsonBody body) => JsText.Trim(body.Text("rotation_role") ?? "") switch
    {
        "controller" => RotationRole.Controller,
        "agent" => RotationRole.Agent,
        _ => RotationRole.Unspecified,
    };

    /// <summary>Null: the default list. What is no list of text is one that no policy can be.</summary>
    private static SensitiveScopes? ToScopes(JsonBody body) =>
        body.Has("allowed_sensitive_scopes") ? new SensitiveScopes { Scopes = { body.Texts("allowed_sensitive_scopes") ?? [] } } : null;

    private static ControlPurpose ToPurpose(string name) => Purposes.FirstOrDefault(purpose => NameOf(purpose) == name);

    private static readonly ControlPurpose[] Purposes = [.. System.Enum.GetValues<ControlPurpose>().Where(purpose => purpose != ControlPurpose.Unspecified)];

    private static string NameOf(ControlPurpose purpose) => purpose switch
    {
        ControlPurpose.RegisterController => "register_controller",
        ControlPurpose.RegisterAgent => "register_agent",
        ControlPurpose.UpdateSensitivePolicy => "update_sensitive_policy",
        ControlPurpose.ConfirmRotation => "confirm_rotation",
        ControlPurpose.TransferControllerRequest => "transfer_controller_request",
        ControlPurpose.TransferControllerConfirm => "transfer_controller_confirm",
        ControlPurpose.TransferControllerCancel => "transfer_controller_cancel",
        ControlPurpose.ExportIdentity => "export_identity",
        _ => "import_identity",
    };
}
