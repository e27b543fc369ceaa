using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClawBureau.Testing;

namespace ClawBureau.Edge.Tests;

/// <summary>control-plane-http.md 2.2 to 2.9 and the canonical lane of clawscope-http.md 1.1, over real HTTP.</summary>
[Collection(EdgeSuite.Name)]
public sealed class ControlTests(EdgeFixture suite)
{
    private const string Controller = "controller_did owner_did active registered_at registered_at_iso last_challenge_id policy transfer_state";
    private const string Binding = "binding_version controller_did agent_did owner_did active registered_at registered_at_iso last_challenge_id policy_hash_b64u consented";

    private HttpFaceClient Http => suite.Canonical;

    [Fact]
    public async Task A_DID_is_bound_and_revoked()
    {
        var party = Party.New();
        var challenge = await Http.PostAsync("/v1/challenges", $$"""{"did":" {{party}} "}""");
        challenge.IsOk("challenge_id purpose did nonce message expires_at expires_in_sec");
        Assert.Equal(("bind", party.Did, 600), (Text(challenge, "purpose"), Text(challenge, "did"), challenge.Json.GetProperty("expires_in_sec").GetInt32()));
        Assert.Equal($"clawclaim:bind:v1:{Text(challenge, "challenge_id")}:{Text(challenge, "nonce")}:{challenge.Json.GetProperty("expires_at").GetInt64()}", Text(challenge, "message"));

        var body = Signed(party, challenge, ("did", party.Did));
        var bound = await Http.PostAsync("/v1/bind", body);
        bound.IsOk("status did active bound_at bound_at_iso challenge_id");
        (await Http.PostAsync("/v1/bind", body)).IsOk("status did");

        var revoke = await Http.PostAsync("/v1/challenges", $$"""{"did":"{{party}}","purpose":"revoke"}""");
        (await Http.PostAsync("/v1/bind", Signed(party, revoke, ("did", party.Did)))).IsRefused(400, "CHALLENGE_PURPOSE_MISMATCH");
        var revoked = await Http.PostAsync("/v1/bindings/revoke", Signed(party, revoke, ("did", party.Did), ("reason", "lost")));
        revoked.IsOk("status did revoked_at revoked_at_iso event_key");
        (await Http.PostAsync("/v1/challenges", $$"""{"did":"{{party}}"}""")).IsRefused(403, "BINDING_REVOKED");
    }

    [Theory]
    [InlineData("/v1/challenges", "{", 400, "INVALID_JSON")]
    [InlineData("/v1/challenges", "5", 400, "INVALID_REQUEST")]
    [InlineData("/v1/challenges", "{}", 400, "INVALID_REQUEST")]
    [InlineData("/v1/challenges", """{"did":"did:key:zA","purpose":"own"}""", 400, "INVALID_REQUEST")]
    [InlineData("/v1/bind", """{"did":"did:key:zA"}""", 400, "INVALID_REQUEST")]
    [InlineData("/v1/bind", """{"did":"did:key:zA","challenge_id":"x","signature_b64u":"y"}""", 404, "CHALLENGE_NOT_FOUND")]
    [InlineData("/v1/control-plane/challenges", "{}", 400, "INVALID_REQUEST")]
    [InlineData("/v1/control-plane/challenges", """{"owner_did":"did:key:zA","purpose":"rule"}""", 400, "INVALID_REQUEST")]
    [InlineData("/v1/control-plane/challenges", """{"owner_did":"did:key:zA","purpose":"register_controller","controller_did":"did:key:zB"}""", 403, "OWNER_BINDING_REQUIRED")]
    [InlineData("/v1/control-plane/challenges", """{"owner_did":"did:key:zA","purpose":"register_controller","controller_did":"did:key:zB","context_parts":"x"}""", 400, "INVALID_CONTEXT_PARTS")]
    [InlineData("/v1/control-plane/controllers/did:key:zNobody/agents/register", "{", 404, "CONTROLLER_NOT_FOUND")]
    [InlineData("/v1/control-plane/controllers/did%3Akey%3AzNobody/sensitive-policy", "{}", 404, "CONTROLLER_NOT_FOUND")]
    [InlineData("/v1/control-plane/controllers/did:key:zNobody/transfer/request", "{}", 404, "CONTROLLER_NOT_FOUND")]
    [InlineData("/v1/control-plane/controllers/did:key:zNobody/transfer/confirm", "{}", 404, "CONTROLLER_NOT_FOUND")]
    [InlineData("/v1/control-plane/controllers/did:key:zNobody/transfer/cancel", "{}", 404, "CONTROLLER_NOT_FOUND")]
    [InlineData("/v1/control-plane/controllers//transfer/cancel", "{}", 404, "NOT_FOUND")]
    [InlineData("/v1/control-plane/controllers/did:key:zA/transfer", "{}", 404, "NOT_FOUND")]
    [InlineData("/v1/control-plane/rotations/confirm", "{}", 400, "INVALID_REQUEST")]
    [InlineData("/v1/control-plane/identity/export", "{}", 400, "INVALID_REQUEST")]
    [InlineData("/v1/control-plane/identity/import", "{}", 400, "INVALID_REQUEST")]
    [InlineData("/v1/control-plane/identity/import", """{"owner_did":"did:key:zA","challenge_id":"x","signature_b64u":"y","bundle":{}}""", 400, "IMPORT_BUNDLE_INVALID")]
    [InlineData("/v1/scoped-tokens/challenges", "{}", 400, "INVALID_REQUEST")]
    [InlineData("/v1/scoped-tokens/exchange", """{"owner_did":"did:key:zA","challenge_id":"x","signature_b64u":"y"}""", 404, "TOKEN_EXCHANGE_CHALLENGE_NOT_FOUND")]
    [InlineData("/v1/delegations/bootstrap", "{}", 401, "UNAUTHORIZED")]
    [InlineData("/v1/tokens/issue/canonical", "{}", 401, "UNAUTHORIZED")]
    public async Task What_cannot_be_is_refused_as_the_contract_has_it(string path, string body, int status, string code) => (await Http.PostAsync(path, body)).IsRefused(status, code);

