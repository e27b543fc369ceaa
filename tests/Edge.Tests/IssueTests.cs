using System.Net;
using System.Text.Json;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Edge.Tests;

/// <summary>POST /v1/tokens/issue: clawscope-http.md 0.1 B, 1.1, 1.2.</summary>
[Collection(EdgeSuite.Name)]
public sealed class IssueTests(EdgeFixture edge)
{
    private const string Path = "/v1/tokens/issue";
    private const string Minimal = """{"sub":"did:key:zAgent","aud":"clawproxy.example","scope":["clawproxy:call"]}""";
    private const string Hash = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    [Fact]
    public async Task The_least_request_is_answered_in_the_contracts_form()
    {
        var answer = await edge.Http.PostAsAdminAsync(Path, Minimal);
        answer.IsOk("token token_hash token_lane legacy_exchange_mode migration_notice token_scope_hash_b64u policy_version policy_tier kid iat exp claims");
        Assert.Equal("no-store", answer.Headers["cache-control"]);
        var json = answer.Json;
        Assert.Equal(["legacy", "migration", "Legacy exchange is temporary; migrate to /v1/tokens/issue/canonical for sensitive transitions.", "1", "default", "fe2b99fd9afaa999"],
            new[] { "token_lane", "legacy_exchange_mode", "migration_notice", "policy_version", "policy_tier", "kid" }.Select(name => json.GetProperty(name).GetString()));
        Assert.Equal(600, json.GetProperty("exp").GetInt64() - json.GetProperty("iat").GetInt64());
        var claims = json.GetProperty("claims");
        Assert.Equal("token_version sub aud scope iat exp token_scope_hash_b64u token_lane jti nonce", Answered.MembersOf(claims));
        Assert.Equal((JsonValueKind.String, JsonValueKind.Number), (claims.GetProperty("aud").ValueKind, claims.GetProperty("iat").ValueKind));
        Assert.Equal(Tokens.TokenHash.Of(json.GetProperty("token").GetString()!).ToString(), json.GetProperty("token_hash").GetString());
        Assert.Equal(System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(Padded(json.GetProperty("token").GetString()!.Split('.')[1]))), JsonSerializer.Serialize(claims, Relaxed));
    }

    [Fact]
    public async Task Every_field_a_legacy_token_may_have_is_in_its_place()
    {
        var answer = await edge.Http.PostAsAdminAsync(Path, $$"""
            {"sub":" did:key:zAgent ","aud":["a.example","b.example"],"scope":["clawproxy:call"," proxy:call "],"ttl_sec":60.9,"tier":" default ","owner_ref":"o","owner_did":"did:key:zO",
             "controller_did":"did:key:zC","agent_did":"did:key:zA","token_lane":"legacy","policy_hash_b64u":"{{Hash}}","control_plane_policy_hash_b64u":"{{Hash}}",
             "payment_account_did":"did:key:zP","spend_cap":1e-7,"mission_id":"agent:main:dm:whatsapp:+1555</script>é'&"}
            """);
        answer.IsOk("token token_hash token_lane legacy_exchange_mode migration_notice policy_hash_b64u token_scope_hash_b64u payment_account_did mission_id policy_version policy_tier kid iat exp claims");
        var claims = answer.Json.GetProperty("claims");
        Assert.Equal(
            "token_version sub aud scope iat exp owner_ref owner_did controller_did agent_did policy_hash_b64u control_plane_policy_hash_b64u token_scope_hash_b64u payment_account_did spend_cap mission_id token_lane jti nonce",
            Answered.MembersOf(claims));
        Assert.Equal((JsonValueKind.Array, 60L), (claims.GetProperty("aud").ValueKind, claims.GetProperty("exp").GetInt64() - claims.GetProperty("iat").GetInt64()));
        // Escaping and numbers are JSON.stringify's.
        Assert.Contains("\"mission_id\": \"agent:main:dm:whatsapp:+1555</script>é'&\"", answer.Text, StringComparison.Ordinal);
        Assert.Contains("\"spend_cap\": 1e-7", answer.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_scope_hash_is_the_contracts_vector_B9()
    {
        var answer = await edge.Http.PostAsAdminAsync(Path, """{"sub":"did:key:zAgent","aud":"staging.clawproxy.com","scope":["clawproxy:call"],"mission_id":"m1"}""");
        Assert.Equal("SCTyfomkCAhObV7-mUTpn1l-AFLa62aYhOhjfBmxcqA", answer.Json.GetProperty("token_scope_hash_b64u").GetString());
    }

    [Theory]
    [InlineData("""{"ttl_sec":"60","exp":null,"owner_did":5,"controller_did":[],"tier":7,"mission_id":{},"spend_cap":"1","token_lane":3,"policy_hash_b64u":1,"delegation_expires_at":"x","sub":"s","aud":"a","scope":["clawproxy:call"]}""", 600)]
    [InlineData("""{"sub":"first","sub":"s","aud":["a"],"scope":["clawproxy:call","clawproxy:call"],"ttl_sec":1.5}""", 1)]
    [InlineData("""{"\ud800":1,"sub":"s","aud":"a","scope":["clawproxy:call"],"\ud800":2}""", 600)]
    [InlineData("\uFEFF {\"sub\":\"s\",\"aud\":\"a\",\"scope\":[\"clawproxy:call\"],\"ttl_sec\":3600}", 3600)]
    public async Task Wrong_types_are_ignored_and_the_last_of_two_counts(string body, int ttl)
    {
        var answer = await edge.Http.PostAsAdminAsync(Path, body);
        var claims = answer.Json.GetProperty("claims");
        Assert.Equal(("s", ttl), (claims.GetProperty("sub").GetString(), claims.GetProperty("exp").GetInt64() - claims.GetProperty("iat").GetInt64()));
    }

    [Fact]
    public async Task Who_issues_again_what_is_taken_back_faster_than_seconds_pass_is_told_to_come_back()
    {
        var mission = new Group { Kind = GroupKind.Mission, Value = $"{Guid.NewGuid()}" };
        var revocation = new RevocationService.RevocationServiceClient(edge.Issuer.Channel().Calls);
        Answered answer;
        int cycles = 0;
        do
        {
            answer = await edge.Http.PostAsAdminAsync(Path, $$"""{"sub":"s","aud":"a","scope":["clawproxy:call"],"mission_id":"{{mission.Value}}"}""");
            await revocation.BlockGroupAsync(new() { Group = mission });
            await revocation.LiftBlockAsync(new() { Group = mission });
        }
        while (answer.Status == HttpStatusCode.OK && ++cycles < 500);
        answer.IsRefused(429, "LEDGER_OVERLOADED", "Tokens of this one's group were taken back and issued again faster than seconds pass");
        Assert.Equal("1", answer.Headers["retry-after"]);
        // Meanwhile everybody else gets tokens, dated now.
        var other = await edge.Http.PostAsAdminAsync(Path, """{"sub":"other","aud":"a","scope":["clawproxy:call"],"mission_id":"another"}""");
        Assert.InRange(other.Json.GetProperty("iat").GetInt64(), 1, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
    }

    [Fact]
    public async Task An_expiry_wins_over_a_lifetime_and_is_floored()
    {
        var end = DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 100;
        var answer = await edge.Http.PostAsAdminAsync(Path, $$"""{"sub":"s","aud":"a","scope":["clawproxy:call"],"ttl_sec":7,"exp":{{end}}.9}""");
        Assert.Equal(end, answer.Json.GetProperty("exp").GetInt64());
    }

    [Theory]
    [InlineData("{", 400, "INVALID_JSON", "Request body must be valid JSON")]                                       // 0
    [InlineData("", 400, "INVALID_JSON", "Request body must be valid JSON")]
    [InlineData("sub=s&aud=a", 400, "INVALID_JSON", "Request body must be valid JSON")]
    [InlineData("null", 400, "INVALID_REQUEST", "Request body must be a JSON object")]
    [InlineData("7", 400, "INVALID_REQUEST", "Request body must be a JSON object")]
    [InlineData("[1]", 400, "INVALID_REQUEST", "sub is required")]
    [InlineData("{}", 400, "INVALID_REQUEST", "sub is required")]                                                   // 1
    [InlineData("""{"sub":" "}""", 400, "INVALID_REQUEST", "sub is required")]
    [InlineData("""{"sub":5}""", 400, "INVALID_REQUEST", "sub is required")]
    [InlineData("""{"sub":"s"}""", 400, "INVALID_REQUEST", "aud is required")]                                      // 2
    [InlineData("""{"sub":"s","aud":""}""", 400, "INVALID_REQUEST", "aud is required")]
    [InlineData("""{"sub":"s","aud":[]}""", 400, "INVALID_REQUEST", "aud is required")]
    [InlineData("""{"sub":"s","aud":["a",""]}""", 400, "INVALID_REQUEST", "aud is required")]
    [InlineData("""{"sub":"s","aud":["a",1]}""", 400, "INVALID_REQUEST", "aud is required")]
    [InlineData("""{"sub":"s","aud":"a"}""", 400, "INVALID_REQUEST", "scope must be a non-empty array of strings")] // 3
    [InlineData("""{"sub":"s","aud":"a","scope":[]}""", 400, "INVALID_REQUEST", "scope must be a non-empty array of strings")]
    [InlineData("""{"sub":"s","aud":"a","scope":"x"}""", 400, "INVALID_REQUEST", "scope must be a non-empty array of strings")]
    [InlineData("""{"sub":"s","aud":"a","scope":["x",1]}""", 400, "INVALID_REQUEST", "scope must be a non-empty array of strings")]
    [InlineData("""{"sub":"s","aud":"a","scope":[""]}""", 400, "SCOPE_ITEM_TOO_LONG", "scope entries must be <= 128 chars")]    // 5
    [InlineData("""{"ttl_sec":0}""", 400, "INVALID_TTL", "ttl_sec must be a positive number")]                      // 6
    [InlineData("""{"ttl_sec":-0.1}""", 400, "INVALID_TTL", "ttl_sec must be a positive number")]
    [InlineData("""{"exp":0}""", 400, "INVALID_EXP", "exp must be a positive number")]                              // 7
    [InlineData("""{"exp":-1e300}""", 400, "INVALID_EXP", "exp must be a positive number")]
    [InlineData("""{"scope":[" "]}""", 400, "INVALID_REQUEST", "scope must contain at least one non-empty string")] // 8
    [InlineData("""{"owner_did":"x"}""", 400, "OWNER_DID_INVALID", null)]                                           // 9
    [InlineData("""{"controller_did":"did:"}""", 400, "CONTROLLER_DID_INVALID", null)]                              // 10
    [InlineData("""{"agent_did":"did:key:a b"}""", 400, "AGENT_DID_INVALID", null)]                                 // 11
    [InlineData("""{"token_lane":"other"}""", 400, "TOKEN_LANE_INVALID", null)]                                     // 12
    [InlineData("""{"policy_hash_b64u":"short"}""", 400, "POLICY_HASH_INVALID", null)]                              // 13
    [InlineData("""{"control_plane_policy_hash_b64u":"short"}""", 400, "CONTROL_POLICY_HASH_INVALID", null)]        // 14
    [InlineData("""{"payment_account_did":"x"}""", 400, "PAYMENT_ACCOUNT_CLAIM_INVALID", null)]                     // 15
    [InlineData("""{"delegator_did":"x"}""", 400, "DELEGATOR_DID_INVALID", null)]                                   // 16
    [InlineData("""{"delegate_did":"x"}""", 400, "DELEGATE_DID_INVALID", null)]
    [InlineData("""{"delegation_policy_hash_b64u":"x"}""", 400, "DELEGATION_POLICY_HASH_INVALID", null)]
    [InlineData("""{"delegation_spend_cap_minor":"1.5"}""", 400, "DELEGATION_SPEND_CAP_INVALID", null)]
    [InlineData("""{"delegate_did":"did:key:zB"}""", 400, "DELEGATE_DID_SUB_MISMATCH", "delegate_did must match sub for delegated tokens")] // 17
    [InlineData("""{"delegator_did":"did:key:zB","owner_did":"did:key:zO"}""", 400, "DELEGATOR_OWNER_MISMATCH", null)]  // 18
    [InlineData("""{"delegation_id":"d"}""", 400, "DELEGATION_CANONICAL_REQUIRED", null)]                           // 19
    [InlineData("""{"delegation_id":"d","token_lane":"canonical"}""", 400, "DELEGATION_CANONICAL_REQUIRED", null)]  // section 9, item 6
    [InlineData("""{"delegation_expires_at":1e12}""", 400, "DELEGATION_CANONICAL_REQUIRED", null)]
    [InlineData("""{"scope":["clawproxy:*"]}""", 400, "SCOPE_WILDCARD_NOT_ALLOWED", "wildcard scopes are not allowed by policy")]   // 20
    [InlineData("""{"scope":["x:y"]}""", 400, "SCOPE_NOT_ALLOWED", "scope 'x:y' is not allowed for tier 'default'")]
    [InlineData("""{"scope":["control:audit:read"]}""", 403, "LEGACY_SENSITIVE_SCOPE_FORBIDDEN", "Legacy issuance cannot mint sensitive scope(s) during migration: control:audit:read")]
    [InlineData("""{"ttl_sec":0.5}""", 400, "TTL_EXPIRED", "exp must be in the future")]
    [InlineData("""{"ttl_sec":1e-300}""", 400, "TTL_EXPIRED", "exp must be in the future")]
    [InlineData("""{"exp":0.5}""", 400, "TTL_EXPIRED", "exp must be in the future")]
    [InlineData("""{"exp":1500000000}""", 400, "TTL_EXPIRED", "exp must be in the future")]
    [InlineData("""{"ttl_sec":3601}""", 400, "TTL_TOO_LONG", "ttl exceeds max (3600s)")]
    [InlineData("""{"ttl_sec":1e400}""", 400, "TTL_TOO_LONG", "ttl exceeds max (3600s)")]
    [InlineData("""{"exp":1e300}""", 400, "TTL_TOO_LONG", "ttl exceeds max (3600s)")]
    // Hardenings of section 9: item 27, and text that cannot be kept.
    [InlineData("""{"spend_cap":-5}""", 400, "SPEND_CAP_INVALID", null)]
    [InlineData("""{"owner_ref":""}""", 400, "OWNER_REF_INVALID", null)]
    [InlineData("""{"mission_id":""}""", 400, "MISSION_ID_INVALID", null)]
    [InlineData("""{"mission_id":"\u0000"}""", 400, "TEXT_NOT_STORABLE", null)]
    [InlineData("""{"mission_id":"\ud800"}""", 400, "TEXT_NOT_STORABLE", null)]
    public async Task Each_row_of_the_table_refuses_with_its_code(string body, int status, string code, string? message)
    {
        // A row beyond the first is its own member over a good request, whose last one counts.
        var whole = body.StartsWith("{\"", StringComparison.Ordinal) && !body.StartsWith("{\"sub\"", StringComparison.Ordinal) ? Minimal[..^1] + "," + body[1..] : body;
        var answer = await edge.Http.PostAsAdminAsync(Path, whole);
        answer.IsRefused(status, code, message);
        Assert.Equal("no-store", answer.Headers["cache-control"]);
    }

    [Fact]
    public async Task Too_many_scopes_and_too_long_ones_are_refused()                                               // 4, 5
    {
        (await Issue(string.Join(',', Enumerable.Repeat("\"proxy:a\"", 65)))).IsRefused(400, "SCOPE_TOO_LARGE", "scope must have <= 64 items");
        (await Issue($"\"{new string('x', 129)}\"")).IsRefused(400, "SCOPE_ITEM_TOO_LONG", "scope entries must be <= 128 chars");

        Task<Answered> Issue(string scope) => edge.Http.PostAsAdminAsync(Path, $$"""{"sub":"s","aud":"a","scope":[{{scope}}]}""");
    }

    [Theory]
    [InlineData(null, "Missing Authorization header")]
    [InlineData("  ", "Missing Authorization header")]
    [InlineData("Bearer wrong", "Invalid admin token")]
    [InlineData("wrong", "Invalid admin token")]
    public async Task Who_brings_no_admin_key_or_a_wrong_one_is_told_so_whatever_his_body(string? authorization, string message)
    {
        foreach (var body in (string[])[Minimal, "{", "null", "{}"])
        {
            foreach (var face in (HttpFaceClient[])[edge.Http, edge.Canonical])
                (await face.PostAsync(Path, body, authorization is null ? [] : [("Authorization", authorization)])).IsRefused(401, "UNAUTHORIZED", message);
        }
    }

    [Theory]
    [InlineData("Bearer ")]
    [InlineData("bEaReR ")]
    [InlineData("")]
    public async Task The_scheme_is_optional_and_its_case_does_not_matter(string scheme) =>
        Assert.Equal(200, (int)(await edge.Http.PostAsync(Path, Minimal, ("Authorization", scheme + EdgeFixture.AdminKey))).Status);

    [Theory]
    [InlineData(null, null, 503, "ADMIN_KEY_NOT_CONFIGURED")]
    [InlineData(null, "[", 503, "ADMIN_KEY_CONFIG_INVALID")]
    [InlineData("k", "[\"\"]", 503, "ADMIN_KEY_CONFIG_INVALID")]
    [InlineData(null, "[\"other\"]", 401, "UNAUTHORIZED")]
    public async Task An_Issuer_without_usable_keys_says_so(string? key, string? keys, int status, string code)
    {
        await using var issuer = await edge.StartIssuerAsync(new() { ["SCOPE_ADMIN_KEY"] = key, ["SCOPE_ADMIN_KEYS_JSON"] = keys });
        await using var face = await edge.StartEdgeAsync(new() { ["CLAW_ISSUER"] = issuer.Address.ToString() });
        (await face.PostAsAdminAsync(Path, Minimal)).IsRefused(status, code);
    }

    [Fact]
    public async Task A_tier_that_is_not_there_is_refused_by_its_name_and_a_policy_without_a_default_one_is_not_the_callers_fault() // 20
    {
        await using var issuer = await edge.StartIssuerAsync(new()
        {
            ["SCOPE_POLICY_JSON"] = """{"tiers":{"gold":{"allowed_scopes":["clawproxy:call"],"max_ttl_seconds":60},"shut":{"allowed_scopes":[],"allowed_scope_prefixes":[]}}}""",
        });
        await using var face = await edge.StartEdgeAsync(new() { ["CLAW_ISSUER"] = issuer.Address.ToString() });
        (await InTier("none")).IsRefused(400, "POLICY_TIER_UNKNOWN");
        (await InTier("constructor")).IsRefused(400, "POLICY_TIER_UNKNOWN");
        (await face.PostAsAdminAsync(Path, Minimal)).IsRefused(503, "POLICY_CONFIG_INVALID");
        (await InTier("shut")).IsRefused(400, "SCOPE_NOT_ALLOWED", "scope 'clawproxy:call' is not allowed for tier 'shut'");
        var gold = await InTier("gold");
        Assert.Equal(("gold", 60L), (gold.Json.GetProperty("policy_tier").GetString(), gold.Json.GetProperty("exp").GetInt64() - gold.Json.GetProperty("iat").GetInt64()));

        Task<Answered> InTier(string tier) => face.PostAsAdminAsync(Path, $"{Minimal[..^1]},\"tier\":\"{tier}\"}}");
    }

    [Fact]
    public async Task Of_two_rows_that_fail_the_earlier_answers()
    {
        // In the table's order, each a member of its own over a good request.
        (string Members, string Code)[] rows =
        [
            ("\"sub\":\" \"", "INVALID_REQUEST"), ("\"scope\":[\"\"]", "SCOPE_ITEM_TOO_LONG"), ("\"ttl_sec\":0", "INVALID_TTL"), ("\"exp\":0", "INVALID_EXP"),
            ("\"owner_did\":\"x\"", "OWNER_DID_INVALID"), ("\"controller_did\":\"x\"", "CONTROLLER_DID_INVALID"), ("\"agent_did\":\"x\"", "AGENT_DID_INVALID"),
            ("\"token_lane\":\"x\"", "TOKEN_LANE_INVALID"), ("\"policy_hash_b64u\":\"x\"", "POLICY_HASH_INVALID"), ("\"control_plane_policy_hash_b64u\":\"x\"", "CONTROL_POLICY_HASH_INVALID"),
            ("\"payment_account_did\":\"x\"", "PAYMENT_ACCOUNT_CLAIM_INVALID"), ("\"delegator_did\":\"x\"", "DELEGATOR_DID_INVALID"),
            ("\"delegation_policy_hash_b64u\":\"x\"", "DELEGATION_POLICY_HASH_INVALID"), ("\"delegation_spend_cap_minor\":\"x\"", "DELEGATION_SPEND_CAP_INVALID"),
            ("\"delegate_did\":\"did:key:zB\"", "DELEGATE_DID_SUB_MISMATCH"), ("\"delegation_id\":\"d\"", "DELEGATION_CANONICAL_REQUIRED"), ("\"scope\":[\"x:y\"]", "SCOPE_NOT_ALLOWED"),
            ("\"ttl_sec\":3601", "TTL_TOO_LONG"),
        ];
        for (var earlier = 0; earlier < rows.Length; earlier++)
        {
            for (var later = earlier + 1; later < rows.Length; later++)
            {
                if (rows[earlier].Members.Split(':')[0] == rows[later].Members.Split(':')[0]) continue;
                var answer = await edge.Http.PostAsAdminAsync(Path, $"{Minimal[..^1]},{rows[later].Members},{rows[earlier].Members}}}");
                Assert.True(answer.Json.GetProperty("error").GetString() == rows[earlier].Code, $"{rows[earlier]} and {rows[later]}: {answer.Text}");
            }
        }
    }

    [Fact]
    public async Task The_legacy_lane_can_be_closed_or_opened_wide()
    {
        await using var closedIssuer = await edge.StartIssuerAsync(new() { ["SCOPE_LEGACY_EXCHANGE_MODE"] = "disabled" });
        await using var closed = await edge.StartEdgeAsync(new() { ["CLAW_ISSUER"] = closedIssuer.Address.ToString() });
        (await closed.PostAsAdminAsync(Path, Minimal)).IsRefused(403, "LEGACY_EXCHANGE_DISABLED", "Legacy token issuance is disabled; use /v1/tokens/issue/canonical");

        await using var openIssuer = await edge.StartIssuerAsync(new() { ["SCOPE_LEGACY_EXCHANGE_MODE"] = "enabled" });
        await using var open = await edge.StartEdgeAsync(new() { ["CLAW_ISSUER"] = openIssuer.Address.ToString() });
        var answer = await open.PostAsAdminAsync(Path, """{"sub":"s","aud":"a","scope":["control:audit:read"]}""");
        Assert.Equal(("enabled", JsonValueKind.Null), (answer.Json.GetProperty("legacy_exchange_mode").GetString(), answer.Json.GetProperty("migration_notice").ValueKind));
    }

    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static string Padded(string part) => part.Replace('-', '+').Replace('_', '/').PadRight((part.Length + 3) / 4 * 4, '=');
}
