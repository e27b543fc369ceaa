using System.Text.Json;

namespace ClawBureau.Edge.Tests;

/// <summary>POST /v1/tokens/introspect: clawscope-http.md 5.1.</summary>
[Collection(EdgeSuite.Name)]
public sealed class IntrospectTests(EdgeFixture edge)
{
    private const string Path = "/v1/tokens/introspect";
    private const string Kid = "fe2b99fd9afaa999";

    [Fact]
    public async Task A_good_token_is_active_with_what_it_grants()
    {
        var (token, hash) = await edge.Http.IssueAsync("""
            {"sub":"did:key:zAgent","aud":["a.example"],"scope":["clawproxy:call"],"owner_ref":"o","owner_did":"did:key:zO","spend_cap":12.5,"mission_id":"m","payment_account_did":"did:key:zP"}
            """);
        var answer = await IntrospectAsync(token);
        answer.IsOk("active token_hash sub aud scope owner_ref owner_did token_scope_hash_b64u payment_account_did spend_cap mission_id token_lane iat exp kid kid_source");
        var json = answer.Json;
        Assert.True(json.GetProperty("active").GetBoolean());
        Assert.Equal((hash, "did:key:zAgent", 12.5, "legacy", Kid, "header"), (json.GetProperty("token_hash").GetString(), json.GetProperty("sub").GetString(),
            json.GetProperty("spend_cap").GetDouble(), json.GetProperty("token_lane").GetString(), json.GetProperty("kid").GetString(), json.GetProperty("kid_source").GetString()));
        Assert.Equal((JsonValueKind.Array, JsonValueKind.Number, JsonValueKind.Number),
            (json.GetProperty("aud").ValueKind, json.GetProperty("iat").ValueKind, json.GetProperty("exp").ValueKind));
        Assert.Equal("no-store", answer.Headers["cache-control"]);
    }

    [Fact]
    public async Task An_audience_that_is_one_string_stays_one()
    {
        var answer = await IntrospectAsync((await edge.Http.IssueAsync()).Token);
        answer.IsOk("active token_hash sub aud scope token_scope_hash_b64u token_lane iat exp kid kid_source");
        Assert.Equal("clawproxy.example", answer.Json.GetProperty("aud").GetString());
    }

