using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.ControlPlane.Tests;

public sealed class PortabilityTests
{
    [Theory]
    [InlineData(BundleVersion.Hmac)]
    [InlineData(BundleVersion.Ed25519)]
    public async Task An_identity_moves_to_another_issuer_with_its_agents_and_names(BundleVersion version)
    {
        await using var here = await ControlFixture.StartAsync();
        await using var there = await ControlFixture.StartAsync();
        var chain = await here.ChainAsync("control:token:revoke");
        var (agent, controller) = (await here.BoundAsync(), await here.BoundAsync());
        await here.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, agent, chain.Controller);
        await here.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, controller);
        var exported = await here.ExportAsync(chain.Owner, controller, version);
        // The owner's own fresh export holds nothing revoked, whatever was rotated before.
        var envelope = JsonDocument.Parse(exported.BundleJson.ToByteArray()).RootElement;
        Assert.Equal((version == BundleVersion.Hmac ? "1" : "2", "identity_export_bundle", exported.BundleHashB64U),
            (envelope.GetProperty("envelope_version").GetString(), envelope.GetProperty("envelope_type").GetString(), envelope.GetProperty("bundle_hash_b64u").GetString()));
        Assert.Equal(exported.BundleHashB64U, Base64UrlText.Encode(SHA256.HashData(CanonicalJson.Of(envelope.GetProperty("payload")))));
        if (version == BundleVersion.Hmac)
            Assert.Equal(Base64UrlText.Encode(HMACSHA256.HashData(Encoding.UTF8.GetBytes(ControlFixture.HmacKey), Encoding.UTF8.GetBytes(exported.BundleHashB64U))), envelope.GetProperty("signature_b64u").GetString());

        await there.BindAsync(chain.Owner);
        var imported = await there.ImportAsync(chain.Owner, exported);
        Assert.Equal((controller.Did, false), (imported.ControllerDid, imported.AlreadyImported));
        Assert.EndsWith($":identity-import:{chain.Owner}:{exported.BundleHashB64U}", imported.Act.EventKey, StringComparison.Ordinal);
        Assert.True((await there.ImportAsync(chain.Owner, exported)).AlreadyImported);
        var (before, after) = (await here.ReadChainAsync(chain.Controller, chain.Agent), await there.ReadChainAsync(chain.Controller, chain.Agent));
        Assert.Equal((before.ResolvedControllerDid, before.ResolvedAgentDid, before.Controller.Policy), (after.ResolvedControllerDid, after.ResolvedAgentDid, after.Controller.Policy));
        Assert.False(after.Active);             // controller and agent have to show there that they hold their keys
        await there.BindAsync(controller);
        await there.BindAsync(agent);
        await there.IssueAsync(new(chain.Owner, controller, agent));
    }

    [Theory]
    [InlineData(BundleVersion.Hmac)]
    [InlineData(BundleVersion.Ed25519)]
    public async Task A_bundle_is_refused_for_what_is_wrong_with_it_in_the_contract_s_order(BundleVersion version)
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync();
        var exported = await control.ExportAsync(chain.Owner, chain.Controller, version);
        var hash = exported.BundleHashB64U;

        foreach (var malformed in (string[])["", "null", "[]", "{", "{}", """{"envelope_version":"1"}""", """{"envelope_version":1,"payload":5}"""])
            await control.RefusesAsync(malformed.Length == 0 ? Reason.InvalidRequest : Reason.ImportBundleInvalid, () => control.ImportAsync(chain.Owner, Encoding.UTF8.GetBytes(malformed), hash));
        await RefusedAsync(Reason.ImportBundleInvalid, e => e["envelope_version"] = "3");
        await RefusedAsync(Reason.ImportBundleInvalid, e => e["envelope_type"] = "other");
        await RefusedAsync(Reason.ImportBundleInvalid, e => e["signature_algorithm"] = "none");
        await RefusedAsync(Reason.ImportBundleInvalid, e => e["payload"]!["agent_bindings"] = "many");
        await RefusedAsync(Reason.ImportBundleTampered, e => e["payload"]!["controller"]!["policy"]!["allowed_sensitive_scopes"] = new JsonArray("control:*"));
        await RefusedAsync(Reason.ImportBundleTampered, e => e["payload"]!["owner_did"] = chain.Agent.Did);
        // The existing suites make a bundle stale by its envelope alone.
        await RefusedAsync(Reason.ImportBundleStale, e => e["exported_at"] = 1);
        // And one that is stale is not made young again that way.
        await RefusedAsync(Reason.ImportBundleSignatureInvalid, e => e["exported_at"] = e["exported_at"]!.GetValue<long>() - 60);
        await RefusedAsync(Reason.ImportBundleSignatureInvalid, e => e["exported_at"] = e["exported_at"]!.GetValue<long>() + 86_400);
        await RefusedAsync(Reason.ImportBundleSignatureInvalid, e => e["signature_b64u"] = Base64UrlText.Encode(new byte[64]));
        await RefusedAsync(Reason.ImportBundleSignatureInvalid, e => e["signature_b64u"] = "!");

        var stranger = await control.BoundAsync();
        await control.RefusesAsync(Reason.ImportOwnerMismatch, () => control.ImportAsync(stranger, exported));
        var other = await control.ChallengeAsync(ControlPurpose.ImportIdentity, chain.Owner, also: r => r.BundleHashB64U = new string('a', 43));
        await control.RefusesAsync(Reason.ChallengeContextMismatch, () => control.Portability.ImportIdentityAsync(new()
        {
            OwnerDid = chain.Owner.Did,
            ChallengeId = other.ChallengeId,
            SignatureB64U = chain.Owner.Sign(other.Message),
            BundleJson = exported.BundleJson,
        }).ResponseAsync);
        await control.ImportAsync(chain.Owner, exported);

        async Task RefusedAsync(Reason reason, Action<JsonNode> change)
        {
            var envelope = JsonNode.Parse(exported.BundleJson.ToByteArray())!;
            change(envelope);
            await control.RefusesAsync(reason, () => control.ImportAsync(chain.Owner, Encoding.UTF8.GetBytes(envelope.ToJsonString()), hash));
        }
    }

    [Fact]
    public async Task What_is_revoked_in_a_bundle_is_not_imported_and_what_is_malformed_in_it_is_no_fault_of_ours()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync();
        var exported = await control.ExportAsync(chain.Owner, chain.Controller, BundleVersion.Hmac);
        await SignedAsync(Reason.ImportRevokedRecord, p => p["controller"]!["active"] = false);
        await SignedAsync(Reason.ImportRevokedRecord, p => p["agent_bindings"]![0]!["active"] = false);
        await SignedAsync(Reason.ImportOwnerMismatch, p => p["controller"]!["owner_did"] = chain.Agent.Did);
        await SignedAsync(Reason.ControllerTransferFrozen, p => p["controller"]!["transfer_state"] = "transfer_pending");
        await SignedAsync(Reason.ImportAgentConflict, p => p["agent_bindings"]![0]!["owner_did"] = chain.Agent.Did);
        await SignedAsync(Reason.ImportBundleInvalid, p => p["controller"]!.AsObject().Remove("policy"));
        await SignedAsync(Reason.ImportBundleInvalid, p => p["controller"]!["registered_at"] = "yesterday");
        await SignedAsync(Reason.ImportBundleInvalid, p => p["controller"]!["registered_at"] = 1e300);
        await SignedAsync(Reason.ImportBundleInvalid, p => p["controller"]!["policy"]!["allowed_sensitive_scopes"] = new JsonArray("proxy:call"));
        await SignedAsync(Reason.ImportBundleInvalid, p => p["agent_bindings"]![0] = 5);
        await SignedAsync(Reason.ImportBundleInvalid, p => p["agent_bindings"]!.AsArray().Add(p["agent_bindings"]![0]!.DeepClone()));
        await SignedAsync(Reason.ImportBundleInvalid, p => p["rotation_aliases"]!.AsArray().Add(new JsonObject { ["role"] = "ruler" }));

        // Signed with the shared key, as whoever holds it can.
        async Task SignedAsync(Reason reason, Action<JsonNode> change)
        {
            var envelope = JsonNode.Parse(exported.BundleJson.ToByteArray())!;
            change(envelope["payload"]!);
            var hash = Base64UrlText.Encode(SHA256.HashData(CanonicalJson.Of(Encoding.UTF8.GetBytes(envelope["payload"]!.ToJsonString()))));
            envelope["bundle_hash_b64u"] = hash;
            envelope["signature_b64u"] = Base64UrlText.Encode(HMACSHA256.HashData(Encoding.UTF8.GetBytes(ControlFixture.HmacKey), Encoding.UTF8.GetBytes(hash)));
            await control.RefusesAsync(reason, () => control.ImportAsync(chain.Owner, Encoding.UTF8.GetBytes(envelope.ToJsonString()), hash));
        }
    }

    [Fact]
    public async Task An_older_bundle_neither_thaws_a_frozen_controller_nor_rolls_anything_back()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync("control:token:revoke", "control:key:rotate"), await control.BoundAsync());
        var exported = await control.ExportAsync(chain.Owner, chain.Controller);
        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.ImportAsync(chain.Owner, exported));
        Assert.Equal(TransferState.TransferPending, (await control.Controllers.GetControllerAsync(new() { ControllerDid = chain.Controller.Did })).Controller.TransferState);
        await control.CancelTransferAsync(chain.Owner, chain.Controller);

        await control.UpdatePolicyAsync(chain.Owner, chain.Controller, null, ["control:key:rotate"]);
        await control.RefusesAsync(Reason.ImportRollbackRefused, () => control.ImportAsync(chain.Owner, exported));
        var newer = await control.ExportAsync(chain.Owner, chain.Controller);
        await control.ImportAsync(chain.Owner, newer);

        await control.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, await control.BoundAsync(), chain.Controller);
        var again = await control.BoundAsync();
        await control.RegisterAgentAsync(chain.Owner, chain.Controller, again);
        var onlyOne = await control.ExportAsync(chain.Owner, chain.Controller, agent: again);
        Assert.Single(JsonDocument.Parse(onlyOne.BundleJson.ToByteArray()).RootElement.GetProperty("payload").GetProperty("agent_bindings").EnumerateArray());

        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        await control.ConfirmTransferAsync(target, chain.Controller);
        await control.RefusesAsync(Reason.ImportControllerConflict, () => control.ImportAsync(chain.Owner, onlyOne));
    }

    [Fact]
    public async Task A_bundle_that_holds_a_rotated_agent_does_not_bring_it_back()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync();
        var exported = await control.ExportAsync(chain.Owner, chain.Controller);
        await control.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, await control.BoundAsync(), chain.Controller);
        await control.RefusesAsync(Reason.ImportRollbackRefused, () => control.ImportAsync(chain.Owner, exported));
    }

    [Fact]
    public async Task A_name_that_leads_elsewhere_here_is_a_conflict()
    {
        await using var here = await ControlFixture.StartAsync();
        await using var there = await ControlFixture.StartAsync();
        var chain = await here.ChainAsync();
        var (to, elsewhere) = (await here.BoundAsync(), Party.New());
        await here.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, to);
        var exported = await here.ExportAsync(chain.Owner, to);

        foreach (var party in (Party[])[chain.Owner, chain.Controller, elsewhere]) await there.BindAsync(party);
        await there.RegisterAsync(chain.Owner, chain.Controller);
        await there.RefusesAsync(Reason.ImportAliasConflict, () => there.ImportAsync(chain.Owner, exported));      // in use there
        await there.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, elsewhere);
        await there.RefusesAsync(Reason.ImportAliasConflict, () => there.ImportAsync(chain.Owner, exported));      // became another one there
    }

    [Theory]
    [InlineData(RotationRole.Controller)]
    [InlineData(RotationRole.Agent)]
    public async Task What_is_blocked_or_dead_under_a_former_name_is_not_carried_past_it_by_a_bundle(RotationRole role)
    {
        await using var here = await ControlFixture.StartAsync();
        await using var there = await ControlFixture.StartAsync();
        var (chain, to) = (await here.ChainAsync(), await here.BoundAsync());
        var (former, controller) = role == RotationRole.Controller ? (chain.Controller, to) : (chain.Agent, chain.Controller);
        await here.RotateAsync(role, chain.Owner, former, to, role == RotationRole.Agent ? chain.Controller : null);
        var exported = await here.ExportAsync(chain.Owner, controller);

        await there.BindAsync(chain.Owner);
        var kind = role == RotationRole.Controller ? Protos.Types.V1.GroupKind.Controller : Protos.Types.V1.GroupKind.Agent;
        var group = new Protos.Revocation.V1.Group { Kind = kind, Value = former.Did };
        await there.Revocation.BlockGroupAsync(new() { Group = group });
        await there.RefusesAsync(Reason.GroupBlocked, () => there.ImportAsync(chain.Owner, exported));
        var cut = (await there.Revocation.LiftBlockAsync(new() { Group = group })).Block.Cut.Seconds;
        await there.ImportAsync(chain.Owner, exported);
        var carried = Convert.ToHexString(GroupKey.Of((RevocationKind)kind, "", to.Did).Hash);
        Assert.Equal(cut, await there.ScalarAsync<long>($"SELECT cut FROM ledger.blocked_groups WHERE group_key = decode('{carried}', 'hex')"));
    }

    [Fact]
    public async Task A_bundle_holds_the_names_of_its_controller_and_of_no_other_of_the_owner_s()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, second, renamed) = (await control.ChainAsync(), await control.BoundAsync(), await control.BoundAsync());
        await control.RegisterAsync(chain.Owner, second);
        await control.RotateAsync(RotationRole.Controller, chain.Owner, second, renamed);
        Assert.DoesNotContain(renamed.Did, (await control.ExportAsync(chain.Owner, chain.Controller)).BundleJson.ToStringUtf8(), StringComparison.Ordinal);
        Assert.Contains(second.Did, (await control.ExportAsync(chain.Owner, renamed)).BundleJson.ToStringUtf8(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_issuers_that_were_configured_are_believed()
    {
        var foreignSeed = Base64UrlText.Encode([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 23))]);
        await using var foreign = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["SCOPE_SIGNING_KEY"] = foreignSeed });
        await using var strict = await ControlFixture.StartAsync();
        await using var trusting = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_IMPORT_PUBLIC_KEYS_JSON"] = """["fjDhMgb8f7hMQiOevSW-p5nVYN5eup_8YSOrnyDSR40"]""" });
        var chain = await foreign.ChainAsync();
        var exported = await foreign.ExportAsync(chain.Owner, chain.Controller);
        await strict.BindAsync(chain.Owner);
        await trusting.BindAsync(chain.Owner);
        await strict.RefusesAsync(Reason.ImportBundleSignatureInvalid, () => strict.ImportAsync(chain.Owner, exported));
        Assert.False((await trusting.ImportAsync(chain.Owner, exported)).AlreadyImported);
    }

    [Fact]
    public async Task Without_a_shared_key_there_are_no_version_1_bundles()
    {
        await using var with = await ControlFixture.StartAsync();
        await using var without = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_EXPORT_SIGNING_KEY"] = null });
        var (chain, other) = (await without.ChainAsync(), await with.ChainAsync());
        await without.RefusesAsync(Reason.ExportSigningNotConfigured, () => without.ExportAsync(chain.Owner, chain.Controller, BundleVersion.Hmac));
        var exported = await with.ExportAsync(other.Owner, other.Controller, BundleVersion.Hmac);
        await without.BindAsync(other.Owner);
        await without.RefusesAsync(Reason.ExportSigningNotConfigured, () => without.ImportAsync(other.Owner, exported));
    }
}
