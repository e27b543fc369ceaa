using System.Net;
using ClawBureau.Hosting;

namespace ClawBureau.Edge.Tests;

/// <summary>clawscope-http.md 0: what holds for every route; /health and the key documents of section 3.</summary>
[Collection(EdgeSuite.Name)]
public sealed class RouteTests(EdgeFixture edge)
{
    [Fact]
    public async Task Health_names_service_and_version()
    {
        var answer = await edge.Http.GetAsync("/health");
        Assert.Equal("{\n  \"status\": \"ok\",\n  \"service\": \"clawscope\",\n  \"version\": \"0.1.0\"\n}", answer.Text);
        answer.IsOk("status service version");
    }

    [Theory]
    [InlineData("GET", "/health")]
    [InlineData("GET", "/skill.md")]
    [InlineData("GET", "/v1/did")]
    [InlineData("GET", "/v1/jwks")]
    [InlineData("GET", "/v1/keys/rotation-contract")]
    [InlineData("GET", "/v1/keys/transparency/latest")]
    [InlineData("POST", "/v1/tokens/introspect")]
    [InlineData("POST", "/v1/tokens/introspect/matrix")]
    public async Task Class_A_is_open_in_both_modes_whatever_the_caller_shows(string method, string path)
    {
        var body = method == "POST" ? $$"""{"token":"{{(await edge.Http.IssueAsync()).Token}}"}""" : null;
        foreach (var face in (HttpFaceClient[])[edge.Http, edge.Canonical])
        {
            foreach (var shown in ((string, string)[][])[[], [("Authorization", "Bearer wrong")], [("Authorization", "Basic !")], [("X-CST", "a.b.c"), ("X-Scoped-Token", "d.e.f")]])
                Assert.Equal(HttpStatusCode.OK, (await face.SendAsync(new HttpMethod(method), path, body, shown)).Status);
        }
    }

    [Theory]
    [InlineData("GET", "/v1/revocations/stream")]
    [InlineData("GET", "/v1/revocations/events")]
    [InlineData("GET", "/v1/audit/issuance")]
    [InlineData("GET", "/v1/audit/bundle")]
    [InlineData("GET", "/v1/keys/transparency/history")]
    [InlineData("POST", "/v1/keys/transparency/snapshot")]
    [InlineData("POST", "/v1/tokens/revoke")]
    public async Task Class_C_is_judged_by_the_headers_first_in_both_modes(string method, string path)
    {
        var (http, body) = (new HttpMethod(method), method == "POST" ? "{" : null);
        (await edge.Canonical.SendAsync(http, path, body)).IsRefused(401, "TOKEN_REQUIRED", "Canonical CST token is required (X-CST or X-Scoped-Token)");
        (await edge.Canonical.SendAsync(http, path, body, ("X-CST", "a.b.c"), ("X-Scoped-Token", "d.e.f"))).IsRefused(401, "TOKEN_MALFORMED", "Conflicting CST headers: X-CST and X-Scoped-Token differ");
        (await edge.Canonical.SendAsync(http, path, body, ("Authorization", $"Bearer {EdgeFixture.AdminKey}"))).IsRefused(401, "LEGACY_AUTH_FORBIDDEN", "Admin token headers are not accepted in canonical auth mode; provide X-CST");
        if (path.StartsWith("/v1/audit", StringComparison.Ordinal)) return;        // judged by the AuditSink, which this Edge has none of: AuditTests
        (await edge.Http.SendAsync(http, path, body, ("X-CST", "a.b.c"), ("Authorization", "Bearer a.b.c"))).IsRefused(401, "UNAUTHORIZED", "Invalid admin token");
        (await edge.Http.SendAsync(http, path, body)).IsRefused(401, "UNAUTHORIZED", "Missing Authorization header");
        (await edge.Http.SendAsync(http, path, body, ("Authorization", "Bearer wrong"))).IsRefused(401, "UNAUTHORIZED", "Invalid admin token");
        (await edge.Canonical.SendAsync(http, path, body, ("X-CST", "a.b.c"))).IsRefused(401, "TOKEN_MALFORMED", "Invalid JWT header encoding");
    }

    [Theory]
    [InlineData("GET", "/")]
    [InlineData("GET", "/v1")]
    [InlineData("GET", "/health/")]
    [InlineData("GET", "/Health")]
    [InlineData("GET", "/v1/jwks/")]
    [InlineData("POST", "/v1/jwks")]
    [InlineData("OPTIONS", "/v1/jwks")]
    [InlineData("GET", "/v1/tokens/issue")]
    [InlineData("PUT", "/v1/tokens/introspect")]
    [InlineData("GET", "/v1/nothing/here?at=all")]
    public async Task Unknown_paths_and_wrong_methods_are_not_found(string method, string path) =>
        (await edge.Http.SendAsync(new HttpMethod(method), path, method == "POST" ? "{}" : null)).IsRefused(404, "NOT_FOUND", "Not found");

    [Fact]
    public async Task Head_is_not_found_either_and_has_no_body()
    {
        var answer = await edge.Http.SendAsync(HttpMethod.Head, "/v1/jwks", null);
        Assert.Equal((HttpStatusCode.NotFound, ""), (answer.Status, answer.Text));
    }

    [Fact]
    public async Task A_trace_id_is_echoed_and_one_is_made_for_who_has_none()
    {
        Assert.Equal("my-trace", (await edge.Http.GetAsync("/health", ("x-trace-id", " my-trace "))).Headers["x-trace-id"]);
        Assert.Equal("my-trace", (await edge.Http.GetAsync("/v1/nothing", ("x-trace-id", "my-trace"))).Headers["x-trace-id"]);
        Assert.StartsWith("trc_", (await edge.Http.GetAsync("/health")).Headers["x-trace-id"], StringComparison.Ordinal);
        (await edge.Http.GetAsync("/health", ("x-trace-id", new string('x', 129)))).IsRefused(400, "FIELD_TOO_LONG");
    }

