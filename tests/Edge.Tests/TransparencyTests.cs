using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ClawBureau.Tokens;

namespace ClawBureau.Edge.Tests;

/// <summary>/v1/keys/transparency (clawscope-http.md 4.3).</summary>
[Collection(EdgeSuite.Name)]
public sealed class TransparencyTests(EdgeFixture edge)
{
    private const string Members = "snapshot_version generated_at generated_at_iso active_kid accepted_kids signing_kids verify_only_kids expiring_kids overlap_seconds snapshot_id snapshot_hash_b64u signer_kid signature_b64u";
    private static readonly (string, string) Admin = ("Authorization", $"Bearer {EdgeFixture.AdminKey}");

    [Fact]
    public async Task The_latest_snapshot_is_public_and_signed_over_its_first_nine_members()
    {
        var answer = await edge.Http.GetAsync("/v1/keys/transparency/latest");
        answer.IsOk(Members);
        IsSnapshot(answer.Json);
        Assert.False(answer.Headers.ContainsKey("cache-control"));
        Assert.Equal(answer.Json.GetProperty("snapshot_id").GetString(), (await edge.Canonical.GetAsync("/v1/keys/transparency/latest")).Json.GetProperty("snapshot_id").GetString());
    }

    [Fact]
    public async Task An_operator_makes_one_whenever_he_likes_and_two_in_a_second_are_two()
    {
        var first = await edge.Http.PostAsync("/v1/keys/transparency/snapshot", "", Admin);
        first.IsOk("status snapshot");
        Assert.Equal("snapshot_created", first.Json.GetProperty("status").GetString());
        Assert.Equal(Members, Answered.MembersOf(first.Json.GetProperty("snapshot")));
        IsSnapshot(first.Json.GetProperty("snapshot"));
        Assert.Equal("no-store", first.Headers["cache-control"]);
        var others = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => edge.Http.PostAsync("/v1/keys/transparency/snapshot", "not even json", Admin)));
        Assert.Equal(5, others.Append(first).Select(answer => answer.Json.GetProperty("snapshot").GetProperty("snapshot_id").GetString()).Distinct().Count());
    }

    [Theory]
    [InlineData("", 20)]
    [InlineData("?limit=3", 3)]
    [InlineData("?limit=0", 1)]
    [InlineData("?limit=-7", 1)]
    [InlineData("?limit=2x", 2)]
    [InlineData("?limit=x", 20)]
    [InlineData("?limit=1000", 100)]
    public async Task The_history_is_newest_first_within_the_contracts_limits(string query, int most)
    {
        for (int i = 0; i < 3; i++) await edge.Http.PostAsync("/v1/keys/transparency/snapshot", "{}", Admin);
        var answer = await edge.Http.GetAsync("/v1/keys/transparency/history" + query, Admin);
        answer.IsOk("snapshots");
        var snapshots = answer.Json.GetProperty("snapshots").EnumerateArray().ToList();
        Assert.InRange(snapshots.Count, Math.Min(3, most), most);
        Assert.All(snapshots, snapshot => Assert.Equal(Members, Answered.MembersOf(snapshot)));
        var times = snapshots.ConvertAll(snapshot => snapshot.GetProperty("generated_at").GetInt64());
        Assert.Equal(times.OrderDescending(), times);
    }

    [Theory]
    [InlineData("GET", "/v1/keys/transparency/history")]
    [InlineData("POST", "/v1/keys/transparency/snapshot")]
    public async Task The_protected_routes_ask_for_a_key_or_a_token_as_the_mode_has_it(string method, string path)
    {
        var verb = new HttpMethod(method);
        (await edge.Http.SendAsync(verb, path, null)).IsRefused(401, "UNAUTHORIZED", "Missing Authorization header");
        (await edge.Http.SendAsync(verb, path, null, ("Authorization", "Bearer wrong"))).IsRefused(401, "UNAUTHORIZED", "Invalid admin token");
        (await edge.Canonical.SendAsync(verb, path, null)).IsRefused(401, "TOKEN_REQUIRED", "Canonical CST token is required (X-CST or X-Scoped-Token)");
        (await edge.Canonical.SendAsync(verb, path, null, Admin)).IsRefused(401, "LEGACY_AUTH_FORBIDDEN", "Admin token headers are not accepted in canonical auth mode; provide X-CST");
        (await edge.Canonical.SendAsync(verb, path, null, ("X-CST", "a.b.c"), ("X-Scoped-Token", "d.e.f"))).IsRefused(401, "TOKEN_MALFORMED", "Conflicting CST headers: X-CST and X-Scoped-Token differ");
        var (token, _) = await edge.Http.IssueAsync();
        (await edge.Canonical.SendAsync(verb, path, null, ("X-CST", token))).IsRefused(401, "TOKEN_CONTROL_CHAIN_MISSING");
    }

    [Fact]
    public async Task A_canonical_token_with_the_scope_reads_the_history_and_one_that_may_rotate_makes_a_snapshot()
    {
        var made = await edge.Canonical.PostAsync("/v1/keys/transparency/snapshot", "", ("X-CST", CallerTokenTests.Token(["control:key:rotate"])));
        made.IsOk("status snapshot");
        IsSnapshot(made.Json.GetProperty("snapshot"));
        foreach (var scope in (string[])["control:audit:read", "control:*"])
        {
            var history = await edge.Canonical.GetAsync("/v1/keys/transparency/history?limit=100", ("X-Scoped-Token", $"Bearer {CallerTokenTests.Token([scope])}"));
            history.IsOk("snapshots");
            Assert.Contains(made.Json.GetProperty("snapshot").GetProperty("snapshot_id").GetString(), history.Json.GetProperty("snapshots").EnumerateArray().Select(s => s.GetProperty("snapshot_id").GetString()));
        }
        Assert.Equal(HttpStatusCode.OK, (await edge.Canonical.PostAsync("/v1/keys/transparency/snapshot", "{}", ("Authorization", CallerTokenTests.Token(["control:*"])))).Status);
    }

    [Theory]
    [InlineData("clawproxy:call")]
    [InlineData("proxy:*")]
    [InlineData("*")]
    [InlineData("control:token:revoke")]
    public async Task A_token_without_one_of_the_scopes_is_told_which(string scope)
    {
        var token = CallerTokenTests.Token([scope]);
        (await edge.Canonical.GetAsync("/v1/keys/transparency/history", ("X-CST", token))).IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE", "Token does not include required scope(s): control:audit:read");
        (await edge.Canonical.PostAsync("/v1/keys/transparency/snapshot", "", ("X-CST", token)))
            .IsRefused(403, "TOKEN_INSUFFICIENT_SCOPE", "Token does not include required scope(s): control:key:rotate, control:token:issue_sensitive");
    }

    [Fact]
    public async Task Who_may_issue_what_is_sensitive_may_not_therefore_rotate() =>
        (await edge.Canonical.PostAsync("/v1/keys/transparency/snapshot", "", ("X-CST", CallerTokenTests.Token(["control:token:issue_sensitive"]))))
            .IsRefused(403, "TOKEN_CONTROL_TRANSITION_FORBIDDEN", "Token is not authorized for transition(s): key.rotate");

    [Theory]
    [MemberData(nameof(CallerTokenTests.NotGood), MemberType = typeof(CallerTokenTests))]
    public async Task A_token_that_does_not_introspect_opens_neither(string token, string code, string message)
    {
        (await edge.Canonical.GetAsync("/v1/keys/transparency/history", ("X-CST", token))).IsRefused(401, code, message);
        (await edge.Canonical.PostAsync("/v1/keys/transparency/snapshot", "", ("X-CST", token))).IsRefused(401, code, message);
    }

    [Theory]
    [InlineData("POST", "/v1/keys/transparency/latest")]
    [InlineData("POST", "/v1/keys/transparency/history")]
    [InlineData("GET", "/v1/keys/transparency/snapshot")]
    [InlineData("GET", "/v1/keys/transparency/latest/")]
    [InlineData("GET", "/v1/keys/transparency")]
    public async Task Other_methods_and_paths_are_not_found(string method, string path) =>
        (await edge.Http.SendAsync(new HttpMethod(method), path, null, Admin)).IsRefused(404, "NOT_FOUND", "Not found");

    [Fact]
    public async Task The_rotation_contract_and_the_DID_have_no_cache_header_and_no_ETag()
    {
        foreach (var path in (string[])["/v1/keys/rotation-contract", "/v1/did"])
        {
            var answer = await edge.Http.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, answer.Status);
            Assert.False(answer.Headers.ContainsKey("cache-control") || answer.Headers.ContainsKey("etag"));
        }
    }

    /// <summary>The vectors o = 11 (signs), o = 39 (past its cut-off) and o = 77.</summary>
    private static void IsSnapshot(JsonElement snapshot)
    {
        string[] Texts(string member) => [.. snapshot.GetProperty(member).EnumerateArray().Select(kid => kid.GetString()!)];
        Assert.Equal("1", snapshot.GetProperty("snapshot_version").GetString());
        long at = snapshot.GetProperty("generated_at").GetInt64();
        Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(at).ToString("yyyy-MM-dd'T'HH:mm:ss'.000Z'", CultureInfo.InvariantCulture), snapshot.GetProperty("generated_at_iso").GetString());
        Assert.Equal(("fe2b99fd9afaa999", "fe2b99fd9afaa999", 3600L), (snapshot.GetProperty("active_kid").GetString(), snapshot.GetProperty("signer_kid").GetString(), snapshot.GetProperty("overlap_seconds").GetInt64()));
        Assert.Equal(["fe2b99fd9afaa999", "0c1b8946b8068fe3"], Texts("accepted_kids"));
        Assert.Equal(["fe2b99fd9afaa999"], Texts("signing_kids"));
        Assert.Equal(["0c1b8946b8068fe3"], Texts("verify_only_kids"));
        Assert.Equal("kid not_after_unix", Answered.MembersOf(snapshot.GetProperty("expiring_kids")[0]));
        Assert.StartsWith($"kts_{at}_fe2b99fd9afaa999", snapshot.GetProperty("snapshot_id").GetString(), StringComparison.Ordinal);

        var signed = "{" + string.Join(',', snapshot.EnumerateObject().Take(9).Select(member => $"\"{member.Name}\":{JsonSerializer.Serialize(member.Value)}")) + "}";
        var bytes = Encoding.UTF8.GetBytes(signed);
        Assert.Equal(Base64UrlText.Encode(SHA256.HashData(bytes)), snapshot.GetProperty("snapshot_hash_b64u").GetString());
        using var key = new SigningKey([.. Enumerable.Range(11, 32).Select(b => (byte)b)]);
        Assert.Equal(Base64UrlText.Encode(key.Sign(bytes)), snapshot.GetProperty("signature_b64u").GetString());      // Ed25519 is deterministic
    }
}
