using System.Text.Json;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Edge.Tests;

/// <summary>POST /v1/tokens/revoke and GET /v1/revocations/stream: clawscope-http.md 0.1 C, 1.3, 1.4, and the runbook's checklist.</summary>
[Collection(EdgeSuite.Name)]
public sealed class RevokeTests(EdgeFixture edge)
{
    private const string Revoke = "/v1/tokens/revoke", Stream = "/v1/revocations/stream";
    private static readonly (string, string) Admin = ("Authorization", $"Bearer {EdgeFixture.AdminKey}");

    [Fact]
    public async Task The_runbooks_checklist_issue_revoke_stream_introspect()
    {
        var (token, hash) = await edge.Http.IssueAsync();
        var revoked = await edge.Http.PostAsAdminAsync(Revoke, $$"""{"token_hash":"{{hash}}","reason":"laptop stolen"}""");     // 1
        revoked.IsOk("status token_hash revoked_at revoked_at_iso event_key");

        var entry = (await edge.Http.GetAsync(Stream, Admin)).Json.GetProperty("events").EnumerateArray()                         // 2
            .Single(e => e.GetProperty("record").GetProperty("token_hash").GetString() == hash);
        Assert.Equal(revoked.Json.GetProperty("event_key").GetString(), entry.GetProperty("key").GetString());

        var introspected = await edge.Http.PostAsync("/v1/tokens/introspect", $$"""{"token":"{{token}}"}""");                    // 3
        Assert.Equal((false, true), (introspected.Json.GetProperty("active").GetBoolean(), introspected.Json.GetProperty("revoked").GetBoolean()));
    }

    [Fact]
    public async Task A_second_revocation_is_answered_with_the_first()
    {
        var text = $"any text {Guid.NewGuid()}";
        var first = await edge.Http.PostAsAdminAsync(Revoke, $$"""{"token":"{{text}}","token_hash":"not looked at"}""");
        first.IsOk("status token_hash revoked_at revoked_at_iso event_key");
        var (at, hash) = (first.Json.GetProperty("revoked_at").GetInt64(), TokenHash.Of(text).ToString());
        Assert.Equal(("revoked", hash, $"events:revocations:{9999999999 - at:0000000000}:{hash}"),
            (first.Json.GetProperty("status").GetString(), first.Json.GetProperty("token_hash").GetString(), first.Json.GetProperty("event_key").GetString()));
        Assert.EndsWith(".000Z", first.Json.GetProperty("revoked_at_iso").GetString(), StringComparison.Ordinal);
        Assert.Equal("no-store", first.Headers["cache-control"]);

        var again = await edge.Http.PostAsAdminAsync(Revoke, $$"""{"token_hash":" {{hash.ToUpperInvariant()}} "}""");
        again.IsOk("status token_hash revoked_at revoked_at_iso");
        Assert.Equal(("already_revoked", at), (again.Json.GetProperty("status").GetString(), again.Json.GetProperty("revoked_at").GetInt64()));
    }

    [Theory]
    [InlineData("{", "INVALID_JSON", "Request body must be valid JSON")]
    [InlineData("null", "INVALID_REQUEST", "Request body must be a JSON object")]
    [InlineData("[]", "INVALID_REQUEST", "token or token_hash is required")]
    [InlineData("{}", "INVALID_REQUEST", "token or token_hash is required")]
    [InlineData("""{"token":" ","token_hash":7}""", "INVALID_REQUEST", "token or token_hash is required")]
    [InlineData("""{"token_hash":"abc"}""", "INVALID_TOKEN_HASH", "token_hash must be a 64-character hex SHA-256")]
    public async Task A_request_that_names_no_token_is_refused_once_its_caller_is_admitted(string body, string code, string message)
    {
        (await edge.Http.PostAsAdminAsync(Revoke, body)).IsRefused(400, code, message);
        (await edge.Http.PostAsync(Revoke, body)).IsRefused(401, "UNAUTHORIZED", "Missing Authorization header");
        (await edge.Canonical.PostAsync(Revoke, body)).IsRefused(401, "TOKEN_REQUIRED");
    }

