using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.ControlPlane.Tests;

public sealed class RotationTests
{
    [Fact]
    public async Task A_rotated_controller_is_found_by_both_names_with_its_agents()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, to) = (await control.ChainAsync("control:token:revoke"), await control.BoundAsync());
        var challenge = await control.ChallengeAsync(ControlPurpose.ConfirmRotation, chain.Owner, also: r => (r.RotationRole, r.FromDid, r.ToDid) = (RotationRole.Controller, chain.Controller.Did, to.Did));
        Assert.Equal($"clawclaim:confirm_rotation:v1:{challenge.ChallengeId}:{chain.Owner}:-:-:rotation_role=controller|from_did={chain.Controller}|to_did={to}:{challenge.Nonce}:{challenge.ExpiresAt.Seconds}", challenge.Message);

        var rotated = await control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, to);
        Assert.Equal((chain.Controller.Did, to.Did, true, RotationRole.Controller), (rotated.Alias.FromDid, rotated.Alias.ToDid, rotated.Alias.Active, rotated.Alias.Role));
        foreach (var name in (Party[])[chain.Controller, to])
        {
            var read = await control.ReadChainAsync(name, chain.Agent);
            Assert.Equal((to.Did, chain.Agent.Did, true, name.Did), (read.ResolvedControllerDid, read.ResolvedAgentDid, read.Active, read.RequestedControllerDid));
            Assert.Equal(name == to ? 0 : 1, read.ControllerAliases.Count);
            Assert.Equal((chain.Controller.Did, "control:token:revoke"), (read.Controller.RotatedFromDid, read.Controller.Policy.AllowedSensitiveScopes.Single()));
        }
        // The former name serves, for mutations too.
        await control.RegisterAgentAsync(chain.Owner, chain.Controller, await control.BoundAsync());
        Assert.Equal(2, (await control.Controllers.ListAgentsAsync(new() { ControllerDid = chain.Controller.Did })).Bindings.Count);
    }

    [Fact]
    public async Task Agents_rotate_within_their_controller_and_their_names_go_with_it()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync();
        var (agent, controller) = (await control.BoundAsync(), await control.BoundAsync());
        var rotated = await control.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, agent, chain.Controller);
        Assert.Equal((chain.Controller.Did, false), (rotated.Alias.ControllerDid, rotated.AlreadyConfirmed));
        await control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, controller);
        var read = await control.ReadChainAsync(chain.Controller, chain.Agent);
        Assert.Equal((controller.Did, agent.Did, true), (read.ResolvedControllerDid, read.ResolvedAgentDid, read.Active));
        Assert.Equal(chain.Agent.Did, Assert.Single(read.AgentAliases).FromDid);
    }

    [Fact]
    public async Task Nobody_moves_somebody_else_s_agent()
    {
        await using var control = await ControlFixture.StartAsync();
        var (victim, attacker) = (await control.ChainAsync(), await control.ChainAsync());
        await control.RegisterAgentAsync(attacker.Owner, attacker.Controller, victim.Agent);
        var to = await control.BoundAsync();
        await control.RotateAsync(RotationRole.Agent, attacker.Owner, victim.Agent, to, attacker.Controller);
        var read = await control.ReadChainAsync(victim.Controller, victim.Agent);
        Assert.Equal((victim.Agent.Did, true), (read.ResolvedAgentDid, read.Active));
        await control.IssueAsync(victim);
    }

    [Fact]
    public async Task A_rotation_repeats_and_conflicts_as_the_contract_says()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, to, other) = (await control.ChainAsync(), await control.BoundAsync(), await control.BoundAsync());
        var challenge = await control.ChallengeAsync(ControlPurpose.ConfirmRotation, chain.Owner, also: r => (r.RotationRole, r.FromDid, r.ToDid) = (RotationRole.Controller, chain.Controller.Did, to.Did));
        var elsewhere = await control.ChallengeAsync(ControlPurpose.ConfirmRotation, chain.Owner, also: r => (r.RotationRole, r.FromDid, r.ToDid) = (RotationRole.Controller, chain.Controller.Did, other.Did));
        ConfirmRotationRequest Request(CreateControlChallengeResponse signed, Party target) => new()
        {
            OwnerDid = chain.Owner.Did,
            RotationRole = RotationRole.Controller,
            FromDid = chain.Controller.Did,
            ToDid = target.Did,
            ChallengeId = signed.ChallengeId,
            SignatureB64U = chain.Owner.Sign(signed.Message),
        };
        Assert.False((await control.Controllers.ConfirmRotationAsync(Request(challenge, to))).AlreadyConfirmed);
        Assert.True((await control.Controllers.ConfirmRotationAsync(Request(challenge, to))).AlreadyConfirmed);
        await control.RefusesAsync(Reason.RotationConflict, () => control.Controllers.ConfirmRotationAsync(Request(elsewhere, other)).ResponseAsync);
        await control.RefusesAsync(Reason.ChallengeContextMismatch, () => control.Controllers.ConfirmRotationAsync(Request(elsewhere, to)).ResponseAsync);
        // A DID that is a controller or an agent already is no target.
        var second = await control.ChainAsync();
        await control.RefusesAsync(Reason.RotationTargetConflict, () => control.RotateAsync(RotationRole.Controller, chain.Owner, to, second.Controller));
    }

    [Fact]
    public async Task What_is_dead_under_the_old_DID_stays_dead_under_the_new_one()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, to) = (await control.ChainAsync(), await control.BoundAsync());
        var key = GroupKey.Of(RevocationKind.Controller, "", chain.Controller.Did);
        await control.ScalarAsync<long>($"""
            INSERT INTO ledger.blocked_groups VALUES (4, decode('{Convert.ToHexString(key.Hash)}', 'hex'), false, 1700000000, 0, 0, now()) RETURNING cut
            """);
        await control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, to);
        var carried = Convert.ToHexString(GroupKey.Of(RevocationKind.Controller, "", to.Did).Hash);
        Assert.Equal(1700000000, await control.ScalarAsync<long>($"SELECT cut FROM ledger.blocked_groups WHERE group_key = decode('{carried}', 'hex')"));
        Assert.Equal(1, await control.ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 31"));
    }

    [Theory]
    [InlineData(RevocationKind.Controller, "controller")]
    [InlineData(RevocationKind.Owner, "owner")]
    [InlineData(RevocationKind.Agent, "to")]
    public async Task While_a_DID_of_the_chain_is_blocked_it_is_not_rotated(RevocationKind kind, string whom)
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, to) = (await control.ChainAsync(), await control.BoundAsync());
        var did = (whom switch { "controller" => chain.Controller, "owner" => chain.Owner, _ => to }).Did;
        var key = Convert.ToHexString(GroupKey.Of(kind, "", did).Hash);
        await control.ScalarAsync<long>($"INSERT INTO ledger.blocked_groups VALUES ({(short)kind}, decode('{key}', 'hex'), true, 0, 0, 0, now()) RETURNING cut");
        await control.RefusesAsync(Reason.GroupBlocked, () => control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, to));
    }

    [Fact]
    public async Task Of_a_rotation_and_a_transfer_at_once_neither_loses_the_controller()
    {
        await using var control = await ControlFixture.StartAsync();
        await using var second = await ControlFixture.StartIssuerAsync(control.Database);
        var elsewhere = new ControllerService.ControllerServiceClient(second.Channel(null).Calls);
        for (int round = 0; round < 5; round++)
        {
            var (chain, to, target) = (await control.ChainAsync(), await control.BoundAsync(), await control.BoundAsync());
            var rotate = await control.ChallengeAsync(ControlPurpose.ConfirmRotation, chain.Owner, also: r => (r.RotationRole, r.FromDid, r.ToDid) = (RotationRole.Controller, chain.Controller.Did, to.Did));
            var request = await control.ChallengeAsync(ControlPurpose.TransferControllerRequest, chain.Owner, chain.Controller, also: r => r.TransferToOwnerDid = target.Did);
            var answers = await Task.WhenAll(
                Outcomes.OfAsync(() => control.Controllers.ConfirmRotationAsync(new()
                {
                    OwnerDid = chain.Owner.Did,
                    RotationRole = RotationRole.Controller,
                    FromDid = chain.Controller.Did,
                    ToDid = to.Did,
                    ChallengeId = rotate.ChallengeId,
                    SignatureB64U = chain.Owner.Sign(rotate.Message),
                }).ResponseAsync),
                Outcomes.OfAsync(() => elsewhere.RequestTransferAsync(new()
                {
                    OwnerDid = chain.Owner.Did,
                    ControllerDid = chain.Controller.Did,
                    TransferToOwnerDid = target.Did,
                    ChallengeId = request.ChallengeId,
                    SignatureB64U = chain.Owner.Sign(request.Message),
                }).ResponseAsync));
            // Whoever was first wins: a frozen controller does not rotate, and a rotated one is another than was signed for.
            Assert.Single(answers, answer => answer is null);
            Assert.Contains(answers[0] ?? answers[1], (Reason?[])[Reason.ControllerTransferFrozen, Reason.ChallengeContextMismatch]);
            Assert.Equal(1, await control.ScalarAsync<long>($"SELECT count(*) FROM control.controllers WHERE owner_did = '{chain.Owner}' AND active"));
        }
    }

    [Fact]
    public async Task An_agent_registered_again_under_its_former_did_is_itself_again_and_its_owner_s_export_is_taken()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, next) = (await control.ChainAsync(), await control.BoundAsync());
        await control.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, next, chain.Controller);
        Assert.Equal(next.Did, (await control.ReadChainAsync(chain.Controller, chain.Agent)).ResolvedAgentDid);

        await control.RegisterAgentAsync(chain.Owner, chain.Controller, chain.Agent);
        var read = await control.ReadChainAsync(chain.Controller, chain.Agent);
        Assert.Equal((chain.Agent.Did, true, 0), (read.ResolvedAgentDid, read.Active, read.AgentAliases.Count));
        Assert.True(await control.IsActiveAsync((await control.IssueAsync(chain)).Token));
        Assert.False((await control.ImportAsync(chain.Owner, await control.ExportAsync(chain.Owner, chain.Controller))).AlreadyImported);
    }
}
