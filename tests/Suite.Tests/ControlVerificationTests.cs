using System.Net.Http.Json;
using System.Text.Json;
using ClawBureau.Stack;
using ClawBureau.Testing;

namespace ClawBureau.Suite.Tests;

/// <summary>A stack on which the chain's own tokens may be asked for what control takes.</summary>
public sealed class ControlledStack : StackFixture
{
    internal override StackOptions Options => base.Options with
    {
        Variables = new Dictionary<string, string?> { ["SCOPE_PROTECTED_AUTH_MODE"] = "admin_token", ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "proxy:,clawproxy:,control:" },
    };
}

/// <summary>
/// What the control plane mints is verified by the Verifier, over HTTP from end to end: bound DIDs, a registered chain, canonical and
/// delegated tokens, and what becomes of them (control-plane-http.md 2, 3.1, 3.2).
/// </summary>
public sealed class ControlVerificationTests(ControlledStack stack) : IClassFixture<ControlledStack>, IDisposable
{
    private readonly HttpClient _edge = new() { BaseAddress = stack.Stack.EdgeHttp };

    public void Dispose() => _edge.Dispose();

    [Fact]
    public async Task A_canonical_token_and_a_delegated_one_are_valid_until_they_are_revoked()
    {
        var (owner, controller, agent) = await ChainAsync();
        var canonical = await IssueAsync(owner, controller, agent);
        var delegated = await IssueAsync(owner, controller, agent, new()
        {
            ["token_lane"] = "canonical",
            ["delegation_id"] = "dlg_1",
            ["delegator_did"] = owner.Did,
            ["delegate_did"] = agent.Did,
            ["delegation_spend_cap_minor"] = "0100",
            ["delegation_expires_at"] = DateTimeOffset.UtcNow.AddMinutes(5).ToUnixTimeSeconds(),
        });
        foreach (var token in new[] { canonical, delegated })
        {
            var valid = await VerifyAsync(token, 200, new()
            {
                ["expected_owner_did"] = owner.Did,
                ["expected_controller_did"] = controller.Did,
                ["expected_agent_did"] = agent.Did,
                ["required_audience"] = "clawproxy.example",
                ["required_scope"] = new[] { "clawproxy:call", "control:token:revoke" },
                ["required_transitions"] = new[] { "token.revoke" },
            });
            Assert.Equal(
                "result token_hash active revoked token_lane owner_did controller_did agent_did aud scope token_scope_hash_b64u transition_matrix transparency_snapshot remediation_hints",
                string.Join(' ', valid.EnumerateObject().Select(member => member.Name)));
            Assert.Equal(
                ("VALID", "Token satisfies control-chain, audience, scope, transition requirements, and key transparency policy"),
                (Text(valid, "result", "status"), Text(valid, "result", "reason")));
            Assert.Equal((Text(token, "token_hash"), Text(token, "kid")), (Text(valid, "token_hash"), Text(valid, "transparency_snapshot", "kid_observed")));

            await RefusedAsync(token, 422, "TOKEN_CONTROL_SUBJECT_MISMATCH", "REGISTER_AGENT_UNDER_CONTROLLER", new() { ["expected_agent_did"] = owner.Did });
            await RefusedAsync(token, 422, "TOKEN_CONTROL_SCOPE_MISSING", "REQUEST_REQUIRED_SCOPE UPDATE_SENSITIVE_POLICY", new() { ["required_scope"] = "control:key:rotate" });
            await RefusedAsync(token, 422, "TOKEN_CONTROL_TRANSITION_FORBIDDEN", "UPDATE_SENSITIVE_POLICY USE_CANONICAL_CST_LANE", new() { ["required_transitions"] = "key.rotate" });

            using var revoked = await _edge.SendAsync(AsAdmin("/v1/tokens/revoke", new() { ["token_hash"] = Text(token, "token_hash"), ["reason"] = "suite" }));
            Assert.Equal(200, (int)revoked.StatusCode);
            var refused = await RefusedAsync(token, 422, "REVOKED", "REISSUE_TOKEN SYNC_REVOCATION_STREAM", []);
            Assert.Equal((false, true), (refused.GetProperty("active").GetBoolean(), refused.GetProperty("revoked").GetBoolean()));
        }
        // What is not canonical does not get so far.
        using var legacy = await _edge.SendAsync(AsAdmin("/v1/tokens/issue", new() { ["sub"] = agent.Did, ["aud"] = "clawproxy.example", ["scope"] = new[] { "clawproxy:call" } }));
        await RefusedAsync(await legacy.Content.ReadFromJsonAsync<JsonElement>(), 422, "TOKEN_CONTROL_CHAIN_MISSING", "USE_CANONICAL_CST_LANE", []);
    }

