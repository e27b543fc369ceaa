using System.Text.Json;
using System.Text.Json.Nodes;
using ClawBureau.Testing;

namespace ClawBureau.Edge.Tests;

/// <summary>
/// What control-plane-http.md 2.2 to 2.8 refuse, each with its status over real HTTP. Most requests have two faults at once: the
/// one that stands first in the contract's order is told.
/// </summary>
[Collection(EdgeSuite.Name)]
public sealed class ControlRefusalTests(EdgeFixture suite)
{
    private const string Challenges = "/v1/control-plane/challenges", Controllers = "/v1/control-plane/controllers", Nonsense = "not a signature";

    private HttpFaceClient Http => suite.Canonical;

    [Fact]
    public async Task Binding_and_revoking_2_2()
    {
        var (party, other) = (Party.New(), await BoundAsync());
        var challenge = await AskAsync("/v1/challenges", ("did", party.Did));
        Task<Answered> BindAsync(string did, string id, string signature) => PostAsync("/v1/bind", ("did", did), ("challenge_id", id), ("signature_b64u", signature));
        (await BindAsync("", "none", Nonsense)).IsRefused(400, "INVALID_REQUEST");
        (await BindAsync(other.Did, "none", Nonsense)).IsRefused(404, "CHALLENGE_NOT_FOUND");
        (await BindAsync(other.Did, challenge.Id, Nonsense)).IsRefused(400, "CHALLENGE_DID_MISMATCH");
        var revoke = await AskAsync("/v1/challenges", ("did", party.Did), ("purpose", "revoke"));
        (await BindAsync(other.Did, revoke.Id, Nonsense)).IsRefused(400, "CHALLENGE_DID_MISMATCH");
        (await BindAsync(party.Did, revoke.Id, Nonsense)).IsRefused(400, "CHALLENGE_PURPOSE_MISMATCH");
        (await BindAsync(party.Did, challenge.Id, other.Sign(challenge.Message))).IsRefused(401, "SIGNATURE_INVALID");
        foreach (var (did, code) in ((string, string)[])[("did:web:example.com", "UNSUPPORTED_DID"), ("did:key:zA", "INVALID_DID")])
        {
            var odd = await AskAsync("/v1/challenges", ("did", did));
            (await BindAsync(did, odd.Id, Nonsense)).IsRefused(400, code);
        }

        (await PostAsync("/v1/bindings/revoke", ("did", party.Did), ("challenge_id", revoke.Id), ("signature_b64u", Nonsense))).IsRefused(401, "SIGNATURE_INVALID");
        (await PostAsync("/v1/bindings/revoke", ("did", party.Did), ("challenge_id", revoke.Id), ("signature_b64u", party.Sign(revoke.Message)))).IsRefused(404, "BINDING_NOT_FOUND");
        var late = await AskAsync("/v1/challenges", ("did", other.Did));
        foreach (var members in (string[])["status did revoked_at revoked_at_iso event_key", "status did revoked_at revoked_at_iso"])
        {
            var again = await AskAsync("/v1/challenges", ("did", other.Did), ("purpose", "revoke"));
            (await PostAsync("/v1/bindings/revoke", ("did", other.Did), ("challenge_id", again.Id), ("signature_b64u", other.Sign(again.Message)))).IsOk(members);
        }
        (await BindAsync(other.Did, late.Id, other.Sign(late.Message))).IsRefused(403, "BINDING_REVOKED");
    }