    [Fact]
    public async Task A_revoked_token_is_answered_with_200_and_since_when()
    {
        var (token, hash) = await edge.Http.IssueAsync();
        await edge.Http.PostAsAdminAsync("/v1/tokens/revoke", $$"""{"token_hash":"{{hash}}"}""");
        var answer = await IntrospectAsync(token);
        answer.IsOk("active revoked token_hash sub aud scope token_scope_hash_b64u token_lane iat exp kid kid_source revoked_at revoked_at_iso");
        Assert.Equal((false, true), (answer.Json.GetProperty("active").GetBoolean(), answer.Json.GetProperty("revoked").GetBoolean()));
        Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(answer.Json.GetProperty("revoked_at").GetInt64()).ToString("yyyy-MM-ddTHH:mm:ss.000Z"), answer.Json.GetProperty("revoked_at_iso").GetString());
    }

    [Fact]
    public async Task A_token_without_kid_is_recovered()
    {
        var answer = await IntrospectAsync(Jwt.Make("""{"alg":"EdDSA","typ":"JWT"}""", Jwt.Claims()));
        Assert.Equal((Kid, "recovered"), (answer.Json.GetProperty("kid").GetString(), answer.Json.GetProperty("kid_source").GetString()));
    }

    [Theory]                            // 9: what is no kid counts as missing
    [InlineData("\"\"")]
    [InlineData("\" \"")]
    [InlineData("7")]
    [InlineData("null")]
    [InlineData("[]")]
    public async Task A_kid_that_is_blank_or_no_text_counts_as_missing(string kid)
    {
        var answer = await IntrospectAsync(Jwt.Make($$"""{"alg":"EdDSA","typ":"JWT","kid":{{kid}}}""", Jwt.Claims()));
        Assert.True((int)answer.Status == 200, answer.Text);
        Assert.Equal((Kid, "recovered"), (answer.Json.GetProperty("kid").GetString(), answer.Json.GetProperty("kid_source").GetString()));
    }

    public static TheoryData<string, string, string> Bad => new()
    {
        { "no dots", "TOKEN_MALFORMED", "CST token must be a JWT (header.payload.signature)" },                                                 // 1
        { "a.b.c.d", "TOKEN_MALFORMED", "CST token must be a JWT (header.payload.signature)" },
        { "!.b.c", "TOKEN_MALFORMED", "Invalid JWT header encoding" },                                                                          // 2
        { Jwt.Part("7") + ".b.c", "TOKEN_MALFORMED", "Invalid JWT header" },
        { Jwt.Make("""{"alg":"none","kid":"fe2b99fd9afaa999"}""", Jwt.Claims()), "TOKEN_UNSUPPORTED_ALG", "Unsupported token algorithm (expected EdDSA)" },  // 3
        { Jwt.Part(Jwt.Header(Kid)) + ".!.c", "TOKEN_MALFORMED", "Invalid JWT payload encoding" },                                              // 4
        { Jwt.Make(Jwt.Header(Kid), Jwt.Claims(version: "\"2\"")), "TOKEN_UNKNOWN_VERSION", "Unknown token_version" },                          // 5
        { Jwt.Make(Jwt.Header(Kid), Jwt.Claims(version: "1")), "TOKEN_UNKNOWN_VERSION", "Unknown token_version" },
        { Jwt.Make(Jwt.Header(Kid), Jwt.Claims(version: "null")), "TOKEN_UNKNOWN_VERSION", "Unknown token_version" },
        { Jwt.Make(Jwt.Header(Kid), """{"sub":"s"}"""), "TOKEN_INVALID_CLAIMS", "Token claims do not match scoped_token_claims.v1 schema" },    // 6
        { Jwt.Make(Jwt.Header(Kid), Jwt.Claims(exp: 1700000600)), "TOKEN_EXPIRED", "Token has expired" },                                       // 7
        { Jwt.Make(Jwt.Header("45d994114e9f9dfb"), Jwt.Claims(), signedBy: 91), "TOKEN_UNKNOWN_KID", "Unknown token kid" },                     // 9
        { Jwt.Make(Jwt.Header("6c85026b6a2e08b6"), Jwt.Claims(), signedBy: 39), "TOKEN_KID_EXPIRED", "Token kid is no longer within accepted overlap window" },   // 10
        { Jwt.Make(Jwt.Header(Kid), Jwt.Claims(), signedBy: 91), "TOKEN_SIGNATURE_INVALID", "Token signature verification failed" },            // 11
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public async Task A_token_that_is_not_good_is_401_with_its_reason(string token, string code, string message) =>
        (await IntrospectAsync(token)).IsInactive(401, code, message);

    [Theory]
    [InlineData("{", "INVALID_JSON", "Request body must be valid JSON")]
    [InlineData("token=abc", "INVALID_JSON", "Request body must be valid JSON")]
    [InlineData("\"abc\"", "INVALID_REQUEST", "Request body must be a JSON object")]
    [InlineData("[]", "INVALID_REQUEST", "token is required")]
    [InlineData("{}", "INVALID_REQUEST", "token is required")]
    [InlineData("""{"token":" "}""", "INVALID_REQUEST", "token is required")]
    [InlineData("""{"token":7}""", "INVALID_REQUEST", "token is required")]
    public async Task A_request_without_a_token_is_refused(string body, string code, string message) =>
        (await edge.Http.PostAsync(Path, body)).IsRefused(400, code, message);

    [Fact]
    public async Task It_is_public_and_no_credential_is_looked_at()
    {
        var body = $$"""{"token":"{{(await edge.Http.IssueAsync()).Token}}"}""";
        Assert.Equal(200, (int)(await edge.Canonical.PostAsync(Path, body, ("Authorization", "Bearer wrong"), ("X-CST", "a.b.c"), ("X-Scoped-Token", "d.e.f"))).Status);
    }

    private Task<Answered> IntrospectAsync(string token) => edge.Http.PostAsync(Path, JsonSerializer.Serialize(new { token }));
}
