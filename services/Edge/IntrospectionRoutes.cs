using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Tokens;
using KidSource = ClawBureau.Protos.Types.V1.KidSource;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Edge;

/// <summary>The transition matrix (clawscope-http.md 5.3), and introspection as RFC 7662 has it, for a form-encoded body.</summary>
internal sealed class IntrospectionRoutes(EdgePeers peers)
{
    public async Task<Answer> MatrixAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new GetTransitionMatrixRequest
        {
            Token = body.Text("token") is { } token && !JsText.IsBlank(token) ? token : throw Refusal.OfField(Reason.InvalidRequest, "token", "token is required"),
            Transition = body.Text("transition") ?? "",
        });
        var answer = await peers.Introspection.GetTransitionMatrixAsync(request, call.Options);
        if (!answer.Active && !answer.Revoked) return Answer.Inactive(new Refusal((Reason)answer.InactiveReason, answer.InactiveSentence));
        return Answer.Ok(json =>
        {
            json.Name("active").Value(answer.Active)
                .Name("revoked").Value(answer.Revoked)
                .Name("token_hash").Value(answer.TokenHash)
                .Name("transition");
            if (request.Transition.Length > 0) json.Value(request.Transition);
            else json.Null();
            if (answer.Active)
            {
                json.Name("transition_result");
                if (answer.TransitionResult is { } result) WriteDecision(json, result);
                else json.Null();
            }
            json.Name("matrix").BeginObject();
            foreach (var decision in answer.Matrix) WriteDecision(json.Name(decision.Transition), decision);
            json.EndObject()
                .Name("kid").Value(answer.Kid)
                .Name("kid_source").Value(answer.KidSource == KidSource.Recovered ? "recovered" : "header");
            if (answer.Revoked) json.Name("error").Value(ReasonCatalog.Of(Reason.TokenRevoked).Code).Name("message").Value(answer.InactiveSentence);
        });
    }

    /// <summary>RFC 7662 2.2: whatever is wrong with a token, it is not active, and nothing more is said of it.</summary>
    public async Task<Answer> IntrospectFormAsync(EdgeCall call)
    {
        string token;
        try
        {
            token = await call.ReadFormAsync("token");
        }
        catch (Refusal)
        {
            await EdgeCall.AdmitAsync(async () => await peers.Introspection.IntrospectTokenAsync(new(), call.Options));
            throw;
        }
        var answer = await peers.Introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = token }, call.Options);
        if (!answer.Active) return Answer.Ok(json => json.Name("active").Value(false));
        return Answer.Ok(json =>
        {
            json.Name("active").Value(true);
            if (answer.Claims is { } claims)
            {
                json.Name("scope").Value(string.Join(' ', claims.Scope))
                    .Name("token_type").Value("Bearer")
                    .TimeClaims(claims)
                    .Name("sub").Value(claims.Sub)
                    .AudienceClaim(claims)
                    .Optional("jti", claims.HasJti ? claims.Jti : null)
                    .GrantClaims(claims)
                    .Optional("token_lane", ClaimsJson.LaneOf(claims.TokenLane));
            }
            json.Name("token_hash").Value(answer.TokenHash).Name("kid").Value(answer.Kid);
        });
    }

    private static void WriteDecision(JsJsonWriter json, TransitionDecision decision) => json.BeginObject()
        .Name("allowed").Value(decision.Allowed)
        .Name("reason_code").Value(decision.Allowed ? "ALLOWED" : ReasonCatalog.Of((Reason)decision.Reason).Code)
        .Name("reason").Value(decision.Sentence)
        .EndObject();
}
