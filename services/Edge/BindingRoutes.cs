using ClawBureau.Protos.Control.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>/v1/challenges, /v1/bind, /v1/bindings/revoke (control-plane-http.md 2.2).</summary>
internal sealed class BindingRoutes(EdgePeers peers)
{
    public IEnumerable<Route> Routes =>
    [
        new("POST", "/v1/challenges", Access.Public, ChallengeAsync),
        new("POST", "/v1/bind", Access.Public, BindAsync),
        new("POST", "/v1/bindings/revoke", Access.Public, RevokeAsync),
    ];

    private async Task<Answer> ChallengeAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new CreateBindingChallengeRequest
        {
            Did = body.Text("did") ?? "",
            Purpose = body.Text("purpose") is not { } purpose
                ? BindingPurpose.Bind
                : JsText.Trim(purpose) switch { "bind" => BindingPurpose.Bind, "revoke" => BindingPurpose.Revoke, _ => (BindingPurpose)99 },
        });
        var made = await peers.Bindings.CreateBindingChallengeAsync(request, call.Options);
        return Answer.Ok(json => json
            .Name("challenge_id").Value(made.ChallengeId)
            .Name("purpose").Value(made.Purpose == BindingPurpose.Revoke ? "revoke" : "bind")
            .Name("did").Value(made.Did)
            .Name("nonce").Value(made.Nonce)
            .Name("message").Value(made.Message)
            .Name("expires_at").Value(made.ExpiresAt.Seconds)
            .Name("expires_in_sec").Value(made.ExpiresIn.Seconds));
    }

    private async Task<Answer> BindAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new BindDidRequest
        {
            Did = body.Text("did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
        });
        var bound = await peers.Bindings.BindDidAsync(request, call.Options);
        return bound.AlreadyBound
            ? Answer.Ok(json => json.Name("status").Value("already_bound").Name("did").Value(bound.Did))
            : Answer.Ok(json => json
                .Name("status").Value("bound")
                .Name("did").Value(bound.Did)
                .Name("active").Value(true)
                .Time("bound_at", bound.BoundAt)
                .Name("challenge_id").Value(bound.ChallengeId));
    }

    private async Task<Answer> RevokeAsync(EdgeCall call)
    {
        var request = await call.ReadAsync(body => new RevokeBindingRequest
        {
            Did = body.Text("did") ?? "",
            ChallengeId = body.Text("challenge_id") ?? "",
            SignatureB64U = body.Text("signature_b64u") ?? "",
            Reason = body.Text("reason") ?? "",
        });
        var revoked = await peers.Bindings.RevokeBindingAsync(request, call.Options);
        return Answer.Ok(json => json
            .Name("status").Value(revoked.AlreadyRevoked ? "already_revoked" : "revoked")
            .Name("did").Value(revoked.Did)
            .Time("revoked_at", revoked.RevokedAt)
            .Act(revoked.Act));
    }
}