    [Fact]
    public async Task Challenges_of_the_control_plane_2_3()
    {
        var (owner, controller, agent) = await ChainAsync();
        var (stranger, nobody) = (await BoundAsync(), Party.New());
        Task<Answered> OfAsync(string purpose, Party by, params (string, string)[] more) => PostAsync(Challenges, [("purpose", purpose), ("owner_did", by.Did), .. more]);
        (string, string) of = ("controller_did", controller.Did), ofNobody = ("controller_did", nobody.Did);
        // Fields, then the owner's binding, then the controller.
        (await OfAsync("register_agent", nobody, of)).IsRefused(400, "INVALID_REQUEST");
        (await OfAsync("register_agent", nobody, ofNobody, ("agent_did", agent.Did))).IsRefused(403, "OWNER_BINDING_REQUIRED");
        (await OfAsync("register_agent", stranger, ofNobody, ("agent_did", agent.Did))).IsRefused(404, "CONTROLLER_NOT_FOUND");
        (await OfAsync("register_agent", stranger, of, ("agent_did", agent.Did))).IsRefused(403, "CONTROLLER_OWNER_MISMATCH");
        (await OfAsync("confirm_rotation", owner, ("rotation_role", "controller"), ("from_did", nobody.Did), ("to_did", Party.New().Did))).IsRefused(403, "ROTATION_TARGET_BINDING_REQUIRED");
        (await OfAsync("confirm_rotation", owner, ("rotation_role", "controller"), ("from_did", nobody.Did), ("to_did", stranger.Did))).IsRefused(404, "CONTROLLER_NOT_FOUND");
        (await OfAsync("confirm_rotation", owner, ("rotation_role", "agent"), ("from_did", nobody.Did), ("to_did", stranger.Did), of)).IsRefused(404, "CONTROLLER_AGENT_NOT_FOUND");
        (await OfAsync("transfer_controller_request", owner, of, ("transfer_to_owner_did", nobody.Did))).IsRefused(403, "TRANSFER_TARGET_BINDING_REQUIRED");
        (await OfAsync("transfer_controller_confirm", stranger, of, ("transfer_to_owner_did", nobody.Did))).IsRefused(409, "TRANSFER_NOT_PENDING");
        (await OfAsync("export_identity", owner, of, ("agent_did", nobody.Did))).IsRefused(404, "CONTROLLER_AGENT_NOT_FOUND");
        (await OfAsync("import_identity", owner, ("bundle_hash_b64u", "short"))).IsRefused(400, "INVALID_REQUEST");

        await FreezeAsync(owner, controller, stranger);
        foreach (var (purpose, more) in ((string, (string, string)[])[])[("register_agent", [("agent_did", stranger.Did)]), ("update_sensitive_policy", []), ("export_identity", [("agent_did", nobody.Did)])])
            (await OfAsync(purpose, owner, [of, .. more])).IsRefused(409, "CONTROLLER_TRANSFER_FROZEN", "controller_did is transfer_pending and currently frozen for mutations");
        (await OfAsync("transfer_controller_request", owner, of, ("transfer_to_owner_did", nobody.Did))).IsRefused(409, "TRANSFER_ALREADY_PENDING");
        (await OfAsync("transfer_controller_confirm", owner, of, ("transfer_to_owner_did", nobody.Did))).IsRefused(403, "TRANSFER_OWNER_MISMATCH");
        (await OfAsync("transfer_controller_confirm", stranger, of, ("transfer_to_owner_did", owner.Did))).IsRefused(400, "TRANSFER_CONTEXT_MISMATCH");
    }

