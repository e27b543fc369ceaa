using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Edge;

/// <summary>/v1/scoped-tokens/* and /v1/delegations/bootstrap (control-plane-http.md 2.9).</summary>
internal sealed class BootstrapRoutes(EdgePeers peers)
{
    public IEnumerable<Route> Routes =>
    [
        new("POST", "/v1/scoped-tokens/challenges", Access.Public, ChallengeAsync),
        new("POST", "/v1/scoped-tokens/exchange", Access.Public, ExchangeAsync),
        new("POST", "/v1/delegations/bootstrap", Access.AdminKey, DelegationAsync) { Refuse = RefuseDelegation },
    ];

    private async Task<Answer> ChallengeAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body =>
        {
            var asked = new CreateTokenChallengeRequest
            {
                OwnerDid = body.Text("owner_did") ?? "",
                Aud = { body.Text("aud") is { } one ? [one] : body.Texts("aud") ?? [] },
                Scope = { body.Texts("scope") ?? [] },
                OwnerAttestationId = body.Text("owner_attestation_id") ?? "",
                ControllerDid = body.Text("controller_did") ?? "",
                AgentDid = body.Text("agent_did") ?? "",
            };
            if (body.Text("mission_id") is { } mission) asked.MissionId = mission;
            if (body.Number("ttl_sec") is { } ttl) asked.Ttl = new Duration { Seconds = (long)Math.Clamp(ttl, 0, 1_000_000) };
            return asked;
        });
        var made = await peers.Bootstrap.CreateTokenChallengeAsync(request, call.Options);
        return Answer.Ok(json => json
            .Name("challenge_id").Value(made.ChallengeId)
            .Name("owner_did").Value(made.OwnerDid)
            .Name("message").Value(made.Message)
            .Name("expires_at").Value(made.ExpiresAt.Seconds)
            .Name("ttl_sec").Value(made.Ttl.Seconds));
    }

    private async Task<Answer> ExchangeAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new ExchangeTokenRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
        });
        var answer = await peers.Bootstrap.ExchangeTokenAsync(request, call.Options);
        var issued = answer.Issued;
        return Answer.Ok(json => json
            .Name("status").Value("issued")
            .Name("owner_did").Value(answer.OwnerDid)
            .Name("token").Value(issued.Token)
            .Name("token_hash").Value(issued.TokenHash)
            .Name("policy_version").Value(issued.PolicyVersion)
            .Name("token_lane").Value(ClaimsJson.LaneOf(issued.Lane) ?? "")
            .Name("kid").Value(issued.Kid)
            .TimeClaims(issued.Claims)
            .Nullable("clawlogs_leaf_hash_b64u", answer.LogLeafHashB64U)
            .Name("clawlogs_status").Value(answer.LogWritten ? "written" : "skipped"));
    }

    private async Task<Answer> DelegationAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(
            body => new BootstrapDelegationRequest { DelegatorDid = body.Text("delegator_did") ?? "", DelegateDid = body.Text("delegate_did") ?? "" },
            async () => await peers.Bootstrap.BootstrapDelegationAsync(new(), call.Options));
        var answer = await peers.Bootstrap.BootstrapDelegationAsync(request, call.Options);
        return Answer.Ok(json => json.Name("ok").Value(true).Name("result").BeginObject()
            .Name("delegator_did").Value(answer.DelegatorDid)
            .Name("delegate_did").Value(answer.DelegateDid)
            .Name("delegator_binding_active").Value(true)
            .Name("delegate_binding_active").Value(true)
            .Time("checked_at", answer.CheckedAt)
            .EndObject());
    }

    /// <summary>That no key is configured has another name here.</summary>
    private static Answer RefuseDelegation(Refusal refusal) =>
        Answer.Refused(refusal.Reason is Reason.AdminKeyNotConfigured or Reason.AdminKeyConfigInvalid ? new Refusal(Reason.DelegationBootstrapNotConfigured) : refusal);
}
