using System.Globalization;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Edge;

/// <summary>/v1/verify/token-control and /v1/verify/control-chain, in the dialect of clawverify: compact, and its own error shape (control-plane-http.md 1, 3.1, 3.2).</summary>
internal sealed class VerificationRoutes(EdgePeers peers, TimeProvider time)
{
    private const string ConfidenceHeader = "X-Claw-Confidence";
    private static readonly EnumDescriptor HintCodes = VerificationReflection.Descriptor.FindTypeByName<EnumDescriptor>(nameof(RemediationCode));

    public async Task<Answer> TokenControlAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(ToRequest);
        var response = await peers.Verification.VerifyTokenControlAsync(request, call.Options);
        var isValid = response.Verdict.Status == VerificationStatus.Valid;
        var answer = Compact(isValid ? StatusCodes.Status200OK : StatusOf((Reason)response.Verdict.Reason), json => Write(json, response, isValid));
        return response.Confidence is { } confidence ? answer with { Headers = [(ConfidenceHeader, TextOf(confidence))] } : answer;
    }

    public async Task<Answer> ControlChainAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new VerifyControlChainRequest
        {
            OwnerDid = body.Text("owner_did") ?? "",
            ControllerDid = body.Text("controller_did") ?? "",
            AgentDid = body.Text("agent_did") ?? "",
        });
        var response = await peers.Verification.VerifyControlChainAsync(request, call.Options);
        var isValid = response.Verdict.Status == VerificationStatus.Valid;
        return Compact(isValid ? StatusCodes.Status200OK : StatusOf((Reason)response.Verdict.Reason), json =>
        {
            json.Result(isValid ? "VALID" : "INVALID", response.Verdict.Sentence, response.Verdict.VerifiedAt)
                .Name("owner_did").Value(response.OwnerDid)
                .Name("controller_did").Value(response.ControllerDid)
                .Name("agent_did").Value(response.AgentDid)
                .Name("chain_active").Value(response.ChainActive)
                .Optional("policy_hash_b64u", response.PolicyHashB64U);
            WriteHints(json, response.RemediationHints);
            if (!isValid) json.Error((Reason)response.Verdict.Reason, response.Verdict.Sentence, response.Verdict.Field);
        });
    }

    /// <summary>A refusal is a failed verification here too; only a body that is no JSON is told plainly.</summary>
    public Answer Refuse(Refusal refusal)
    {
        if (refusal.Reason == Reason.InvalidJson)
            return Compact(StatusCodes.Status400BadRequest, json => json.Name("error").Value("Invalid JSON in request body"));
        var reason = refusal.Reason switch
        {
            Reason.PeerUnavailable or Reason.NotReady or Reason.LeaseLost => Reason.DependencyNotConfigured,
            Reason.InvalidRequest or Reason.TextNotStorable or Reason.FieldTooLong => Reason.ParseError,
            Reason.TransitionUnknown => Reason.TokenControlTransitionForbidden,
            var own => own,
        };
        var message = refusal.Sentence ?? ReasonCatalog.Of(refusal.Reason).Sentence;
        return Compact(StatusOf(reason), json => json
            .Result("INVALID", message, Timestamp.FromDateTimeOffset(time.GetUtcNow()))
            .Name("remediation_hints").BeginArray().EndArray()
            .Error(reason, message, refusal.Metadata.GetValueOrDefault("field")));
    }

    /// <exception cref="Refusal">MISSING_REQUIRED_FIELD: no token. Everything else is the Verifier's to judge.</exception>
    private static VerifyTokenControlRequest ToRequest(JsonBody body) => new()
    {
        Token = body.Text("token") is { } token && !JsText.IsBlank(token) ? token : throw Refusal.OfField(Reason.MissingRequiredField, "token", "token is required"),
        ExpectedOwnerDid = body.Text("expected_owner_did") ?? "",
        ExpectedControllerDid = body.Text("expected_controller_did") ?? "",
        ExpectedAgentDid = body.Text("expected_agent_did") ?? "",
        RequiredAudience = { OneOrMore(body, "required_audience") },
        RequiredScope = { OneOrMore(body, "required_scope") },
        RequiredTransitions = { OneOrMore(body, "required_transitions") },
    };

    /// <summary>How much the answer is worth, as an item with parameters (RFC 8941, 3.3); the contract's body has no place for it.</summary>
    private static string TextOf(Confidence confidence) => string.Create(CultureInfo.InvariantCulture,
        $"{(confidence.Source == VerificationSource.Offline ? "offline" : "introspection")};revocation_age_ms={Milliseconds(confidence.RevocationAge)};key_age_ms={Milliseconds(confidence.KeyAge)};lease_left_ms={(long)(confidence.LeaseLeft?.ToTimeSpan() ?? TimeSpan.Zero).TotalMilliseconds}");

    // Upwards, as an age is a bound; what is left of a lease downwards.
    private static long Milliseconds(Duration? duration) => duration is null ? 0 : (long)Math.Ceiling(duration.ToTimeSpan().TotalMilliseconds);

    private static IReadOnlyList<string> OneOrMore(JsonBody body, string name) => body.Text(name) is { } one ? [one] : body.Texts(name) ?? [];

    private static void Write(JsJsonWriter json, VerifyTokenControlResponse response, bool isValid)
    {
        json.Result(isValid ? "VALID" : "INVALID", response.Verdict.Sentence, response.Verdict.VerifiedAt)
            .Optional("token_hash", response.TokenHash);
        if (response.HasActive) json.Name("active").Value(response.Active);
        if (response.HasRevoked) json.Name("revoked").Value(response.Revoked);
        if (response.Claims is { } claims)
        {
            json.Optional("token_lane", ClaimsJson.LaneOf(claims.TokenLane))
                .ChainClaims(claims)
                .AudienceClaim(claims)
                .Name("scope").Value(claims.Scope)
                .Optional("token_scope_hash_b64u", claims.HasTokenScopeHashB64U ? claims.TokenScopeHashB64U : null);
        }
        if (response.TransitionMatrix.Count > 0) WriteMatrix(json, response.TransitionMatrix);
        if (response.TransparencySnapshot is { } snapshot)
        {
            json.Name("transparency_snapshot").BeginObject()
                .Name("snapshot_id").Value(snapshot.SnapshotId)
                .Time("generated_at", snapshot.GeneratedAt)
                .Name("active_kid").Value(snapshot.ActiveKid)
                .Name("accepted_kids").Value(snapshot.AcceptedKids)
                .Name("kid_observed").Value(snapshot.KidObserved)
                .EndObject();
        }
        WriteHints(json, response.RemediationHints);
        if (!isValid) json.Error((Reason)response.Verdict.Reason, response.Verdict.Sentence, response.Verdict.Field);
    }

    private static void WriteHints(JsJsonWriter json, IEnumerable<RemediationHint> hints)
    {
        json.Name("remediation_hints").BeginArray();
        foreach (var hint in hints)
        {
            json.BeginObject()
                .Name("code").Value(HintCodes.FindValueByNumber((int)hint.Code).Name["REMEDIATION_CODE_".Length..])
                .Name("message").Value(hint.Message)
                .Name("action").Value(hint.Action)
                .EndObject();
        }
        json.EndArray();
    }

    private static void WriteMatrix(JsJsonWriter json, IEnumerable<TransitionDecision> matrix)
    {
        json.Name("transition_matrix").BeginObject();
        foreach (var decision in matrix)
        {
            json.Name(decision.Transition).BeginObject()
                .Name("allowed").Value(decision.Allowed)
                .Name("reason_code").Value(decision.Allowed ? "ALLOWED" : ReasonCatalog.Of((Reason)decision.Reason).Code)
                .Name("reason").Value(decision.Sentence)
                .EndObject();
        }
        json.EndObject();
    }

    /// <summary>control-plane-http.md 3: what the request lacks, what we lack, and everything about the token.</summary>
    private static int StatusOf(Reason reason) => reason switch
    {
        Reason.ParseError or Reason.MissingRequiredField or Reason.InvalidDidFormat => StatusCodes.Status400BadRequest,
        Reason.NotFound or Reason.RateLimited or Reason.Internal => ReasonCatalog.Of(reason).HttpStatus,
        _ when ReasonCatalog.Of(reason).HttpStatus >= 500 => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status422UnprocessableEntity,
    };

    private static Answer Compact(int status, Action<JsJsonWriter> members) =>
        new(status, Answer.Write(members)) { IsIndented = false, ContentType = "application/json", ClawverifyVersion = "1" };
}

/// <summary>The two members that every answer of clawverify is built around.</summary>
internal static class VerdictJson
{
    public static JsJsonWriter Result(this JsJsonWriter json, string status, string reason, Timestamp verifiedAt) => json
        .Name("result").BeginObject()
        .Name("status").Value(status)
        .Name("reason").Value(reason)
        .Name("verified_at").Value(ClaimsJson.IsoOf(verifiedAt))
        .EndObject();

    public static JsJsonWriter Error(this JsJsonWriter json, Reason reason, string message, string? field) => json
        .Name("error").BeginObject()
        .Name("code").Value(ReasonCatalog.Of(reason).Code)
        .Name("message").Value(message)
        .Optional("field", field)
        .EndObject();
}
