using System.Net;
using System.Text.Json;
using ClawBureau.Tokens;

namespace ClawBureau.Edge.Tests;

/// <summary>
/// Scoped tokens as credentials of the protected routes: clawscope-http.md 0.1 C, a test per row, in both modes. The tokens are
/// signed with the stack's own key.
/// </summary>
[Collection(EdgeSuite.Name)]
public sealed class CallerTokenTests(EdgeFixture edge)
{
    private const string Revoke = "/v1/tokens/revoke", Stream = "/v1/revocations/stream";
    private const string Kid = "fe2b99fd9afaa999", ExpiredKid = "6c85026b6a2e08b6", ForeignKid = "0c1b8946b8068fe3";
    private const string Owner = "did:key:zOwner";
    private static readonly string[] Revoking = ["control:token:revoke"], Reading = ["control:audit:read"];

    [Theory]
    [InlineData("X-CST", "{0}")]
    [InlineData("X-CST", "Bearer {0}")]
    [InlineData("X-Scoped-Token", "bearer {0}")]
    [InlineData("Authorization", "Bearer {0}")]
    [InlineData("Authorization", "{0}")]
    public async Task A_canonical_token_opens_the_routes_its_scopes_name_wherever_it_is_carried(string header, string form)
    {
        var (_, hash) = await edge.Http.IssueAsync(OwnedBy(Owner));
        (await edge.Canonical.PostAsync(Revoke, Naming(hash), (header, string.Format(form, Token(Revoking))))).IsOk("status token_hash revoked_at revoked_at_iso event_key");
        (await edge.Canonical.GetAsync(Stream, (header, string.Format(form, Token(Reading))))).IsOk("stream_version events cursor list_complete");
    }

    [Fact]
    public async Task Both_headers_with_one_token_are_one_credential() // 1
    {
        var token = Token(Reading);
        (await edge.Canonical.GetAsync(Stream, ("X-CST", token), ("X-Scoped-Token", $"Bearer {token}"))).IsOk("stream_version events cursor list_complete");
        (await edge.Canonical.GetAsync(Stream, ("X-CST", token), ("X-Scoped-Token", Token(Reading))))
            .IsRefused(401, "TOKEN_MALFORMED", "Conflicting CST headers: X-CST and X-Scoped-Token differ");
    }

    // 5: the decision order of section 5.1, up to the revocation.
    public static TheoryData<string, string, string> NotGood => new()
    {
        { "x.y", "TOKEN_MALFORMED", "CST token must be a JWT (header.payload.signature)" },
        { "!.b.c", "TOKEN_MALFORMED", "Invalid JWT header encoding" },
        { Jwt.Make("""{"alg":"HS256","typ":"JWT"}""", Claims(Revoking)), "TOKEN_UNSUPPORTED_ALG", "Unsupported token algorithm (expected EdDSA)" },
        { Jwt.Make(Jwt.Header(Kid), Claims(Revoking).Replace("\"token_version\":\"1\"", "\"token_version\":\"2\"", StringComparison.Ordinal)), "TOKEN_UNKNOWN_VERSION", "Unknown token_version" },
        { Jwt.Make(Jwt.Header(Kid), """{"token_version":"1"}"""), "TOKEN_INVALID_CLAIMS", "Token claims do not match scoped_token_claims.v1 schema" },
        { Jwt.Make(Jwt.Header(Kid), Claims(Revoking, exp: 1700000100)), "TOKEN_EXPIRED", "Token has expired" },
        { Jwt.Make(Jwt.Header("0123456789abcdef"), Claims(Revoking)), "TOKEN_UNKNOWN_KID", "Unknown token kid" },
        { Jwt.Make(Jwt.Header(ExpiredKid), Claims(Revoking), signedBy: 39), "TOKEN_KID_EXPIRED", "Token kid is no longer within accepted overlap window" },
        { Jwt.Make(Jwt.Header(Kid), Claims(Revoking), signedBy: 39), "TOKEN_SIGNATURE_INVALID", "Token signature verification failed" },
        { Jwt.Make(Jwt.Header(ForeignKid), Claims(["control:*"]), signedBy: 77), "TOKEN_FOREIGN", "The token's key never signed here; it cannot authorize operations of this suite" },
    };

