namespace ClawBureau.Edge.Tests;

/// <summary>What the Edge says when those it depends on are away, and what it never says.</summary>
[Collection(EdgeSuite.Name)]
public sealed class OutageTests(EdgeFixture edge)
{
    private const string Nowhere = "https://127.0.0.1:1";

    [Fact]
    public async Task Without_its_peers_every_route_but_health_is_503_with_a_reason()
    {
        await using var face = await edge.StartEdgeAsync(new() { ["CLAW_ISSUER"] = Nowhere, ["CLAW_INTROSPECTOR"] = Nowhere, ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" });
        foreach (var path in (string[])["/v1/did", "/v1/jwks", "/v1/keys/rotation-contract", "/v1/revocations/stream"])
            (await face.GetAsync(path, ("Authorization", EdgeFixture.AdminKey))).IsRefused(503, "PEER_UNAVAILABLE");
        (await face.PostAsAdminAsync("/v1/tokens/issue", """{"sub":"s","aud":"a","scope":["proxy:x"]}""")).IsRefused(503, "PEER_UNAVAILABLE");
        (await face.PostAsAdminAsync("/v1/tokens/issue", "{")).IsRefused(503, "PEER_UNAVAILABLE");
        (await face.PostAsAdminAsync("/v1/tokens/introspect", """{"token":"a.b.c"}""")).IsRefused(503, "PEER_UNAVAILABLE");
        (await face.PostAsAdminAsync("/v1/tokens/revoke", """{"token":"t"}""")).IsRefused(503, "PEER_UNAVAILABLE");
        (await face.GetAsync("/health")).IsOk("status service version");
    }

    [Fact]
    public async Task The_Edges_own_certificate_opens_nothing_but_what_is_public()
    {
        await using var face = await edge.StartEdgeAsync(new() { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" });
        (await face.PostAsync("/v1/tokens/issue", """{"sub":"s","aud":"a","scope":["proxy:x"]}""")).IsRefused(401, "UNAUTHORIZED");
        (await face.PostAsync("/v1/tokens/revoke", """{"token":"t"}""")).IsRefused(401, "UNAUTHORIZED");
        (await face.GetAsync("/v1/revocations/stream")).IsRefused(401, "UNAUTHORIZED");
    }

    [Fact]
    public async Task No_log_holds_a_token_a_credential_or_a_body()
    {
        await using var face = await edge.StartEdgeAsync(new() { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token" });
        var (token, _) = await face.IssueAsync("""{"sub":"did:key:zQuiet","aud":"a","scope":["proxy:x"]}""");
        await face.PostAsync("/v1/tokens/introspect", $$"""{"token":"{{token}}"}""");
        await face.PostAsync("/v1/tokens/introspect", $$"""{"token":"{{token}}" oops""");
        await face.PostAsync("/v1/tokens/revoke", $$"""{"token":"{{token}}"}""", ("Authorization", "Bearer not-the-key"));
        await face.PostAsAdminAsync("/v1/tokens/revoke", $$"""{"token":"{{token}}"}""");
        await face.GetAsync($"/v1/{token}?token={token}", ("X-CST", token));

        var logs = string.Join('\n', face.Edge.Logs);
        Assert.Contains("/v1/tokens/introspect", logs, StringComparison.Ordinal);
        foreach (var secret in (string[])[token, token.Split('.')[1], token.Split('.')[2], EdgeFixture.AdminKey, "not-the-key", "zQuiet"])
            Assert.DoesNotContain(secret, logs, StringComparison.Ordinal);
    }
}