    [Fact]
    public async Task A_chain_is_registered_read_transferred_and_rotated()
    {
        var (owner, controller, agent, target) = (await BoundAsync(), await BoundAsync(), await BoundAsync(), await BoundAsync());
        var challenge = await ChallengeAsync("register_controller", owner, ("controller_did", controller.Did));
        challenge.IsOk("challenge_id purpose owner_did controller_did agent_did rotation_role from_did to_did transfer_to_owner_did bundle_hash_b64u context_parts nonce message expires_at expires_in_sec");
        Assert.Equal(JsonValueKind.Null, challenge.Json.GetProperty("agent_did").ValueKind);
        var registered = await Http.PostAsync("/v1/control-plane/controllers/register", Signed(owner, challenge, ("owner_did", owner.Did), ("controller_did", controller.Did)));
        registered.IsOk("status controller event_key");
        Assert.Equal(Controller + " consented", Answered.MembersOf(registered.Json.GetProperty("controller")));
        Assert.Equal("policy_version mode owner_did allowed_sensitive_scopes policy_hash_b64u updated_at updated_at_iso", Answered.MembersOf(registered.Json.GetProperty("controller").GetProperty("policy")));
        var taken = await ChallengeAsync("register_controller", target, ("controller_did", controller.Did));
        (await Http.PostAsync("/v1/control-plane/controllers/register", Signed(target, taken, ("owner_did", target.Did), ("controller_did", controller.Did)))).IsRefused(409, "CONTROLLER_OWNER_MISMATCH");

        var path = $"/v1/control-plane/controllers/{Uri.EscapeDataString(controller.Did)}";
        challenge = await ChallengeAsync("register_agent", owner, ("controller_did", controller.Did), ("agent_did", agent.Did));
        var bound = await Http.PostAsync($"{path}/agents/register", Signed(owner, challenge, ("owner_did", owner.Did), ("agent_did", agent.Did)));
        bound.IsOk("status binding event_key");
        Assert.Equal(Binding, Answered.MembersOf(bound.Json.GetProperty("binding")));

        var chain = await Http.GetAsync($"{path}/agents/{Uri.EscapeDataString(agent.Did)}");
        chain.IsOk("status owner_did controller agent_binding alias_resolution chain");
        Assert.Equal("owner_did controller_did agent_did policy_hash_b64u active transfer_state", Answered.MembersOf(chain.Json.GetProperty("chain")));
        (await Http.GetAsync(path)).IsOk("status requested_controller_did resolved_controller_did aliases transfer_state controller");
        var agents = await Http.GetAsync($"{path}/agents?limit=1");
        agents.IsOk("requested_controller_did controller_did transfer_state aliases bindings cursor list_complete");
        Assert.True(agents.Json.GetProperty("list_complete").GetBoolean());
        (await Http.GetAsync($"{path}/agents/did:key:zNobody")).IsRefused(404, "CONTROLLER_AGENT_NOT_FOUND");

        challenge = await ChallengeAsync("update_sensitive_policy", owner, ("controller_did", controller.Did));
        (await Http.PostAsync($"{path}/sensitive-policy", Signed(owner, challenge, ("owner_did", owner.Did)).Insert(1, "\"allowed_sensitive_scopes\":\"all\","))).IsRefused(400, "INVALID_SENSITIVE_POLICY");
        (await Http.PostAsync($"{path}/sensitive-policy", Signed(owner, challenge, ("owner_did", owner.Did)).Insert(1, "\"allowed_sensitive_scopes\":[\"control:*\"],"))).IsRefused(403, "SENSITIVE_POLICY_NOT_SIGNED");
        (await Http.PostAsync($"{path}/sensitive-policy", Signed(owner, challenge, ("owner_did", owner.Did)).Insert(1, "\"allowed_sensitive_scopes\":[\"control:token:revoke\"],"))).IsOk("status controller event_key");

        var token = await IssueAsync(owner, controller, agent);
        token.IsOk("token token_hash token_lane owner_did controller_did agent_did control_plane_policy_hash_b64u token_scope_hash_b64u policy_version policy_tier kid iat exp claims");

        challenge = await ChallengeAsync("transfer_controller_request", owner, ("controller_did", controller.Did), ("transfer_to_owner_did", target.Did));
        var requested = await Http.PostAsync($"{path}/transfer/request", Signed(owner, challenge, ("owner_did", owner.Did), ("transfer_to_owner_did", target.Did)));
        requested.IsOk("status controller event_key");
        Assert.Equal(("transfer_pending", $"{Controller} transfer_to_owner_did transfer_requested_at transfer_requested_at_iso transfer_expires_at transfer_expires_at_iso consented"),
            (Text(requested, "status"), Answered.MembersOf(requested.Json.GetProperty("controller"))));
        (await IssueAsync(owner, controller, agent)).IsRefused(409, "CONTROLLER_TRANSFER_FROZEN", "controller_did is transfer_pending and currently frozen for mutations");
        (await ChallengeAsync("register_agent", owner, ("controller_did", controller.Did), ("agent_did", target.Did))).IsRefused(409, "CONTROLLER_TRANSFER_FROZEN");
        challenge = await ChallengeAsync("transfer_controller_cancel", owner, ("controller_did", controller.Did));
        Assert.Equal("cancelled", Text(await Http.PostAsync($"{path}/transfer/cancel", Signed(owner, challenge, ("owner_did", owner.Did))), "status"));

        challenge = await ChallengeAsync("transfer_controller_request", owner, ("controller_did", controller.Did), ("transfer_to_owner_did", target.Did));
        await Http.PostAsync($"{path}/transfer/request", Signed(owner, challenge, ("owner_did", owner.Did), ("transfer_to_owner_did", target.Did)));
        challenge = await ChallengeAsync("transfer_controller_confirm", target, ("controller_did", controller.Did), ("transfer_to_owner_did", target.Did));
        var confirmed = await Http.PostAsync($"{path}/transfer/confirm", Signed(target, challenge, ("owner_did", target.Did)));
        Assert.Equal("transferred", Text(confirmed, "status"));
        (await Http.PostAsync("/v1/tokens/introspect", $$"""{"token":"{{Text(token, "token")}}"}""")).IsOk("active revoked token_hash sub aud scope owner_did controller_did agent_did control_plane_policy_hash_b64u token_scope_hash_b64u token_lane iat exp kid kid_source revoked_at revoked_at_iso");
        (await IssueAsync(owner, controller, agent)).IsRefused(403, "CONTROL_CHAIN_OWNER_MISMATCH");

        var successor = await BoundAsync();
        challenge = await ChallengeAsync("confirm_rotation", target, ("rotation_role", "controller"), ("from_did", controller.Did), ("to_did", successor.Did));
        var rotate = Signed(target, challenge, ("owner_did", target.Did), ("rotation_role", "controller"), ("from_did", controller.Did), ("to_did", successor.Did));
        var rotated = await Http.PostAsync("/v1/control-plane/rotations/confirm", rotate);
        rotated.IsOk("status rotation_role alias event_key");
        Assert.Equal("alias_version role from_did to_did owner_did active confirmed_at confirmed_at_iso", Answered.MembersOf(rotated.Json.GetProperty("alias")));
        (await Http.PostAsync("/v1/control-plane/rotations/confirm", rotate)).IsOk("status alias");
        Assert.Equal(successor.Did, Text(await Http.GetAsync(path), "resolved_controller_did"));
        (await IssueAsync(target, controller, agent)).IsRefused(403, "CONTROL_CHAIN_CONTEXT_MISMATCH");
    }

