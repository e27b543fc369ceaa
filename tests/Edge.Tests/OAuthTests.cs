using System.Net;
using System.Text;
using System.Text.Json;

namespace ClawBureau.Edge.Tests;

/// <summary>Forms instead of JSON: introspection by RFC 7662 and revocation by RFC 7009; and the switch and the rate of public introspection.</summary>
[Collection(EdgeSuite.Name)]
public sealed class OAuthTests(EdgeFixture edge)
{
    private const string Introspect = "/v1/tokens/introspect", Revoke = "/v1/tokens/revoke";
    private static readonly (string, string) Bearer = ("Authorization", $"Bearer {EdgeFixture.AdminKey}");
    private static readonly (string, string) Basic = ("Authorization", $"Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes($"any-id:{EdgeFixture.AdminKey}"))}");

    [Fact]
    public async Task An_active_token_is_described_as_RFC_7662_has_it()
    {
        var (token, hash) = await edge.Http.IssueAsync("""{"sub":"did:key:zAgent","aud":["a","b"],"scope":["proxy:one","proxy:two"],"mission_id":"m"}""");
        foreach (var client in ((string, string)[])[Bearer, Basic])
        {
            var answer = await edge.Http.PostFormAsync(Introspect, $"token={token}&token_type_hint=access_token", client);
            answer.IsOk("active scope token_type iat exp sub aud jti token_scope_hash_b64u mission_id token_lane token_hash kid");
            Assert.Equal((true, "proxy:one proxy:two", hash), (answer.Json.GetProperty("active").GetBoolean(), answer.Json.GetProperty("scope").GetString(), answer.Json.GetProperty("token_hash").GetString()));
            Assert.Equal("no-store", answer.Headers["cache-control"]);
        }
    }

    [Fact]
    public async Task Whatever_is_wrong_with_a_token_it_is_200_and_not_active_and_nothing_more()
    {
        var (revoked, _) = await edge.Http.IssueAsync();
        await edge.Http.PostFormAsync(Revoke, $"token={revoked}", Bearer);
        string[] bad = [revoked, "junk", Jwt.Make(Jwt.Header("fe2b99fd9afaa999"), Jwt.Claims(exp: 1700000600)), Jwt.Make(Jwt.Header("45d994114e9f9dfb"), Jwt.Claims(), signedBy: 91)];
        foreach (var token in bad)
        {
            var answer = await edge.Http.PostFormAsync(Introspect, $"token={token}", Bearer);
            Assert.Equal((HttpStatusCode.OK, "{\n  \"active\": false\n}"), (answer.Status, answer.Text));
        }
    }

