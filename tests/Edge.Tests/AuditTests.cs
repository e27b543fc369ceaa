using System.Text.Json;
using ClawBureau.AuditSink;
using ClawBureau.Testing;

namespace ClawBureau.Edge.Tests;

/// <summary>GET /v1/audit/issuance and /v1/audit/bundle (clawscope-http.md 1.4), and GET /skill.md.</summary>
[Collection(EdgeSuite.Name)]
public sealed class AuditTests(EdgeFixture edge)
{
    private const string Issuance = "/v1/audit/issuance", Bundle = "/v1/audit/bundle";
    private static readonly (string, string) Admin = ("Authorization", $"Bearer {EdgeFixture.AdminKey}");

    [Fact]
    public async Task Issuances_are_listed_from_the_newest_back_with_all_that_was_granted()
    {
        await using var audited = await AuditedEdge.StartAsync(edge);
        var full = await edge.Http.PostAsAdminAsync("/v1/tokens/issue", """
            {"sub":"did:key:zAgent","aud":["a.example","b.example"],"scope":["clawproxy:call"],"owner_ref":"o","owner_did":"did:key:zO","controller_did":"did:key:zC","agent_did":"did:key:zAgent",
             "policy_hash_b64u":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","spend_cap":12.5,"mission_id":"m","payment_account_did":"did:key:zP"}
            """);
        var (_, hash) = await edge.Http.IssueAsync();
        await audited.WaitUntilListedAsync(hash);

        var page = await audited.Http.GetAsync($"{Issuance}?limit=1", Admin);
        page.IsOk("events cursor list_complete");
        Assert.False(page.Json.GetProperty("list_complete").GetBoolean());
        var newest = Assert.Single(page.Json.GetProperty("events").EnumerateArray());
        Assert.Equal("key record", Answered.MembersOf(newest));
        var record = newest.GetProperty("record");
        Assert.Equal("token_hash issued_at issued_at_iso sub aud scope iat exp kid policy_version policy_tier token_scope_hash_b64u token_lane jti", Answered.MembersOf(record));
        long at = record.GetProperty("issued_at").GetInt64();
        Assert.Equal((hash, "clawproxy.example", "legacy", $"events:issuance:{9999999999 - at:0000000000}:{hash}"),
            (record.GetProperty("token_hash").GetString(), record.GetProperty("aud").GetString(), record.GetProperty("token_lane").GetString(), newest.GetProperty("key").GetString()));
        Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(at).ToString("yyyy-MM-ddTHH:mm:ss.000Z"), record.GetProperty("issued_at_iso").GetString());
        Assert.Equal("no-store", page.Headers["cache-control"]);

        var second = (await audited.Http.GetAsync($"{Issuance}?limit=1&cursor={page.Json.GetProperty("cursor").GetString()}", Admin)).Json.GetProperty("events")[0].GetProperty("record");
        Assert.Equal("token_hash issued_at issued_at_iso sub aud scope iat exp kid policy_version policy_tier owner_ref owner_did controller_did agent_did policy_hash_b64u token_scope_hash_b64u "
            + "payment_account_did spend_cap mission_id token_lane jti", Answered.MembersOf(second));
        var claims = full.Json.GetProperty("claims");
        foreach (var name in (string[])["sub", "aud", "scope", "iat", "exp", "owner_ref", "owner_did", "controller_did", "agent_did", "policy_hash_b64u", "token_scope_hash_b64u", "payment_account_did", "spend_cap", "mission_id", "token_lane", "jti"])
            Assert.Equal(JsonSerializer.Serialize(claims.GetProperty(name)), JsonSerializer.Serialize(second.GetProperty(name)));