    [Fact]
    public async Task An_identity_is_exported_and_imported()
    {
        var (owner, controller, agent) = await ChainAsync();
        var challenge = await ChallengeAsync("export_identity", owner, ("controller_did", controller.Did));
        (await Http.PostAsync("/v1/control-plane/identity/export", Signed(owner, challenge, ("owner_did", owner.Did), ("controller_did", controller.Did)))).IsRefused(503, "EXPORT_SIGNING_NOT_CONFIGURED");
        var exported = await Http.PostAsync("/v1/control-plane/identity/export", Signed(owner, challenge, ("owner_did", owner.Did), ("controller_did", controller.Did), ("envelope_version", "2")));
        exported.IsOk("status export_bundle event_key");
        var bundle = exported.Json.GetProperty("export_bundle");
        Assert.Equal("envelope_version envelope_type exported_at exported_at_iso bundle_hash_b64u signature_algorithm issuer_did signer_kid signature_b64u payload", Answered.MembersOf(bundle));

        challenge = await ChallengeAsync("import_identity", owner, ("bundle_hash_b64u", bundle.GetProperty("bundle_hash_b64u").GetString()!));
        var body = JsonNode.Parse(Signed(owner, challenge, ("owner_did", owner.Did)))!;
        body["bundle"] = JsonNode.Parse(bundle.GetRawText());
        var tampered = body.DeepClone();
        tampered["bundle"]!["payload"]!["controller"]!["policy"]!["allowed_sensitive_scopes"] = new JsonArray("control:*");
        (await Http.PostAsync("/v1/control-plane/identity/import", tampered.ToJsonString())).IsRefused(409, "IMPORT_BUNDLE_TAMPERED", "bundle_hash_b64u does not match payload hash");
        var stale = body.DeepClone();
        stale["bundle"]!["exported_at"] = 1;
        (await Http.PostAsync("/v1/control-plane/identity/import", stale.ToJsonString())).IsRefused(409, "IMPORT_BUNDLE_STALE");
        (await Http.PostAsync("/v1/control-plane/identity/import", body.ToJsonString())).IsOk("status bundle_hash_b64u controller_did event_key");
        (await Http.PostAsync("/v1/control-plane/identity/import", body.ToJsonString())).IsOk("status bundle_hash_b64u");
    }

