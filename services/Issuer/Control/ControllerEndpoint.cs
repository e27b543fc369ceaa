using ClawBureau.Hosting.Calls;
using ClawBureau.Ledger.Model;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Correlation = ClawBureau.Protos.Types.V1.Correlation;

namespace ClawBureau.Issuer.Control;

/// <summary>clawbureau.control.v1.ControllerService on the wire.</summary>
internal sealed class ControllerEndpoint(
    ControlChallenges challenges, ControllerRegistry controllers, Rotations rotations, Transfers transfers, Chains chains, DatabaseClock clock, ControlOptions options)
    : ControllerService.ControllerServiceBase
{
    private const int DefaultPage = 50;
    private const int MostPage = 200;

    private DateTime Now => clock.Now().UtcDateTime;

    public override async Task<CreateControlChallengeResponse> CreateControlChallenge(CreateControlChallengeRequest request, ServerCallContext context)
    {
        var made = await challenges.CreateAsync(new ChallengeOrder
        {
            Purpose = ControlMapping.ToPurpose(request.Purpose),
            OwnerDid = ControlMapping.ToText(request.OwnerDid, "owner_did"),
            ControllerDid = ControlMapping.ToOptional(request.ControllerDid, "controller_did"),
            AgentDid = ControlMapping.ToOptional(request.AgentDid, "agent_did"),
            RotationRole = ControlMapping.ToRole(request.RotationRole),
            FromDid = ControlMapping.ToOptional(request.FromDid, "from_did"),
            ToDid = ControlMapping.ToOptional(request.ToDid, "to_did"),
            TransferToOwnerDid = ControlMapping.ToOptional(request.TransferToOwnerDid, "transfer_to_owner_did"),
            BundleHash = ControlMapping.ToOptional(request.BundleHashB64U, "bundle_hash_b64u"),
            ContextParts = request.ContextParts,
            AllowedSensitiveScopes = ControlMapping.ToScopes(request.AllowedSensitiveScopes),
        }, context.CancellationToken);
        var challenge = made.Challenge;
        return new CreateControlChallengeResponse
        {
            ChallengeId = challenge.ChallengeId,
            Purpose = request.Purpose,
            OwnerDid = challenge.OwnerDid,
            ControllerDid = challenge.ControllerDid ?? "",
            AgentDid = challenge.AgentDid ?? "",
            RotationRole = ControlMapping.ToWire(challenge.RotationRole),
            FromDid = challenge.FromDid ?? "",
            ToDid = challenge.ToDid ?? "",
            TransferToOwnerDid = challenge.TransferToOwnerDid ?? "",
            BundleHashB64U = challenge.BundleHash ?? "",
            ContextParts = { made.ContextParts },
            Nonce = made.Nonce,
            Message = challenge.Message,
            ExpiresAt = ControlMapping.ToTimestamp(challenge.ExpiresAt),
            ExpiresIn = Duration.FromTimeSpan(options.ChallengeTtl),
        };
    }

    public override async Task<RegisterControllerResponse> RegisterController(RegisterControllerRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var controllerDid = ControlMapping.ToText(request.ControllerDid, "controller_did");
        order.RequireFields(("controller_did", controllerDid));
        var answer = await controllers.RegisterAsync(
            order, controllerDid, ControlMapping.ToScopes(request.AllowedSensitiveScopes), ControlMapping.ToSignature(request.ControllerSignatureB64U), context.CancellationToken);
        return new RegisterControllerResponse
        {
            Controller = ControlMapping.ToWire(answer.Controller, Now, answer.Outcome),
            AlreadyRegistered = answer.Outcome is null,
            Act = ControlMapping.ToAct(answer.Outcome, "controller-register", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<RegisterAgentResponse> RegisterAgent(RegisterAgentRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await controllers.RegisterAgentAsync(
            order, ControlMapping.ToRequired(request.ControllerDid, "controller_did"), ControlMapping.ToText(request.AgentDid, "agent_did"),
            ControlMapping.ToSignature(request.AgentSignatureB64U), context.CancellationToken);
        return new RegisterAgentResponse
        {
            Binding = ControlMapping.ToWire(answer.Agent, answer.Outcome),
            AlreadyRegistered = answer.Outcome is null,
            Act = ControlMapping.ToAct(answer.Outcome, "agent-register", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<UpdateSensitivePolicyResponse> UpdateSensitivePolicy(UpdateSensitivePolicyRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await controllers.UpdatePolicyAsync(
            order, ControlMapping.ToRequired(request.ControllerDid, "controller_did"), ControlMapping.ToScopes(request.AllowedSensitiveScopes), context.CancellationToken);
        return new UpdateSensitivePolicyResponse
        {
            Controller = ControlMapping.ToWire(answer.Controller, Now, answer.Outcome),
            Act = ControlMapping.ToAct(answer.Outcome, "policy-update", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<ConfirmRotationResponse> ConfirmRotation(ConfirmRotationRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var role = ControlMapping.ToRole(request.RotationRole) ?? throw Refusal.OfField(Reason.InvalidRequest, "rotation_role", "rotation_role must be controller or agent");
        var rotation = new RotationOrder(
            role, ControlMapping.ToDid(request.FromDid, "from_did"), ControlMapping.ToDid(request.ToDid, "to_did"),
            role == AliasRole.Agent ? ControlMapping.ToRequired(request.ControllerDid, "controller_did") : null);
        order.RequireFields();
        var answer = await rotations.ConfirmAsync(order, rotation, context.CancellationToken);
        return new ConfirmRotationResponse
        {
            RotationRole = request.RotationRole,
            Alias = ControlMapping.ToWire(answer.Alias),
            AlreadyConfirmed = answer.Outcome is null,
            Act = ControlMapping.ToAct(answer.Outcome, "rotation-confirm", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<RequestTransferResponse> RequestTransfer(RequestTransferRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await transfers.RequestAsync(
            order, ControlMapping.ToRequired(request.ControllerDid, "controller_did"), ControlMapping.ToText(request.TransferToOwnerDid, "transfer_to_owner_did"),
            request.Deadline?.ToTimeSpan(), context.CancellationToken);
        return new RequestTransferResponse
        {
            Controller = ControlMapping.ToWire(answer.Controller, Now, answer.Outcome),
            AlreadyPending = answer.Outcome is null,
            Act = ControlMapping.ToAct(answer.Outcome, "transfer-request", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<ConfirmTransferResponse> ConfirmTransfer(ConfirmTransferRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await transfers.ConfirmAsync(
            order, ControlMapping.ToRequired(request.ControllerDid, "controller_did"), ControlMapping.ToOptional(request.TransferToOwnerDid, "transfer_to_owner_did"),
            context.CancellationToken);
        return new ConfirmTransferResponse
        {
            Controller = ControlMapping.ToWire(answer.Controller, Now, answer.Outcome),
            AlreadyTransferred = answer.Outcome is null,
            Act = ControlMapping.ToAct(answer.Outcome, "transfer-confirm", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<CancelTransferResponse> CancelTransfer(CancelTransferRequest request, ServerCallContext context)
    {
        var order = ToOrder(request.OwnerDid, request.ChallengeId, request.SignatureB64U, request.Correlation, context);
        var answer = await transfers.CancelAsync(order, ControlMapping.ToRequired(request.ControllerDid, "controller_did"), context.CancellationToken);
        return new CancelTransferResponse
        {
            Controller = ControlMapping.ToWire(answer.Controller, Now, answer.Outcome),
            Act = ControlMapping.ToAct(answer.Outcome, "transfer-cancel", order.OwnerDid, order.ChallengeId),
        };
    }

    public override async Task<GetControllerResponse> GetController(GetControllerRequest request, ServerCallContext context)
    {
        var did = ControlMapping.ToRequired(request.ControllerDid, "controller_did");
        var (found, _) = await chains.FindControllerAsync(did, context.CancellationToken);
        var response = new GetControllerResponse { RequestedControllerDid = did, ResolvedControllerDid = found.Did, Controller = ControlMapping.ToWire(found.Record!, Now) };
        ControlMapping.AddAliases(response.Aliases, found.Aliases);
        return response;
    }

    public override async Task<ListAgentsResponse> ListAgents(ListAgentsRequest request, ServerCallContext context)
    {
        var did = ControlMapping.ToRequired(request.ControllerDid, "controller_did");
        if (request.PageSize is < 0 or > MostPage) throw Refusal.OfField(Reason.InvalidRequest, "page_size", $"page_size must be 1 to {MostPage}");
        var after = ControlMapping.ToLastAgent(request.PageToken, did);
        var page = await chains.ListAgentsAsync(did, after, request.PageSize == 0 ? DefaultPage : request.PageSize, context.CancellationToken);
        var response = new ListAgentsResponse
        {
            RequestedControllerDid = did,
            ControllerDid = page.Controller.Did,
            TransferState = ControlMapping.ToWire(page.TransferState),
            Bindings = { page.Agents.Select(agent => ControlMapping.ToWire(agent)) },
            NextPageToken = ControlMapping.ToPageToken(did, page.Next),
        };
        ControlMapping.AddAliases(response.Aliases, page.Controller.Aliases);
        return response;
    }

    public override async Task<GetControlChainResponse> GetControlChain(GetControlChainRequest request, ServerCallContext context)
    {
        var (controllerDid, agentDid) = (ControlMapping.ToRequired(request.ControllerDid, "controller_did"), ControlMapping.ToRequired(request.AgentDid, "agent_did"));
        var chain = await chains.FindChainAsync(controllerDid, agentDid, context.CancellationToken);
        var response = new GetControlChainResponse
        {
            OwnerDid = chain.Controller.Record!.OwnerDid,
            Controller = ControlMapping.ToWire(chain.Controller.Record, Now),
            AgentBinding = ControlMapping.ToWire(chain.Agent.Record!),
            RequestedControllerDid = controllerDid,
            ResolvedControllerDid = chain.Controller.Did,
            RequestedAgentDid = agentDid,
            ResolvedAgentDid = chain.Agent.Did,
            Active = chain.Active,
            Revision = ControlMapping.ToWire(chain.Revision),
        };
        ControlMapping.AddAliases(response.ControllerAliases, chain.Controller.Aliases);
        ControlMapping.AddAliases(response.AgentAliases, chain.Agent.Aliases);
        return response;
    }

    private static SignedOrder ToOrder(string owner, string challengeId, string signature, Correlation? correlation, ServerCallContext context) =>
        ControlMapping.ToOrder(owner, challengeId, signature, correlation, context.GetCorrelation());
}