        // To the end, each once, the limit read as everywhere.
        var all = await audited.ReadAllAsync(Issuance, "limit=2x");
        Assert.Equal(all.Count, all.Distinct().Count());
        Assert.Equal(new HashSet<string?> { hash, full.Json.GetProperty("token_hash").GetString() }, all.Take(2).ToHashSet());
        (await audited.Http.GetAsync($"{Issuance}?cursor=somebody-elses", Admin)).IsRefused(400, "PAGE_TOKEN_INVALID");
    }

    [Fact]
    public async Task The_bundle_has_both_lists_each_with_a_cursor_of_its_own()
    {
        await using var audited = await AuditedEdge.StartAsync(edge);
        var (one, two) = (await edge.Http.IssueAsync(), await edge.Http.IssueAsync());
        foreach (var (_, hash) in ((string, string)[])[one, two]) await edge.Http.PostAsAdminAsync("/v1/tokens/revoke", $$"""{"token_hash":"{{hash}}","reason":"why"}""");
        await audited.WaitUntilListedAsync(two.Hash);

        var bundle = await audited.Http.GetAsync($"{Bundle}?limit=1", Admin);
        bundle.IsOk("generated_at issuance revocations");
        Assert.Matches(@"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z", bundle.Json.GetProperty("generated_at").GetString());
        var (issuance, revocations) = (bundle.Json.GetProperty("issuance"), bundle.Json.GetProperty("revocations"));
        foreach (var list in (JsonElement[])[issuance, revocations]) Assert.Equal("events cursor list_complete", Answered.MembersOf(list));
        Assert.Equal(two.Hash, issuance.GetProperty("events")[0].GetProperty("record").GetProperty("token_hash").GetString());
        Assert.Equal("token_hash revoked_at revoked_at_iso reason revoked_by", Answered.MembersOf(revocations.GetProperty("events")[0].GetProperty("record")));

        var next = (await audited.Http.GetAsync($"{Bundle}?limit=1&cursor_issuance={issuance.GetProperty("cursor").GetString()}&cursor_revocations={revocations.GetProperty("cursor").GetString()}", Admin)).Json;
        Assert.Equal(one.Hash, next.GetProperty("issuance").GetProperty("events")[0].GetProperty("record").GetProperty("token_hash").GetString());
        Assert.NotEqual(revocations.GetProperty("events")[0].GetProperty("key").GetString(), next.GetProperty("revocations").GetProperty("events")[0].GetProperty("key").GetString());
    }

    [Theory]
    [InlineData(Issuance)]
    [InlineData(Bundle)]
    public async Task They_are_of_class_C_in_both_modes(string path)
    {
        await using var audited = await AuditedEdge.StartAsync(edge);
        (await audited.Http.GetAsync(path)).IsRefused(401, "UNAUTHORIZED", "Missing Authorization header");
        (await audited.Http.GetAsync(path, ("Authorization", "Bearer wrong"))).IsRefused(401, "UNAUTHORIZED", "Invalid admin token");
        (await audited.Canonical.GetAsync(path)).IsRefused(401, "TOKEN_REQUIRED");
        (await audited.Canonical.GetAsync(path, Admin)).IsRefused(401, "LEGACY_AUTH_FORBIDDEN");
        (await audited.Canonical.GetAsync(path, ("X-CST", Token("control:token:revoke", "did:key:zO")))).IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE", "Token does not include required scope(s): control:audit:read");
        Assert.Equal(200, (int)(await audited.Canonical.GetAsync(path, ("X-CST", Token("control:audit:read", "did:key:zO")))).Status);
        (await edge.Http.GetAsync(path, Admin)).IsRefused(503, "AUDIT_NOT_CONFIGURED");
    }

    [Fact]
    public async Task An_owner_is_shown_its_own_issuances_alone()
    {
        await using var audited = await AuditedEdge.StartAsync(edge);
        var owner = $"did:key:z{Guid.NewGuid():N}";
        var (_, own) = await edge.Http.IssueAsync($$"""{"sub":"did:key:zAgent","aud":"clawproxy.example","scope":["clawproxy:call"],"owner_did":"{{owner}}"}""");
        await audited.WaitUntilListedAsync(own);
        var listed = await audited.Canonical.GetAsync(Issuance, ("X-CST", Token("control:audit:read", owner)));
        listed.IsOk("events cursor list_complete");
        var record = Assert.Single(listed.Json.GetProperty("events").EnumerateArray()).GetProperty("record");
        Assert.Equal((own, owner), (record.GetProperty("token_hash").GetString(), record.GetProperty("owner_did").GetString()));
        Assert.True(listed.Json.GetProperty("list_complete").GetBoolean());
    }

    [Fact]
    public async Task The_skill_page_lists_every_route_and_who_may_call_it()
    {
        foreach (var (face, revoke) in ((HttpFaceClient, string)[])[(edge.Http, "admin key"), (edge.Canonical, "canonical token in X-CST")])
        {
            var page = await face.GetAsync("/skill.md");
            Assert.Equal((200, "text/markdown; charset=utf-8", "0.1.0"), ((int)page.Status, page.Headers["content-type"], page.Headers["x-scope-version"]));
            Assert.StartsWith("# clawscope\n", page.Text, StringComparison.Ordinal);
            foreach (var line in (string[])["- `GET /v1/jwks`: public", "- `POST /v1/tokens/issue`: admin key", "- `POST /v1/tokens/introspect`: public", $"- `POST /v1/tokens/revoke`: {revoke}"])
                Assert.Contains(line + "\n", page.Text, StringComparison.Ordinal);
            Assert.Single(page.Text.Split('\n'), line => line.StartsWith("- `POST /v1/tokens/revoke`", StringComparison.Ordinal));
        }
    }

    private static string Token(string scope, string owner) => Jwt.Make(Jwt.Header("fe2b99fd9afaa999"), $$"""
        {"token_version":"1","sub":"did:key:zAgent","aud":"a","scope":["{{scope}}"],"iat":1700000000,"exp":4102444800,"owner_did":"{{owner}}",
         "controller_did":"did:key:zController","agent_did":"did:key:zAgent","token_lane":"canonical","jti":"{{Guid.NewGuid()}}"}
        """);

    /// <summary>An AuditSink, an Issuer that relays the ledger to it, and an Edge in each of the two modes that shows it.</summary>
    private sealed class AuditedEdge : IAsyncDisposable
    {
        private readonly TestProcess _sink;
        private readonly TestProcess _issuer;

        private AuditedEdge(TestProcess sink, TestProcess issuer, HttpFaceClient http, HttpFaceClient canonical) => (_sink, _issuer, Http, Canonical) = (sink, issuer, http, canonical);

        public HttpFaceClient Http { get; }
        public HttpFaceClient Canonical { get; }

        public static async Task<AuditedEdge> StartAsync(EdgeFixture edge)
        {
            var sink = await TestProcess.StartReadyAsync("audit-sink", s => s.AddAuditSink(), a => a.MapAuditSink(), new()
            {
                ["CLAW_DATABASE_AUDIT"] = edge.Database.Audit,
                ["CLAW_INTROSPECTOR"] = edge.Introspector.Address.ToString(),
            });
            var issuer = await edge.StartIssuerAsync(new() { ["CLAW_AUDIT_SINK"] = sink.Address.ToString() });
            return new AuditedEdge(sink, issuer,
                await edge.StartEdgeAsync(new() { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token", ["CLAW_AUDIT_SINK"] = sink.Address.ToString() }),
                await edge.StartEdgeAsync(new() { ["CLAW_AUDIT_SINK"] = sink.Address.ToString() }));
        }

        /// <summary>The audit log has an act a moment after the ledger.</summary>
        public Task WaitUntilListedAsync(string hash) => Eventually.HoldsAsync("it is in the audit log", async () =>
        {
            var page = await Http.GetAsync(Issuance + "?limit=10", Admin);
            return page.Json.GetProperty("events").EnumerateArray().Any(e => e.GetProperty("record").GetProperty("token_hash").GetString() == hash);
        });

        public async Task<List<string?>> ReadAllAsync(string path, string query)
        {
            var hashes = new List<string?>();
            for (string? cursor = ""; cursor is not null;)
            {
                var page = (await Http.GetAsync($"{path}?{query}&cursor={cursor}", Admin)).Json;
                hashes.AddRange(page.GetProperty("events").EnumerateArray().Select(e => e.GetProperty("record").GetProperty("token_hash").GetString()));
                cursor = page.GetProperty("cursor").GetString();
            }
            return hashes;
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var owned in (IAsyncDisposable[])[Canonical, Http, _issuer, _sink]) await owned.DisposeAsync();
        }
    }
}