    [Fact]
    public async Task A_body_over_64_KiB_is_not_taken()
    {
        (await edge.Http.PostAsync("/v1/tokens/introspect", new string(' ', HttpFace.MostBodyBytes + 1))).IsRefused(413, "INVALID_REQUEST", "Request body must be at most 65536 bytes");
        (await edge.Http.PostAsync("/v1/tokens/introspect", new string(' ', HttpFace.MostBodyBytes))).IsRefused(400, "INVALID_JSON");
    }

    [Fact]
    public async Task The_plain_loopback_listener_serves_the_same()
    {
        using var curl = new HttpClient { BaseAddress = edge.Http.PlainAddress };
        using var response = await curl.GetAsync("/v1/jwks");
        Assert.Equal((await edge.Http.GetAsync("/v1/jwks")).Text, (await Answered.ReadAsync(response)).Text);
    }

    [Theory]
    [InlineData("CLAW_EDGE_HTTP", "http://0.0.0.0:7405", "loopback")]
    [InlineData("CLAW_EDGE_HTTP", "http://10.0.0.1:7405", "loopback")]
    [InlineData("CLAW_EDGE_HTTP", "7405", "CLAW_EDGE_HTTP")]
    [InlineData("CLAW_EDGE_HTTP", "https://127.0.0.1:7405", "CLAW_EDGE_HTTP")]
    [InlineData("CLAW_ISSUER", null, "CLAW_ISSUER")]
    [InlineData("CLAW_INTROSPECTOR", "http://127.0.0.1:7420", "CLAW_INTROSPECTOR")]
    [InlineData("CLAW_VERIFIER", "verifier", "CLAW_VERIFIER")]
    public async Task A_setting_that_cannot_be_used_stops_the_start_with_a_sentence_that_names_it(string name, string? value, string sentence)
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() => edge.StartEdgeAsync(new() { [name] = value }));
        Assert.Contains(sentence, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_JWKS_lists_accepted_keys_signing_ones_first_and_may_be_kept_for_five_minutes()
    {
        var answer = await edge.Http.GetAsync("/v1/jwks");
        answer.IsOk("keys");
        Assert.Equal("public, max-age=300", answer.Headers["cache-control"]);
        var keys = answer.Json.GetProperty("keys").EnumerateArray().ToList();
        Assert.Equal(["fe2b99fd9afaa999", "0c1b8946b8068fe3"], keys.Select(key => key.GetProperty("kid").GetString()));
        Assert.Equal(
            """{"kty":"OKP","crv":"Ed25519","x":"VCgh6VKd0a0kO_3_XGQKZRlLSBaYemUN6GHXzp5BemM","kid":"fe2b99fd9afaa999","alg":"EdDSA","use":"sig","ext":true}""",
            System.Text.Json.JsonSerializer.Serialize(keys[0]));

        var again = await edge.Http.GetAsync("/v1/jwks", ("If-None-Match", answer.Headers["etag"]));
        Assert.Equal((HttpStatusCode.NotModified, ""), (again.Status, again.Text));
    }

    [Fact]
    public async Task The_DID_names_the_active_key()
    {
        var answer = await edge.Http.GetAsync("/v1/did");
        answer.IsOk("did kid public_key_b64u");
        Assert.Equal(["did:web:clawscope.com", "fe2b99fd9afaa999", "VCgh6VKd0a0kO_3_XGQKZRlLSBaYemUN6GHXzp5BemM"], answer.Json.EnumerateObject().Select(m => m.Value.GetString()));
        Assert.False(answer.Headers.ContainsKey("cache-control"));
    }

    [Fact]
    public async Task The_rotation_contract_says_what_is_accepted_and_until_when()
    {
        var answer = await edge.Http.GetAsync("/v1/keys/rotation-contract");
        answer.IsOk("contract_version key_algorithm active_kid accepted_kids signing_kids verify_only_kids overlap_seconds overlap_window_open expiring_kids revocation_stream_endpoint jwks_endpoint");
        Assert.Equal("""
            {
              "contract_version": "2",
              "key_algorithm": "Ed25519",
              "active_kid": "fe2b99fd9afaa999",
              "accepted_kids": [
                "fe2b99fd9afaa999",
                "0c1b8946b8068fe3"
              ],
              "signing_kids": [
                "fe2b99fd9afaa999"
              ],
              "verify_only_kids": [
                "0c1b8946b8068fe3"
              ],
              "overlap_seconds": 3600,
              "overlap_window_open": true,
              "expiring_kids": [
                {
                  "kid": "0c1b8946b8068fe3",
                  "not_after_unix": 4102444800
                }
              ],
              "revocation_stream_endpoint": "/v1/revocations/stream",
              "jwks_endpoint": "/v1/jwks"
            }
            """.ReplaceLineEndings("\n"), answer.Text);
    }

    [Theory]
    [InlineData("""{"a":[],"b":{},"c":"{[,:]}\\\"","d":[1,[true,null]]}""", "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": \"{[,:]}\\\\\\\"\",\n  \"d\": [\n    1,\n    [\n      true,\n      null\n    ]\n  ]\n}")]
    [InlineData("{}", "{}")]
    public void Answers_are_laid_out_as_JSON_stringify_does(string compact, string laidOut) =>
        Assert.Equal(laidOut, System.Text.Encoding.UTF8.GetString(Answer.Indent(System.Text.Encoding.UTF8.GetBytes(compact))));
}
