using System.Text.Json;

namespace ClawBureau.Edge.Tests;

/// <summary>POST /v1/tokens/introspect/matrix: clawscope-http.md 5.3.</summary>
[Collection(EdgeSuite.Name)]
public sealed class MatrixTests(EdgeFixture edge)
{
    private const string Path = "/v1/tokens/introspect/matrix";
    private const string Active = "active revoked token_hash transition transition_result matrix kid kid_source";

    [Fact]
    public async Task An_active_token_is_answered_with_every_transition_and_the_one_asked_for()
    {
        var token = Canonical("control:token:revoke");
        var answer = await AskAsync(token, "token.revoke");
        answer.IsOk(Active);
        var json = answer.Json;
        Assert.Equal((true, false, "token.revoke", "fe2b99fd9afaa999", "header"), (json.GetProperty("active").GetBoolean(), json.GetProperty("revoked").GetBoolean(),
            json.GetProperty("transition").GetString(), json.GetProperty("kid").GetString(), json.GetProperty("kid_source").GetString()));
        var matrix = json.GetProperty("matrix");
        Assert.Equal("controller.policy.update token.issue.sensitive token.revoke key.rotate", Answered.MembersOf(matrix));
        Assert.All(matrix.EnumerateObject(), entry => Assert.Equal("allowed reason_code reason", Answered.MembersOf(entry.Value)));
        Assert.Equal("""{"allowed":true,"reason_code":"ALLOWED","reason":"Transition requirements satisfied"}""", JsonSerializer.Serialize(matrix.GetProperty("token.revoke")));
        Assert.Equal("""{"allowed":false,"reason_code":"TOKEN_SCOPE_MISSING","reason":"Missing required scope(s): control:key:rotate"}""", JsonSerializer.Serialize(matrix.GetProperty("key.rotate")));
        Assert.Equal(JsonSerializer.Serialize(matrix.GetProperty("token.revoke")), JsonSerializer.Serialize(json.GetProperty("transition_result")));
        Assert.Equal("no-store", answer.Headers["cache-control"]);
    }

    [Fact]
    public async Task Without_a_transition_both_members_are_null()
    {
        var answer = await AskAsync((await edge.Http.IssueAsync()).Token);
        answer.IsOk(Active);
        Assert.Equal((JsonValueKind.Null, JsonValueKind.Null), (answer.Json.GetProperty("transition").ValueKind, answer.Json.GetProperty("transition_result").ValueKind));
        Assert.Equal("TOKEN_CONTROL_CHAIN_MISSING", answer.Json.GetProperty("matrix").GetProperty("key.rotate").GetProperty("reason_code").GetString());
    }

    [Fact]
    public async Task A_token_of_the_legacy_lane_may_make_none()
    {
        var answer = await AskAsync(Canonical("control:*", lane: "legacy"));
        Assert.All(answer.Json.GetProperty("matrix").EnumerateObject(), entry =>
            Assert.Equal("""{"allowed":false,"reason_code":"TOKEN_LANE_LEGACY_FORBIDDEN","reason":"Sensitive transitions require canonical token lane"}""", JsonSerializer.Serialize(entry.Value)));
    }

    [Fact]
    public async Task A_revoked_token_is_answered_with_200_and_an_error_and_no_result()
    {
        var token = Canonical("control:token:revoke");
        await edge.Http.PostAsAdminAsync("/v1/tokens/revoke", JsonSerializer.Serialize(new { token }));
        var answer = await AskAsync(token, "no.such.transition");
        answer.IsOk("active revoked token_hash transition matrix kid kid_source error message");
        Assert.Equal((false, true, "TOKEN_REVOKED"), (answer.Json.GetProperty("active").GetBoolean(), answer.Json.GetProperty("revoked").GetBoolean(), answer.Json.GetProperty("error").GetString()));
        Assert.True(answer.Json.GetProperty("matrix").GetProperty("token.revoke").GetProperty("allowed").GetBoolean());
    }

    [Theory]
    [InlineData("token.destroy")]
    [InlineData("toString")]
    public async Task An_unknown_transition_is_refused(string transition) =>
        (await AskAsync(Canonical("control:*"), transition)).IsRefused(400, "TRANSITION_UNKNOWN", $"Unknown transition '{transition}'");

    [Fact]
    public async Task A_token_that_is_not_good_is_401_with_its_reason() =>
        (await AskAsync("a.b.c.d", "token.revoke")).IsInactive(401, "TOKEN_MALFORMED", "CST token must be a JWT (header.payload.signature)");

    [Theory]
    [InlineData("{", "INVALID_JSON", "Request body must be valid JSON")]
    [InlineData("7", "INVALID_REQUEST", "Request body must be a JSON object")]
    [InlineData("{}", "INVALID_REQUEST", "token is required")]
    public async Task A_request_without_a_token_is_refused(string body, string code, string message) =>
        (await edge.Http.PostAsync(Path, body)).IsRefused(400, code, message);

    private static string Canonical(string scope, string lane = "canonical") => Jwt.Make(Jwt.Header("fe2b99fd9afaa999"), $$"""
        {"token_version":"1","sub":"did:key:zAgent","aud":"a","scope":["{{scope}}"],"iat":1700000000,"exp":4102444800,"owner_did":"did:key:zOwner",
         "controller_did":"did:key:zController","agent_did":"did:key:zAgent","token_lane":"{{lane}}","jti":"{{Guid.NewGuid()}}"}
        """);

    private Task<Answered> AskAsync(string token, string? transition = null) =>
        edge.Http.PostAsync(Path, transition is null ? JsonSerializer.Serialize(new { token }) : JsonSerializer.Serialize(new { token, transition }));
}