    [Fact]
    public async Task Controllers_agents_and_policies_2_4()
    {
        var (owner, controller, agent) = await ChainAsync();
        var (stranger, nobody) = (await BoundAsync(), Party.New());
        var register = await AskAsync(Challenges, ("purpose", "register_controller"), ("owner_did", owner.Did), ("controller_did", nobody.Did));
        Task<Answered> RegisterAsync(string did, Asked asked, string signature) => PostAsync($"{Controllers}/register", ("owner_did", owner.Did), ("controller_did", did), ("challenge_id", asked.Id), ("signature_b64u", signature));
        (await RegisterAsync(nobody.Did, register with { Id = "none" }, Nonsense)).IsRefused(404, "CHALLENGE_NOT_FOUND");
        (await RegisterAsync(stranger.Did, register, Nonsense)).IsRefused(400, "CHALLENGE_CONTEXT_MISMATCH");
        (await RegisterAsync(nobody.Did, register, Nonsense)).IsRefused(403, "CONTROLLER_BINDING_REQUIRED");
        var policy = await AskAsync(Challenges, ("purpose", "update_sensitive_policy"), ("owner_did", owner.Did), ("controller_did", controller.Did));
        (await RegisterAsync(controller.Did, policy, Nonsense)).IsRefused(400, "CHALLENGE_PURPOSE_MISMATCH");

        var addAgent = await AskAsync(Challenges, ("purpose", "register_agent"), ("owner_did", owner.Did), ("controller_did", controller.Did), ("agent_did", nobody.Did));
        Task<Answered> AgentAsync(Party by, string id) => PostAsync($"{Controllers}/{controller}/agents/register", ("owner_did", by.Did), ("agent_did", nobody.Did), ("challenge_id", id), ("signature_b64u", Nonsense));
        (await AgentAsync(stranger, addAgent.Id)).IsRefused(400, "CHALLENGE_CONTEXT_MISMATCH");
        (await AgentAsync(owner, addAgent.Id)).IsRefused(403, "AGENT_BINDING_REQUIRED");
        Task<Answered> PolicyAsync(string scopes, string signature) =>
            Http.PostAsync($"{Controllers}/{controller}/sensitive-policy", $$"""{"owner_did":"{{owner}}","challenge_id":"{{policy.Id}}","signature_b64u":"{{signature}}","allowed_sensitive_scopes":{{scopes}}}""");
        foreach (var scopes in (string[])["[]", "[\"proxy:call\"]", $"[\"control:{new string('x', 128)}\"]", "[1]"]) (await PolicyAsync(scopes, Nonsense)).IsRefused(400, "INVALID_SENSITIVE_POLICY");
        (await PolicyAsync("[\"control:token:revoke\"]", Nonsense)).IsRefused(401, "SIGNATURE_INVALID");
        await FreezeAsync(owner, controller, stranger);
        (await PolicyAsync("[]", Nonsense)).IsRefused(409, "CONTROLLER_TRANSFER_FROZEN");
    }

    [Fact]
    public async Task Rotations_and_transfers_2_5_and_2_6()
    {
        var (owner, controller, agent) = await ChainAsync();
        var (target, to, third) = (await BoundAsync(), await BoundAsync(), await BoundAsync());
        var taken = (await ChainAsync()).Controller;
        var rotate = await AskAsync(Challenges, ("purpose", "confirm_rotation"), ("owner_did", owner.Did), ("rotation_role", "controller"), ("from_did", controller.Did), ("to_did", taken.Did));
        Task<Answered> RotateAsync(string toDid, Asked asked, string signature) => PostAsync("/v1/control-plane/rotations/confirm",
            ("owner_did", owner.Did), ("rotation_role", "controller"), ("from_did", controller.Did), ("to_did", toDid), ("challenge_id", asked.Id), ("signature_b64u", signature));
        (await RotateAsync(to.Did, rotate, Nonsense)).IsRefused(400, "CHALLENGE_CONTEXT_MISMATCH");
        (await RotateAsync(taken.Did, rotate, Nonsense)).IsRefused(409, "ROTATION_TARGET_CONFLICT");
        var toOne = await AskAsync(Challenges, ("purpose", "confirm_rotation"), ("owner_did", owner.Did), ("rotation_role", "controller"), ("from_did", controller.Did), ("to_did", to.Did));
        var toAnother = await AskAsync(Challenges, ("purpose", "confirm_rotation"), ("owner_did", owner.Did), ("rotation_role", "controller"), ("from_did", controller.Did), ("to_did", third.Did));
        (await RotateAsync(to.Did, toOne, Nonsense)).IsRefused(401, "SIGNATURE_INVALID");

        var path = $"{Controllers}/{controller}/transfer";
        Task<Answered> RequestAsync(Party by, string toDid, string id, string signature) => PostAsync($"{path}/request", ("owner_did", by.Did), ("transfer_to_owner_did", toDid), ("challenge_id", id), ("signature_b64u", signature));
        Task<Answered> ConfirmAsync(Party by, string id, params (string, string)[] more) => PostAsync($"{path}/confirm", [("owner_did", by.Did), ("challenge_id", id), ("signature_b64u", Nonsense), .. more]);
        (await RequestAsync(target, "", "none", Nonsense)).IsRefused(400, "INVALID_REQUEST");
        (await RequestAsync(target, target.Did, "none", Nonsense)).IsRefused(403, "CONTROLLER_OWNER_MISMATCH");
        (await RequestAsync(owner, target.Did, "none", Nonsense)).IsRefused(404, "CHALLENGE_NOT_FOUND");
        (await ConfirmAsync(target, "none", ("transfer_to_owner_did", owner.Did))).IsRefused(400, "TRANSFER_CONTEXT_MISMATCH");
        (await ConfirmAsync(target, "none")).IsRefused(409, "TRANSFER_NOT_PENDING");
        (await PostAsync($"{path}/cancel", ("owner_did", target.Did), ("challenge_id", "none"), ("signature_b64u", Nonsense))).IsRefused(403, "CONTROLLER_OWNER_MISMATCH");
        (await PostAsync($"{path}/cancel", ("owner_did", owner.Did), ("challenge_id", "none"), ("signature_b64u", Nonsense))).IsRefused(409, "TRANSFER_NOT_PENDING");
        await FreezeAsync(owner, controller, target);
        (await RequestAsync(owner, third.Did, "none", Nonsense)).IsRefused(409, "TRANSFER_ALREADY_PENDING");
        (await RequestAsync(owner, target.Did, "none", Nonsense)).IsRefused(404, "CHALLENGE_NOT_FOUND");       // nothing is answered without a signature
        (await ConfirmAsync(third, "none")).IsRefused(403, "TRANSFER_OWNER_MISMATCH");
        (await RotateAsync(to.Did, toOne, owner.Sign(toOne.Message))).IsRefused(409, "CONTROLLER_TRANSFER_FROZEN");
        var cancel = await AskAsync(Challenges, ("purpose", "transfer_controller_cancel"), ("owner_did", owner.Did), ("controller_did", controller.Did));
        (await PostAsync($"{path}/cancel", ("owner_did", owner.Did), ("challenge_id", cancel.Id), ("signature_b64u", owner.Sign(cancel.Message)))).IsOk("status controller event_key");

        (await RotateAsync(to.Did, toOne, owner.Sign(toOne.Message))).IsOk("status rotation_role alias event_key");
        (await RotateAsync(third.Did, toAnother, Nonsense)).IsRefused(409, "ROTATION_CONFLICT");
        (await RotateAsync(to.Did, toOne, Nonsense)).IsRefused(401, "SIGNATURE_INVALID");
    }