    [Theory]
    [MemberData(nameof(NotGood))]
    public async Task A_token_that_does_not_introspect_opens_nothing(string token, string code, string message)
    {
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", token))).IsRefused(401, code, message);
        (await edge.Canonical.GetAsync(Stream, ("X-CST", token))).IsRefused(401, code, message);
    }

    [Fact]
    public async Task A_revoked_token_opens_nothing_from_the_answer_on_however_it_is_re_encoded() // 6
    {
        var (caller, reader) = (Token(Revoking), Token(Reading));
        foreach (var token in (string[])[caller, reader]) await edge.Http.PostAsAdminAsync(Revoke, JsonSerializer.Serialize(new { token }));

        // The original service takes the same token for another one: contract section 9, item 1.
        foreach (var (variant, code) in ((string, string)[])[(caller + "==", "TOKEN_MALFORMED"), (caller + "    ", "TOKEN_REVOKED"), (caller[..^1] + Neighbour(caller[^1]), "TOKEN_MALFORMED")])
            (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", variant))).IsRefused(401, code);
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", caller))).IsRefused(401, "TOKEN_REVOKED", "Token is revoked and cannot authorize protected operations");
        (await edge.Canonical.GetAsync(Stream, ("X-CST", reader))).IsRefused(401, "TOKEN_REVOKED", "Token is revoked and cannot authorize protected operations");
    }

    public static TheoryData<string> Chainless => new()
    {
        Jwt.Make(Jwt.Header(Kid), Claims(["control:*"], lane: "legacy")),
        Jwt.Make(Jwt.Header(Kid), Claims(["control:*"], lane: null)),
        Jwt.Make(Jwt.Header(Kid), Claims(["control:*"], owner: null)),
        Jwt.Make(Jwt.Header(Kid), Claims(["control:*"], controller: null)),
        Jwt.Make(Jwt.Header(Kid), Claims(["control:*"], agent: null)),
    };

    [Theory]
    [MemberData(nameof(Chainless))]
    public async Task A_token_without_a_canonical_chain_opens_nothing_whatever_its_scopes(string token) // 7
    {
        const string message = "Canonical chain claims are required: owner_did, controller_did, agent_did, token_lane=canonical";
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", token))).IsRefused(401, "TOKEN_CONTROL_CHAIN_MISSING", message);
        (await edge.Canonical.GetAsync(Stream, ("X-CST", token))).IsRefused(401, "TOKEN_CONTROL_CHAIN_MISSING", message);
    }

    [Theory]
    [InlineData("clawproxy:call")]
    [InlineData("*")]                   // the four that the original service takes for control rights: section 9, item 2
    [InlineData("proxy:*")]
    [InlineData("clawproxy:*")]
    [InlineData("control:key:rotate")]
    public async Task A_token_without_one_of_the_scopes_is_told_which(string scope) // 8
    {
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", Token([scope]))))
            .IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE", "Token does not include required scope(s): control:token:revoke, control:token:issue_sensitive");
        (await edge.Canonical.GetAsync(Stream, ("X-CST", Token([scope])))).IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE", "Token does not include required scope(s): control:audit:read");
    }

    [Fact]
    public async Task The_scopes_of_one_route_do_not_open_the_other()
    {
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", Token(Reading)))).IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE");
        (await edge.Canonical.GetAsync(Stream, ("X-CST", Token(Revoking)))).IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE");
        (await edge.Canonical.GetAsync(Stream, ("X-CST", Token(["control:*"])))).IsOk("stream_version events cursor list_complete");
    }

    [Fact]
    public async Task A_scope_that_opens_the_route_but_not_the_transition_is_not_enough() => // 9
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", ("X-CST", Token(["control:token:issue_sensitive"]))))
            .IsRefused(403, "TOKEN_CONTROL_TRANSITION_FORBIDDEN", "Token is not authorized for transition(s): token.revoke");

    [Theory]
    [InlineData("{", "INVALID_JSON")]
    [InlineData("{}", "INVALID_REQUEST")]
    public async Task The_caller_is_judged_before_the_body(string body, string code)
    {
        (await edge.Canonical.PostAsync(Revoke, body, ("X-CST", Token(Reading)))).IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE");
        (await edge.Canonical.PostAsync(Revoke, body, ("X-CST", Token(Revoking)))).IsRefused(400, code);
    }