    [Theory]
    [InlineData("\" laptop stolen\\t\"", "laptop stolen")]
    [InlineData("\"\"", null)]
    [InlineData("\"  \"", null)]
    [InlineData("7", null)]
    [InlineData("null", null)]
    [InlineData("LONG", "LONG")]
    public async Task A_reason_is_trimmed_and_cut_and_of_another_type_it_is_none(string json, string? kept)
    {
        var text = $"reasoned {Guid.NewGuid()}";
        var body = $$"""{"token":"{{text}}","reason":{{json.Replace("LONG", $"\"{new string('é', 300)}\"", StringComparison.Ordinal)}}}""";
        (await edge.Http.PostAsAdminAsync(Revoke, body)).IsOk("status token_hash revoked_at revoked_at_iso event_key");
        var record = (await edge.Http.GetAsync(Stream, Admin)).Json.GetProperty("events").EnumerateArray()
            .Select(e => e.GetProperty("record")).Single(r => r.TryGetProperty("token_hash", out var hash) && hash.GetString() == TokenHash.Of(text).ToString());
        Assert.Equal(kept is null ? "token_hash revoked_at revoked_at_iso revoked_by" : "token_hash revoked_at revoked_at_iso reason revoked_by", Answered.MembersOf(record));
        if (kept is not null) Assert.Equal(kept == "LONG" ? new string('é', 256) : kept, record.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task A_blank_token_is_none_and_any_other_text_is_hashed_as_it_is()
    {
        var hash = TokenHash.Of($"{Guid.NewGuid()}").ToString();
        Assert.Equal(hash, (await edge.Http.PostAsAdminAsync(Revoke, $$"""{"token":" ","token_hash":"{{hash}}"}""")).Json.GetProperty("token_hash").GetString());
        var text = $" not trimmed {Guid.NewGuid()} ";
        Assert.Equal(TokenHash.Of(text).ToString(), (await edge.Http.PostAsAdminAsync(Revoke, JsonSerializer.Serialize(new { token = text }))).Json.GetProperty("token_hash").GetString());
    }

    [Fact]
    public async Task The_stream_pages_from_the_newest_back()
    {
        var texts = Enumerable.Range(0, 5).Select(i => $"page {i} {Guid.NewGuid()}").ToList();
        foreach (var text in texts) await edge.Http.PostAsAdminAsync(Revoke, JsonSerializer.Serialize(new { token = text, reason = " why " }));

        var expected = texts.Select(text => TokenHash.Of(text).ToString()).ToHashSet();
        var hashes = new List<string>();
        string? cursor = null;
        for (int pages = 0; pages < 3; pages++)
        {
            var page = await edge.Http.GetAsync($"{Stream}?limit=2&cursor={cursor}", Admin);
            page.IsOk("stream_version events cursor list_complete");
            Assert.Equal("1", page.Json.GetProperty("stream_version").GetString());
            var events = page.Json.GetProperty("events").EnumerateArray().ToList();
            Assert.Equal(Enumerable.Range(1, events.Count), events.Select(e => e.GetProperty("sequence").GetInt32()));
            Assert.Equal(events.Select(e => e.GetProperty("key").GetString()).Order(StringComparer.Ordinal), events.Select(e => e.GetProperty("key").GetString()));
            foreach (var e in events)
            {
                Assert.Equal("sequence key record", Answered.MembersOf(e));
                var record = e.GetProperty("record");
                var hash = record.GetProperty("token_hash").GetString()!;
                if (!expected.Contains(hash)) continue;         // an earlier test's
                Assert.Equal("token_hash revoked_at revoked_at_iso reason revoked_by", Answered.MembersOf(record));
                Assert.Equal(("why", "did:system:scope-admin"), (record.GetProperty("reason").GetString(), record.GetProperty("revoked_by").GetString()));
                hashes.Add(hash);
            }
            cursor = page.Json.GetProperty("cursor").GetString();
            Assert.Equal(cursor is null, page.Json.GetProperty("list_complete").GetBoolean());
            if (cursor is null) break;
        }
        Assert.Equal(expected.Order(), hashes.Order());
        (await edge.Http.GetAsync($"{Stream}?cursor=somebody-elses", Admin)).IsRefused(400, "PAGE_TOKEN_INVALID");
    }

    [Fact]
    public async Task What_was_revoked_by_jti_alone_is_not_left_out()
    {
        var jti = Guid.NewGuid().ToString();
        var issuer = new RevocationService.RevocationServiceClient(edge.Issuer.Channel().Calls);
        await issuer.RevokeTokensAsync(new() { Targets = { new RevocationTarget { Jti = jti } } });
        var record = (await edge.Http.GetAsync(Stream, Admin)).Json.GetProperty("events").EnumerateArray()
            .Select(e => e.GetProperty("record")).Single(r => r.TryGetProperty("jti", out var named) && named.GetString() == jti);
        Assert.Equal("jti revoked_at revoked_at_iso revoked_by", Answered.MembersOf(record));
    }

    [Theory]
    [InlineData("", 50)]
    [InlineData("junk", 50)]
    [InlineData("-", 50)]
    [InlineData("10abc", 10)]
    [InlineData("1e2", 1)]
    [InlineData(" 7", 7)]
    [InlineData("+7", 7)]
    [InlineData("0", 1)]
    [InlineData("-3", 1)]
    [InlineData("201", 200)]
    [InlineData("99999999999999999999", 200)]
    public void A_limit_is_read_as_parseInt_reads_it(string text, int limit) => Assert.Equal(limit, RevocationRoutes.LimitOf(text));

    /// <summary>Rows 1 to 4 of 0.1 C; what passes them is handed on, and the owning service says what the token is: <see cref="CallerTokenTests"/>.</summary>
    [Theory]
    [InlineData("a.b.c", "d.e.f", null, 401, "TOKEN_MALFORMED", "Conflicting CST headers: X-CST and X-Scoped-Token differ")]           // 1
    [InlineData("Bearer a.b.c", "a.b.c", null, 401, "TOKEN_MALFORMED", null)]
    [InlineData("a.b.c", null, "Bearer key", 401, "TOKEN_MALFORMED", null)]
    [InlineData(null, "bearer a.b.c", null, 401, "TOKEN_MALFORMED", null)]
    [InlineData(null, null, "Bearer a.b.c", 401, "TOKEN_MALFORMED", null)]                                                          // 2
    [InlineData(null, null, "Bearer " + EdgeFixture.AdminKey, 401, "LEGACY_AUTH_FORBIDDEN", "Admin token headers are not accepted in canonical auth mode; provide X-CST")]    // 3
    [InlineData(null, null, EdgeFixture.AdminKey, 401, "LEGACY_AUTH_FORBIDDEN", null)]
    [InlineData(null, null, null, 401, "TOKEN_REQUIRED", "Canonical CST token is required (X-CST or X-Scoped-Token)")]                 // 4
    [InlineData(" ", "", null, 401, "TOKEN_REQUIRED", null)]
    public async Task In_canonical_mode_the_headers_are_judged_by_their_form(string? cst, string? scoped, string? authorization, int status, string code, string? message)
    {
        var headers = new[] { ("X-CST", cst), ("X-Scoped-Token", scoped), ("Authorization", authorization) }.Where(h => h.Item2 is not null).Select(h => (h.Item1, h.Item2!)).ToArray();
        (await edge.Canonical.PostAsync(Revoke, """{"token":"t"}""", headers)).IsRefused(status, code, message);
        (await edge.Canonical.GetAsync(Stream, headers)).IsRefused(status, code, message);
    }

    [Theory]
    [InlineData("X-CST", "a.b.c", "Missing Authorization header")]
    [InlineData("Authorization", "Bearer wrong", "Invalid admin token")]
    [InlineData("Authorization", "Bearer a.b.c", "Invalid admin token")]
    [InlineData("Authorization", "Bearer eyJ.b.c", "Invalid admin token")]
    public async Task In_admin_mode_only_an_admin_key_counts(string name, string value, string message)
    {
        (await edge.Http.PostAsync(Revoke, """{"token":"t"}""", (name, value))).IsRefused(401, "UNAUTHORIZED", message);
        (await edge.Http.GetAsync(Stream, (name, value))).IsRefused(401, "UNAUTHORIZED", message);
    }

    [Fact]
    public async Task Any_other_mode_is_canonical()
    {
        await using var face = await edge.StartEdgeAsync(new() { ["SCOPE_PROTECTED_AUTH_MODE"] = "open" });
        (await face.PostAsAdminAsync(Revoke, """{"token":"t"}""")).IsRefused(401, "LEGACY_AUTH_FORBIDDEN");
    }
}