    [Theory]
    [InlineData(null, "Missing Authorization header")]
    [InlineData("Bearer wrong", "Invalid admin token")]
    [InlineData("Basic d3Jvbmc6d3Jvbmc=", "Invalid admin token")]
    [InlineData("Basic !", "Invalid admin token")]
    [InlineData("Basic aWQ6", "Invalid admin token")]
    public async Task A_client_that_is_not_known_learns_nothing(string? authorization, string message)
    {
        var (token, _) = await edge.Http.IssueAsync();
        foreach (var form in (string[])[$"token={token}", ""])
        {
            var answer = await edge.Http.PostFormAsync(Introspect, form, authorization is null ? [] : [("Authorization", authorization)]);
            Assert.Equal((401, "error error_description reason", "invalid_client", message),
                ((int)answer.Status, answer.Members, answer.Json.GetProperty("error").GetString(), answer.Json.GetProperty("error_description").GetString()));
            Assert.Equal("Basic realm=\"clawscope\",Bearer realm=\"clawscope\"", answer.Headers["www-authenticate"]);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("token=")]
    [InlineData("token=+")]
    [InlineData("tokens=a.b.c")]
    [InlineData("token=a.b.c&token=d.e.f")]
    public async Task A_form_without_one_token_is_an_invalid_request(string form)
    {
        foreach (var path in (string[])[Introspect, Revoke])
        {
            var answer = await edge.Http.PostFormAsync(path, form, Bearer);
            Assert.Equal((400, "error error_description reason", "invalid_request", "INVALID_REQUEST"),
                ((int)answer.Status, answer.Members, answer.Json.GetProperty("error").GetString(), answer.Json.GetProperty("reason").GetString()));
        }
    }

    [Fact]
    public async Task Revoking_by_form_is_200_without_a_body_once_and_again_and_for_what_was_never_issued()
    {
        var (token, _) = await edge.Http.IssueAsync();
        foreach (var text in (string[])[token, token, $"never issued {Guid.NewGuid()}"])
        {
            var answer = await edge.Http.PostFormAsync(Revoke, $"token={Uri.EscapeDataString(text)}&token_type_hint=access_token", Bearer);
            Assert.Equal((HttpStatusCode.OK, "", "no-store"), (answer.Status, answer.Text, answer.Headers["cache-control"]));
        }
        Assert.True((await edge.Http.PostAsync(Introspect, JsonSerializer.Serialize(new { token }))).Json.GetProperty("revoked").GetBoolean());
    }

    [Fact]
    public async Task Who_may_not_revoke_is_refused_and_the_token_lives()
    {
        var (token, _) = await edge.Http.IssueAsync();
        var refused = await edge.Http.PostFormAsync(Revoke, $"token={token}", ("Authorization", "Bearer wrong"));
        Assert.Equal((401, "invalid_client"), ((int)refused.Status, refused.Json.GetProperty("error").GetString()));
        var canonical = await edge.Canonical.PostFormAsync(Revoke, $"token={token}", Bearer);
        Assert.Equal((401, "LEGACY_AUTH_FORBIDDEN"), ((int)canonical.Status, canonical.Json.GetProperty("reason").GetString()));
        Assert.True((await edge.Http.PostAsync(Introspect, JsonSerializer.Serialize(new { token }))).Json.GetProperty("active").GetBoolean());
    }

    [Fact]
    public async Task One_address_may_not_use_up_what_is_for_all()
    {
        await using var face = await edge.StartEdgeAsync(new() { ["SCOPE_INTROSPECT_RATE_PER_CLIENT"] = "1" });
        var answers = new List<Answered>();
        for (int i = 0; i < 40; i++) answers.Add(await face.PostAsync(Introspect, """{"token":"a.b.c"}"""));
        Assert.Equal([401, 401], answers.Take(2).Select(a => (int)a.Status));
        var limited = answers.First(a => a.Status == HttpStatusCode.TooManyRequests);
        limited.IsRefused(429, "RATE_LIMITED");
        Assert.Equal("1", limited.Headers["retry-after"]);
        // A client that says who it is has not asked as the public.
        Assert.Equal(HttpStatusCode.OK, (await face.PostFormAsync(Introspect, "token=a.b.c", Bearer)).Status);
    }

    [Fact]
    public async Task Where_introspection_is_not_public_a_key_opens_it()
    {
        await using var face = await edge.StartEdgeAsync(new() { ["SCOPE_INTROSPECT_AUTH"] = "required" });
        var body = JsonSerializer.Serialize(new { (await edge.Http.IssueAsync()).Token }).Replace("Token", "token", StringComparison.Ordinal);
        Assert.True((await face.PostAsync(Introspect, body, Bearer)).Json.GetProperty("active").GetBoolean());
        (await face.PostAsync(Introspect, body, ("Authorization", "Bearer wrong"))).IsRefused(401, "UNAUTHORIZED", "Invalid admin token");
        // Who brings none asks as the public; the Introspector has the switch of its own that refuses it.
        (await face.PostAsync("/v1/tokens/introspect/matrix", body, ("Authorization", "Bearer wrong"))).IsRefused(401, "UNAUTHORIZED");
    }
}