    [Fact]
    public async Task An_owner_revokes_what_is_its_own_and_reads_of_that_alone()
    {
        var owner = $"did:key:z{Guid.NewGuid():N}";
        var (own, others, unowned) = ((await edge.Http.IssueAsync(OwnedBy(owner))).Hash, (await edge.Http.IssueAsync(OwnedBy(Owner))).Hash, (await edge.Http.IssueAsync()).Hash);
        (string, string) caller = ("X-CST", Token(Revoking, owner));
        foreach (var hash in (string[])[others, unowned, TokenHash.Of("never issued").ToString()])
            (await edge.Canonical.PostAsync(Revoke, Naming(hash), caller)).IsRefused(403, "TOKEN_NOT_ISSUED_HERE", "The ledger does not know this token; only operators may revoke it");

        var first = await edge.Canonical.PostAsync(Revoke, $$"""{"token_hash":"{{own}}","reason":"mine"}""", caller);
        Assert.Equal("revoked", first.Json.GetProperty("status").GetString());
        Assert.Equal("already_revoked", (await edge.Canonical.PostAsync(Revoke, Naming(own), caller)).Json.GetProperty("status").GetString());
        await edge.Http.PostAsAdminAsync(Revoke, Naming(others));

        var listed = await edge.Canonical.GetAsync(Stream, ("X-CST", Token(Reading, owner)));
        var only = Assert.Single(listed.Json.GetProperty("events").EnumerateArray()).GetProperty("record");
        Assert.Equal((own, "mine", "did:key:zAgent"), (only.GetProperty("token_hash").GetString(), only.GetProperty("reason").GetString(), only.GetProperty("revoked_by").GetString()));
    }

    [Fact]
    public async Task In_admin_mode_no_token_is_a_credential_wherever_it_is_carried()
    {
        var token = Token(["control:*"]);
        foreach (var (header, message) in ((string, string)[])[("X-CST", "Missing Authorization header"), ("X-Scoped-Token", "Missing Authorization header"), ("Authorization", "Invalid admin token")])
        {
            (await edge.Http.PostAsync(Revoke, """{"token":"t"}""", (header, token))).IsRefused(401, "UNAUTHORIZED", message);
            (await edge.Http.GetAsync(Stream, (header, token))).IsRefused(401, "UNAUTHORIZED", message);
        }
        // Class B takes none in either mode.
        (await edge.Canonical.PostAsync("/v1/tokens/issue", "{}", ("Authorization", $"Bearer {token}"))).IsRefused(401, "UNAUTHORIZED", "Invalid admin token");
        (await edge.Canonical.PostAsync("/v1/tokens/issue", "{}", ("X-CST", token))).IsRefused(401, "UNAUTHORIZED", "Missing Authorization header");
    }

    [Fact]
    public async Task The_audience_of_a_callers_token_is_not_looked_at() =>
        Assert.Equal(HttpStatusCode.OK, (await edge.Canonical.GetAsync(Stream, ("X-CST", Jwt.Make(Jwt.Header(Kid), Claims(Reading, audience: "clawproxy.elsewhere"))))).Status);

    internal static string Token(string[] scope, string owner = Owner) => Jwt.Make(Jwt.Header(Kid), Claims(scope, owner: owner));

    private static string Claims(
        string[] scope, string? owner = Owner, string? controller = "did:key:zController", string? agent = "did:key:zAgent", string? lane = "canonical",
        long exp = 4102444800, string audience = "clawscope.com") => JsonSerializer.Serialize(new Dictionary<string, object?>
        {
            ["token_version"] = "1",
            ["sub"] = "did:key:zAgent",
            ["aud"] = audience,
            ["scope"] = scope,
            ["iat"] = 1700000000,
            ["exp"] = exp,
            ["owner_did"] = owner,
            ["controller_did"] = controller,
            ["agent_did"] = agent,
            ["token_lane"] = lane,
            ["jti"] = $"{Guid.NewGuid()}",
        }.Where(claim => claim.Value is not null).ToDictionary());

    private static string OwnedBy(string owner) => $$"""{"sub":"did:key:zAgent","aud":"clawproxy.example","scope":["clawproxy:call"],"owner_did":"{{owner}}"}""";

    private static string Naming(string hash) => $$"""{"token_hash":"{{hash}}"}""";

    // Differs in the bits that the last character of 64 bytes does not use.
    private static char Neighbour(char last)
    {
        const string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        return alphabet[alphabet.IndexOf(last, StringComparison.Ordinal) ^ 1];
    }
}