    [Fact]
    public async Task A_signature_is_exchanged_for_a_token_in_either_lane()
    {
        var (owner, controller, agent) = await ChainAsync();
        var challenge = await Http.PostAsync("/v1/scoped-tokens/challenges", $$"""{"owner_did":"{{owner}}","aud":"clawproxy.example","scope":["clawproxy:call"],"mission_id":"m1","ttl_sec":60}""");
        challenge.IsOk("challenge_id owner_did message expires_at ttl_sec");
        var body = Signed(owner, challenge, ("owner_did", owner.Did));
        var issued = await Http.PostAsync("/v1/scoped-tokens/exchange", body);
        issued.IsOk("status owner_did token token_hash policy_version token_lane kid iat exp clawlogs_leaf_hash_b64u clawlogs_status");
        Assert.Equal(("issued", "legacy", "skipped"), (Text(issued, "status"), Text(issued, "token_lane"), Text(issued, "clawlogs_status")));
        (await Http.PostAsync("/v1/scoped-tokens/exchange", body)).IsRefused(409, "TOKEN_EXCHANGE_CHALLENGE_USED");

        challenge = await Http.PostAsync("/v1/scoped-tokens/challenges",
            $$"""{"owner_did":"{{owner}}","aud":["clawproxy.example"],"scope":["control:token:revoke"],"controller_did":"{{controller}}","agent_did":"{{agent}}"}""");
        issued = await Http.PostAsync("/v1/scoped-tokens/exchange", Signed(owner, challenge, ("owner_did", owner.Did)));
        Assert.Equal("canonical", Text(issued, "token_lane"));
        Assert.Equal("no-store", issued.Headers["cache-control"]);
        (await Http.PostAsync("/v1/scoped-tokens/challenges", $$"""{"owner_did":"{{owner}}","aud":"a","scope":["s"],"agent_did":"{{agent}}"}""")).IsRefused(400, "INVALID_CANONICAL_CONTEXT");
    }