    [Fact]
    public async Task A_control_chain_is_valid_while_it_stands_as_it_is_named()
    {
        var (owner, controller, agent) = await ChainAsync();
        var valid = await ChainOfAsync(owner, controller, agent, 200);
        Assert.Equal(("VALID", "Owner/controller/agent chain is valid and active", true), (Text(valid, "result", "status"), Text(valid, "result", "reason"), valid.GetProperty("chain_active").GetBoolean()));
        Assert.Matches("^[A-Za-z0-9_-]{43}$", Text(valid, "policy_hash_b64u"));

        foreach (var (chain, code, hints) in new[]
        {
            ((owner, controller, owner), "CONTROL_CHAIN_NOT_FOUND", "REGISTER_CONTROLLER REGISTER_AGENT_UNDER_CONTROLLER"),
            ((owner, agent, agent), "CONTROL_CHAIN_NOT_FOUND", "REGISTER_CONTROLLER REGISTER_AGENT_UNDER_CONTROLLER"),
            ((agent, controller, agent), "CONTROL_CHAIN_CONTEXT_MISMATCH", "CHECK_CONTROL_CHAIN_CONFIG"),
        })
        {
            var refused = await ChainOfAsync(chain.Item1, chain.Item2, chain.Item3, 422);
            Assert.Equal((code, hints, false), (Text(refused, "error", "code"), HintsOf(refused), refused.GetProperty("chain_active").GetBoolean()));
        }

        // Who loses his binding loses the chain, and with it every token under it.
        var token = await IssueAsync(owner, controller, agent);
        await VerifyAsync(token, 200, []);
        var challenge = await PostAsync("/v1/challenges", new() { ["did"] = agent.Did, ["purpose"] = "revoke" });
        await PostAsync("/v1/bindings/revoke", Signed(agent, challenge, new() { ["did"] = agent.Did }));
        await RefusedAsync(token, 422, "REVOKED", "REISSUE_TOKEN SYNC_REVOCATION_STREAM", []);
    }

    private async Task<JsonElement> RefusedAsync(JsonElement issued, int status, string code, string hints, Dictionary<string, object> more)
    {
        var refused = await VerifyAsync(issued, status, more);
        Assert.Equal(("INVALID", code, hints), (Text(refused, "result", "status"), Text(refused, "error", "code"), HintsOf(refused)));
        return refused;
    }

    private Task<JsonElement> VerifyAsync(JsonElement issued, int status, Dictionary<string, object> more) =>
        PostAsync("/v1/verify/token-control", new(more) { ["token"] = Text(issued, "token") }, status);

    private Task<JsonElement> ChainOfAsync(Party owner, Party controller, Party agent, int status) =>
        PostAsync("/v1/verify/control-chain", new() { ["owner_did"] = owner.Did, ["controller_did"] = controller.Did, ["agent_did"] = agent.Did }, status);

    private async Task<JsonElement> IssueAsync(Party owner, Party controller, Party agent, Dictionary<string, object>? more = null)
    {
        using var answer = await _edge.SendAsync(AsAdmin("/v1/tokens/issue/canonical", new(more ?? [])
        {
            ["sub"] = agent.Did,
            ["aud"] = "clawproxy.example",
            ["scope"] = new[] { "clawproxy:call", "control:token:revoke" },
            ["owner_did"] = owner.Did,
            ["controller_did"] = controller.Did,
        }));
        return await ReadAsync(answer, 200);
    }

    private async Task<(Party Owner, Party Controller, Party Agent)> ChainAsync()
    {
        var (owner, controller, agent) = (await BoundAsync(), await BoundAsync(), await BoundAsync());
        var challenge = await ChallengeAsync("register_controller", owner, new() { ["controller_did"] = controller.Did });
        await PostAsync("/v1/control-plane/controllers/register", Signed(owner, challenge, new() { ["owner_did"] = owner.Did, ["controller_did"] = controller.Did }));
        challenge = await ChallengeAsync("register_agent", owner, new() { ["controller_did"] = controller.Did, ["agent_did"] = agent.Did });
        await PostAsync($"/v1/control-plane/controllers/{controller}/agents/register", Signed(owner, challenge, new() { ["owner_did"] = owner.Did, ["agent_did"] = agent.Did }));
        return (owner, controller, agent);
    }

    private async Task<Party> BoundAsync()
    {
        var party = Party.New();
        var challenge = await PostAsync("/v1/challenges", new() { ["did"] = party.Did });
        await PostAsync("/v1/bind", Signed(party, challenge, new() { ["did"] = party.Did }));
        return party;
    }

    private Task<JsonElement> ChallengeAsync(string purpose, Party owner, Dictionary<string, object> more) =>
        PostAsync("/v1/control-plane/challenges", new(more) { ["purpose"] = purpose, ["owner_did"] = owner.Did });

    private static Dictionary<string, object> Signed(Party party, JsonElement challenge, Dictionary<string, object> more) =>
        new(more) { ["challenge_id"] = Text(challenge, "challenge_id"), ["signature_b64u"] = party.Sign(Text(challenge, "message")) };

    private async Task<JsonElement> PostAsync(string path, Dictionary<string, object> body, int status = 200)
    {
        using var answer = await _edge.PostAsJsonAsync(path, body);
        return await ReadAsync(answer, status);
    }

    private HttpRequestMessage AsAdmin(string path, Dictionary<string, object> body) =>
        new(HttpMethod.Post, path) { Content = JsonContent.Create(body), Headers = { { "Authorization", $"Bearer {stack.Stack.AdminKey}" } } };

    private static async Task<JsonElement> ReadAsync(HttpResponseMessage answer, int status)
    {
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True((int)answer.StatusCode == status, $"{(int)answer.StatusCode} {text}");
        return JsonElement.Parse(text);
    }

    private static string HintsOf(JsonElement answer) => string.Join(' ', answer.GetProperty("remediation_hints").EnumerateArray().Select(hint => hint.GetProperty("code").GetString()));

    private static string Text(JsonElement json, params string[] path) => path.Aggregate(json, (at, member) => at.GetProperty(member)).GetString()!;
}
