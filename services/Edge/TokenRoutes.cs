using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Delegation = ClawBureau.Protos.Types.V1.Delegation;
using KidSource = ClawBureau.Protos.Types.V1.KidSource;
using LegacyExchangeMode = ClawBureau.Protos.Types.V1.LegacyExchangeMode;
using Reason = ClawBureau.Tokens.Reason;
using TokenLane = ClawBureau.Protos.Types.V1.TokenLane;

namespace ClawBureau.Edge;

/// <summary>/v1/tokens/issue, /v1/tokens/issue/canonical and /v1/tokens/introspect with a JSON body (clawscope-http.md 1.1, 1.2, 5.1).</summary>
internal sealed class TokenRoutes(EdgePeers peers)
{
    private const double MostDurationSeconds = 315_576_000_000;     // the range of protobuf's Duration

    public async Task<Answer> IssueAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => ToRequest(body, TokenLane.Legacy), async () => await peers.Issuance.IssueTokenAsync(new(), call.Options));
        var issued = await peers.Issuance.IssueTokenAsync(request, call.Options);
        return Answer.Ok(json => WriteIssued(json, issued));
    }

    public async Task<Answer> IssueCanonicalAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => ToRequest(body, TokenLane.Canonical), async () => await peers.Issuance.IssueTokenAsync(new(), call.Options));
        var issued = await peers.Issuance.IssueTokenAsync(request, call.Options);
        return Answer.Ok(json => WriteCanonical(json, issued));
    }

    /// <summary>What the contract has no code for is ISSUE_FAILED; a chain that could not be looked up says why (clawscope-http.md 6.3).</summary>
    public static Answer RefuseCanonical(Refusal refusal)
    {
        var answer = RefuseIssue(refusal);
        if (refusal.Reason is not (Reason.ControlChainNotFound or Reason.ControlChainLookupFailed)) return answer;
        var details = new JsJsonWriter().Name("details");
        if (refusal.Metadata.TryGetValue("upstream_error", out var error))
        {
            details.BeginObject()
                .Name("upstream_error").Value(error)
                .Name("upstream_message").Value(refusal.Metadata.GetValueOrDefault("upstream_message", ""))
                .Name("upstream_status").Value(long.Parse(refusal.Metadata.GetValueOrDefault("upstream_status", "0")))
                .EndObject();
        }
        else
        {
            details.Null();
        }
        return answer with { Json = [.. answer.Json.AsSpan(0, answer.Json.Length - 1), (byte)',', .. details.EndObject().Written] };
    }

    /// <summary>What the contract has no code for is ISSUE_FAILED.</summary>
    public static Answer RefuseIssue(Refusal refusal) => Answer.Refused(refusal.Reason == Reason.Internal ? new Refusal(Reason.IssueFailed) : refusal);

    public async Task<Answer> IntrospectAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new IntrospectTokenRequest
        {
            Token = body.Text("token") is { } token && !JsText.IsBlank(token) ? token : throw Refusal.OfField(Reason.InvalidRequest, "token", "token is required"),
        });
        var answer = await peers.Introspection.IntrospectTokenAsync(request, call.Options);
        // A token that is not good is an answer over gRPC, and 401 with its reason here.
        if (!answer.Active && !answer.Revoked) return Answer.Inactive(new Refusal((Reason)answer.InactiveReason, answer.InactiveSentence));
        return Answer.Ok(json => WriteIntrospected(json, answer));
    }

    // Nothing is judged but types: what a request may say is the Issuer's business. Numbers are brought into the range that
    // the wire has, on the side of the bound where they are.
    private static IssueTokenRequest ToRequest(JsonBody body, TokenLane lane)
    {
        var request = new IssueTokenRequest
        {
            Sub = body.Text("sub") ?? "",
            Aud = body.Text("aud") is { } one ? new() { Values = { one } } : body.Texts("aud") is { } several ? new() { Values = { several }, AsArray = true } : null,
            Scope = { body.Texts("scope") ?? [] },
            Tier = JsText.Trim(body.Text("tier") ?? ""),
            Lane = lane,
            OwnerDid = body.Text("owner_did") ?? "",
            ControllerDid = body.Text("controller_did") ?? "",
            AgentDid = body.Text("agent_did") ?? "",
            Delegation = ToDelegation(body),
        };
        if (body.Number("ttl_sec") is { } ttl) request.Ttl = ToDuration(ttl);
        if (body.Number("exp") is { } exp) request.ExpiresAt = ToTimestamp(exp is > 0 and < 1 ? 1 : exp);
        if (body.Text("token_lane") is { } stated) request.StatedLane = stated;
        else if (lane == TokenLane.Canonical) request.StatedLane = "legacy";        // what is not said is not canonical: delegation asks for the word
        if (body.Text("owner_ref") is { } ownerRef) request.OwnerRef = ownerRef;
        if (body.Text("policy_hash_b64u") is { } policy) request.PolicyHashB64U = policy;
        if (body.Text("control_plane_policy_hash_b64u") is { } control) request.ControlPlanePolicyHashB64U = control;
        if (body.Text("payment_account_did") is { } payment) request.PaymentAccountDid = payment;
        if (body.Number("spend_cap") is { } cap) request.SpendCap = cap;
        if (body.Text("mission_id") is { } mission) request.MissionId = mission;
        return request;
    }

    private static Delegation? ToDelegation(JsonBody body)
    {
        var delegation = new Delegation();
        if (body.Text("delegation_id") is { } id) delegation.DelegationId = id;
        if (body.Text("delegator_did") is { } delegator) delegation.DelegatorDid = delegator;
        if (body.Text("delegate_did") is { } acting) delegation.DelegateDid = acting;
        if (body.Text("delegation_policy_hash_b64u") is { } policy) delegation.PolicyHashB64U = policy;
        if (body.Text("delegation_spend_cap_minor") is { } cap) delegation.SpendCapMinor = cap;
        if (body.Number("delegation_expires_at") is { } end && double.IsFinite(end)) delegation.ExpiresAt = ToTimestamp(end);
        return delegation.Equals(new Delegation()) ? null : delegation;
    }

    private static Duration ToDuration(double seconds)
    {
        var clamped = Math.Clamp(seconds, -MostDurationSeconds, MostDurationSeconds);
        var whole = Math.Truncate(clamped);
        // Less than a nanosecond is still more than nothing.
        var nanos = Math.Sign(clamped) * Math.Min(999_999_999, Math.Ceiling(Math.Abs(clamped - whole) * 1e9));
        return new Duration { Seconds = (long)whole, Nanos = (int)nanos };
    }

    private static Timestamp ToTimestamp(double seconds) =>
        new() { Seconds = (long)Math.Clamp(Math.Floor(seconds), -TokenLimits.MaxEpochSeconds, TokenLimits.MaxEpochSeconds) };

    private static void WriteIssued(JsJsonWriter json, IssueTokenResponse issued)
    {
        json.Name("token").Value(issued.Token)
            .Name("token_hash").Value(issued.TokenHash)
            .Name("token_lane").Value("legacy")
            .Name("legacy_exchange_mode").Value(ModeOf(issued.LegacyExchangeMode))
            .Name("migration_notice");
        if (issued.MigrationNotice.Length > 0) json.Value(issued.MigrationNotice);
        else json.Null();
        WriteTail(json, issued);
    }

    private static void WriteCanonical(JsJsonWriter json, IssueTokenResponse issued)
    {
        json.Name("token").Value(issued.Token)
            .Name("token_hash").Value(issued.TokenHash)
            .Name("token_lane").Value("canonical")
            .ChainClaims(issued.Claims)
            .Name("control_plane_policy_hash_b64u").Value(issued.Claims.ControlPlanePolicyHashB64U);
        WriteTail(json, issued);
    }

    private static void WriteTail(JsJsonWriter json, IssueTokenResponse issued)
    {
        var claims = issued.Claims;
        json.Optional("policy_hash_b64u", claims.HasPolicyHashB64U ? claims.PolicyHashB64U : null)
            .Name("token_scope_hash_b64u").Value(issued.TokenScopeHashB64U)
            .Optional("payment_account_did", claims.HasPaymentAccountDid ? claims.PaymentAccountDid : null)
            .Optional("mission_id", claims.HasMissionId ? claims.MissionId : null)
            .DelegationClaims(claims.Delegation)
            .Name("policy_version").Value(issued.PolicyVersion)
            .Name("policy_tier").Value(issued.PolicyTier)
            .Name("kid").Value(issued.Kid)
            .TimeClaims(claims)
            .Name("claims").BeginObject().AllClaims(claims).EndObject();
    }

    private static void WriteIntrospected(JsJsonWriter json, IntrospectTokenResponse answer)
    {
        json.Name("active").Value(answer.Active);
        if (answer.Revoked) json.Name("revoked").Value(true);
        json.Name("token_hash").Value(answer.TokenHash);
        if (answer.Claims is { } claims)
            json.SubjectClaims(claims).GrantClaims(claims).Optional("token_lane", ClaimsJson.LaneOf(claims.TokenLane)).TimeClaims(claims);
        json.Name("kid").Value(answer.Kid)
            .Name("kid_source").Value(answer.KidSource == KidSource.Recovered ? "recovered" : "header");
        if (answer.Revoked) json.Time("revoked_at", answer.RevokedAt);
    }

    private static string ModeOf(LegacyExchangeMode mode) => mode switch
    {
        LegacyExchangeMode.Enabled => "enabled",
        LegacyExchangeMode.Disabled => "disabled",
        _ => "migration",
    };
}