    [Fact]
    public async Task Export_and_import_2_7_and_2_8()
    {
        var (owner, controller, agent) = await ChainAsync();
        var (stranger, nobody) = (await BoundAsync(), Party.New());
        Task<Answered> ExportAsync(Party by, Party of, string id) => PostAsync("/v1/control-plane/identity/export",
            ("owner_did", by.Did), ("controller_did", of.Did), ("challenge_id", id), ("signature_b64u", Nonsense), ("envelope_version", "2"));
        (await ExportAsync(stranger, nobody, "none")).IsRefused(404, "CONTROLLER_NOT_FOUND");
        (await ExportAsync(stranger, controller, "none")).IsRefused(403, "CONTROLLER_OWNER_MISMATCH");
        (await ExportAsync(owner, controller, "none")).IsRefused(404, "CHALLENGE_NOT_FOUND");
        var export = await AskAsync(Challenges, ("purpose", "export_identity"), ("owner_did", owner.Did), ("controller_did", controller.Did));
        (await ExportAsync(owner, controller, export.Id)).IsRefused(401, "SIGNATURE_INVALID");
        var exported = await PostAsync("/v1/control-plane/identity/export",
            ("owner_did", owner.Did), ("controller_did", controller.Did), ("challenge_id", export.Id), ("signature_b64u", owner.Sign(export.Message)), ("envelope_version", "2"));
        var bundle = JsonNode.Parse(exported.Json.GetProperty("export_bundle").GetRawText())!;
        var hash = (string)bundle["bundle_hash_b64u"]!;

        async Task<Answered> ImportAsync(Party by, Action<JsonNode> change, bool signed = true, string? forHash = null)
        {
            var asked = await AskAsync(Challenges, ("purpose", "import_identity"), ("owner_did", by.Did), ("bundle_hash_b64u", forHash ?? hash));
            var changed = bundle.DeepClone();
            change(changed);
            return await Http.PostAsync("/v1/control-plane/identity/import",
                new JsonObject { ["owner_did"] = by.Did, ["challenge_id"] = asked.Id, ["signature_b64u"] = signed ? by.Sign(asked.Message) : Nonsense, ["bundle"] = changed }.ToJsonString());
        }
        static void Tamper(JsonNode envelope) => envelope["payload"]!["controller"]!["policy"]!["allowed_sensitive_scopes"] = new JsonArray("control:*");
        static void Age(JsonNode envelope) => envelope["exported_at"] = 1;
        // 2 before 3, 3 before 4, 4 before 6, 6 before the signature over it, that before 7.
        (await ImportAsync(owner, envelope => { envelope["envelope_type"] = "x"; Tamper(envelope); }, signed: false)).IsRefused(400, "IMPORT_BUNDLE_INVALID");
        (await ImportAsync(owner, Tamper, forHash: new string('a', 43), signed: false)).IsRefused(400, "CHALLENGE_CONTEXT_MISMATCH");
        (await ImportAsync(owner, Tamper, signed: false)).IsRefused(401, "SIGNATURE_INVALID");
        (await ImportAsync(owner, envelope => { Tamper(envelope); Age(envelope); })).IsRefused(409, "IMPORT_BUNDLE_TAMPERED");
        (await ImportAsync(stranger, Age)).IsRefused(409, "IMPORT_BUNDLE_STALE");
        (await ImportAsync(stranger, envelope => envelope["exported_at"] = (long)envelope["exported_at"]! - 1)).IsRefused(401, "IMPORT_BUNDLE_SIGNATURE_INVALID");
        (await ImportAsync(stranger, _ => { })).IsRefused(409, "IMPORT_OWNER_MISMATCH");
        await FreezeAsync(owner, controller, stranger);
        (await ImportAsync(owner, _ => { })).IsRefused(409, "CONTROLLER_TRANSFER_FROZEN");
    }