    [Fact]
    public async Task The_canonical_lane_tells_what_the_control_plane_said()
    {
        var (owner, controller, agent) = await ChainAsync();
        var unknown = await IssueAsync(owner, owner, agent);
        Assert.Equal((HttpStatusCode.NotFound, "error message details"), (unknown.Status, unknown.Members));
        Assert.Equal("""{"upstream_error":"CONTROLLER_NOT_FOUND","upstream_message":"controller_did is not registered","upstream_status":404}""", JsonSerializer.Serialize(unknown.Json.GetProperty("details")));
        (await IssueAsync(owner, controller, agent, scope: "control:audit:read")).IsRefused(403, "SENSITIVE_SCOPE_NOT_ALLOWED", "Requested sensitive scope(s) are not allowed by control policy: control:audit:read");
        (await IssueAsync(owner, controller, agent, more: "\"delegation_id\":\"dlg_1\",")).IsRefused(400, "DELEGATION_CANONICAL_REQUIRED");
        (await IssueAsync(owner, controller, agent, more: "\"token_lane\":\"canonical\",\"delegation_id\":\"dlg_1\",")).IsOk(
            "token token_hash token_lane owner_did controller_did agent_did control_plane_policy_hash_b64u token_scope_hash_b64u delegation_id policy_version policy_tier kid iat exp claims");
        (await IssueAsync(owner, controller, agent, more: $"\"control_plane_policy_hash_b64u\":\"{new string('a', 43)}\",")).IsRefused(409, "CONTROL_POLICY_HASH_MISMATCH");
    }

    [Fact]
    public async Task A_delegation_is_bootstrapped_with_an_admin_key()
    {
        var (one, other) = (await BoundAsync(), await BoundAsync());
        var answer = await Http.PostAsAdminAsync("/v1/delegations/bootstrap", $$"""{"delegator_did":"{{one}}","delegate_did":"{{other}}"}""");
        answer.IsOk("ok result");
        Assert.Equal("delegator_did delegate_did delegator_binding_active delegate_binding_active checked_at checked_at_iso", Answered.MembersOf(answer.Json.GetProperty("result")));
        (await Http.PostAsAdminAsync("/v1/delegations/bootstrap", $$"""{"delegator_did":"{{one}}","delegate_did":"did:key:zNobody"}""")).IsRefused(403, "DELEGATE_BINDING_REQUIRED");
    }

    private async Task<(Party Owner, Party Controller, Party Agent)> ChainAsync()
    {
        var (owner, controller, agent) = (await BoundAsync(), await BoundAsync(), await BoundAsync());
        var challenge = await ChallengeAsync("register_controller", owner, ("controller_did", controller.Did));
        (await Http.PostAsync("/v1/control-plane/controllers/register", Signed(owner, challenge, ("owner_did", owner.Did), ("controller_did", controller.Did)))).IsOk("status controller event_key");
        challenge = await ChallengeAsync("register_agent", owner, ("controller_did", controller.Did), ("agent_did", agent.Did));
        (await Http.PostAsync($"/v1/control-plane/controllers/{controller}/agents/register", Signed(owner, challenge, ("owner_did", owner.Did), ("agent_did", agent.Did)))).IsOk("status binding event_key");
        return (owner, controller, agent);
    }

    private async Task<Party> BoundAsync()
    {
        var party = Party.New();
        var challenge = await Http.PostAsync("/v1/challenges", $$"""{"did":"{{party}}"}""");
        Assert.Equal("bound", Text(await Http.PostAsync("/v1/bind", Signed(party, challenge, ("did", party.Did))), "status"));
        return party;
    }

    private Task<Answered> ChallengeAsync(string purpose, Party owner, params (string Name, string Value)[] more) => Http.PostAsync(
        "/v1/control-plane/challenges",
        JsonSerializer.Serialize(more.Append(("purpose", purpose)).Append(("owner_did", owner.Did)).ToDictionary(m => m.Item1, m => m.Item2)));

    private Task<Answered> IssueAsync(Party owner, Party controller, Party agent, string scope = "clawproxy:call", string more = "") => Http.PostAsAdminAsync(
        "/v1/tokens/issue/canonical",
        $$"""{{{more}}"sub":"{{agent}}","aud":"clawproxy.example","scope":["{{scope}}"],"owner_did":"{{owner}}","controller_did":"{{controller}}"}""");

    private static string Signed(Party party, Answered challenge, params (string Name, string Value)[] more) => JsonSerializer.Serialize(
        more.Append(("challenge_id", Text(challenge, "challenge_id"))).Append(("signature_b64u", party.Sign(Text(challenge, "message")))).ToDictionary(m => m.Item1, m => m.Item2));

    private static string Text(Answered answer, string member) => answer.Json.TryGetProperty(member, out var value) ? value.GetString()! : throw new InvalidOperationException(answer.Text);
}