    private sealed record Asked(string Id, string Message);

    private Task<Answered> PostAsync(string path, params IEnumerable<(string Name, string Value)> members) => Http.PostAsync(path, JsonSerializer.Serialize(members.ToDictionary(m => m.Name, m => m.Value)));

    private async Task<Asked> AskAsync(string path, params (string Name, string Value)[] members)
    {
        var answer = await PostAsync(path, members);
        Assert.True((int)answer.Status == 200, answer.Text);
        return new(answer.Json.GetProperty("challenge_id").GetString()!, answer.Json.GetProperty("message").GetString()!);
    }

    private async Task<Party> BoundAsync()
    {
        var party = Party.New();
        var asked = await AskAsync("/v1/challenges", ("did", party.Did));
        (await PostAsync("/v1/bind", ("did", party.Did), ("challenge_id", asked.Id), ("signature_b64u", party.Sign(asked.Message)))).IsOk("status did active bound_at bound_at_iso challenge_id");
        return party;
    }

    private async Task<Chain> ChainAsync()
    {
        var chain = new Chain(await BoundAsync(), await BoundAsync(), await BoundAsync());
        var (owner, controller, agent) = chain;
        var asked = await AskAsync(Challenges, ("purpose", "register_controller"), ("owner_did", owner.Did), ("controller_did", controller.Did));
        (await PostAsync($"{Controllers}/register", ("owner_did", owner.Did), ("controller_did", controller.Did), ("challenge_id", asked.Id), ("signature_b64u", owner.Sign(asked.Message)))).IsOk("status controller event_key");
        asked = await AskAsync(Challenges, ("purpose", "register_agent"), ("owner_did", owner.Did), ("controller_did", controller.Did), ("agent_did", agent.Did));
        (await PostAsync($"{Controllers}/{controller}/agents/register", ("owner_did", owner.Did), ("agent_did", agent.Did), ("challenge_id", asked.Id), ("signature_b64u", owner.Sign(asked.Message)))).IsOk("status binding event_key");
        return chain;
    }

    private async Task FreezeAsync(Party owner, Party controller, Party target)
    {
        var asked = await AskAsync(Challenges, ("purpose", "transfer_controller_request"), ("owner_did", owner.Did), ("controller_did", controller.Did), ("transfer_to_owner_did", target.Did));
        (await PostAsync($"{Controllers}/{controller}/transfer/request", ("owner_did", owner.Did), ("transfer_to_owner_did", target.Did), ("challenge_id", asked.Id), ("signature_b64u", owner.Sign(asked.Message))))
            .IsOk("status controller event_key");
    }

    private sealed record Chain(Party Owner, Party Controller, Party Agent);
}
