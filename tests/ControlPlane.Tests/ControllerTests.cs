using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;

namespace ClawBureau.ControlPlane.Tests;

public sealed class ControllerTests
{
    [Fact]
    public async Task A_controller_an_agent_and_their_chain_are_registered_and_read()
    {
        await using var control = await ControlFixture.StartAsync();
        var (owner, controller, agent) = (await control.BoundAsync(), await control.BoundAsync(), await control.BoundAsync());
        var challenge = await control.ChallengeAsync(ControlPurpose.RegisterController, owner, controller, also: r => r.ContextParts.AddRange([" one ", "two"]));
        Assert.Equal($"clawclaim:register_controller:v1:{challenge.ChallengeId}:{owner}:{controller}:-:one|two:{challenge.Nonce}:{challenge.ExpiresAt.Seconds}", challenge.Message);

        var registered = await control.RegisterAsync(owner, controller);
        Assert.False(registered.AlreadyRegistered);
        Assert.Equal((owner.Did, true, TransferState.Active, false), (registered.Controller.OwnerDid, registered.Controller.Active, registered.Controller.TransferState, registered.Controller.Consented));
        Assert.Equal(Tokens.SensitivePolicy.DefaultScopes, registered.Controller.Policy.AllowedSensitiveScopes);
        Assert.True((await control.RegisterAsync(owner, controller)).AlreadyRegistered);

        var bound = await control.RegisterAgentAsync(owner, controller, agent);
        Assert.Equal((controller.Did, agent.Did, owner.Did, registered.Controller.Policy.PolicyHashB64U),
            (bound.Binding.ControllerDid, bound.Binding.AgentDid, bound.Binding.OwnerDid, bound.Binding.PolicyHashB64U));
        Assert.Matches("^events:control-plane:[0-9]{10}:agent-register:" + owner.Did + ":[0-9a-f-]{36}$", bound.Act.EventKey);
        Assert.True((await control.RegisterAgentAsync(owner, controller, agent)).AlreadyRegistered);

        var chain = await control.ReadChainAsync(controller, agent);
        Assert.Equal((owner.Did, controller.Did, agent.Did, true), (chain.OwnerDid, chain.ResolvedControllerDid, chain.ResolvedAgentDid, chain.Active));
        Assert.Equal(bound.Act.Revision.Seq, chain.Revision.Seq);
        Assert.Equal((bound.Act.Revision.Seq, registered.Act.Revision.Seq), (chain.AgentBinding.Seq, chain.Controller.Seq));

        var read = await control.Controllers.GetControllerAsync(new() { ControllerDid = controller.Did });
        Assert.Equal(chain.Controller, read.Controller);
        await control.RefusesAsync(Reason.ControllerNotFound, () => control.ReadChainAsync(agent, agent));
        await control.RefusesAsync(Reason.ControllerAgentNotFound, () => control.ReadChainAsync(controller, owner));
    }

    [Fact]
    public async Task A_chain_is_active_while_all_three_bindings_are()
    {
        await using var control = await ControlFixture.StartAsync();
        foreach (var who in (Func<ChainOf, Party>[])[c => c.Owner, c => c.Controller, c => c.Agent])
        {
            var chain = await control.ChainAsync();
            Assert.True((await control.ReadChainAsync(chain.Controller, chain.Agent)).Active);
            await control.RevokeBindingAsync(who(chain));
            Assert.False((await control.ReadChainAsync(chain.Controller, chain.Agent)).Active);
        }
    }

    [Fact]
    public async Task Agents_are_listed_page_by_page()
    {
        await using var control = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["CLAIM_AGENTS_PER_CONTROLLER"] = "5" });
        var chain = await control.ChainAsync();
        var all = new List<string> { chain.Agent.Did };
        for (int i = 0; i < 4; i++)
        {
            var agent = await control.BoundAsync();
            await control.RegisterAgentAsync(chain.Owner, chain.Controller, agent);
            all.Add(agent.Did);
        }
        var one = await control.BoundAsync();
        await control.RefusesAsync(Reason.ControllerAgentLimitReached, () => control.RegisterAgentAsync(chain.Owner, chain.Controller, one));

        var listed = new List<string>();
        string token = "";
        do
        {
            var page = await control.Controllers.ListAgentsAsync(new() { ControllerDid = chain.Controller.Did, PageSize = 2, PageToken = token });
            Assert.InRange(page.Bindings.Count, 1, 2);
            listed.AddRange(page.Bindings.Select(b => b.AgentDid));
            token = page.NextPageToken;
        }
        while (token.Length > 0);
        Assert.Equal(all.Order(StringComparer.Ordinal), listed.Order(StringComparer.Ordinal));
        Assert.Equal(all.Count, listed.Count);

        await control.RefusesAsync(Reason.PageTokenInvalid, () => control.Controllers.ListAgentsAsync(new() { ControllerDid = chain.Controller.Did, PageToken = "garbage" }).ResponseAsync);
        await control.RefusesAsync(Reason.InvalidRequest, () => control.Controllers.ListAgentsAsync(new() { ControllerDid = chain.Controller.Did, PageSize = 201 }).ResponseAsync);
        await control.RefusesAsync(Reason.ControllerNotFound, () => control.Controllers.ListAgentsAsync(new() { ControllerDid = chain.Agent.Did }).ResponseAsync);
    }

    public static TheoryData<string, Reason> RefusedChallenges => new()
    {
        { "no owner", Reason.InvalidRequest },
        { "no purpose", Reason.InvalidRequest },
        { "no controller", Reason.InvalidRequest },
        { "unbound owner", Reason.OwnerBindingRequired },
        { "unknown controller", Reason.ControllerNotFound },
        { "another's controller", Reason.ControllerOwnerMismatch },
        { "nine parts", Reason.InvalidContextParts },
        { "blank part", Reason.InvalidContextParts },
        { "long part", Reason.InvalidContextParts },
        { "bad scopes", Reason.InvalidSensitivePolicy },
        { "no target", Reason.InvalidRequest },
        { "unbound target", Reason.TransferTargetBindingRequired },
        { "nothing pending", Reason.TransferNotPending },
        { "rotation without role", Reason.InvalidRequest },
        { "rotation to an unbound DID", Reason.RotationTargetBindingRequired },
        { "rotation of an unknown agent", Reason.ControllerAgentNotFound },
        { "rotation of an unknown controller", Reason.ControllerNotFound },
        { "import without a hash", Reason.InvalidRequest },
        { "export of an unknown agent", Reason.ControllerAgentNotFound },
    };

    [Theory]
    [MemberData(nameof(RefusedChallenges))]
    public async Task Who_could_not_use_a_challenge_does_not_get_it(string what, Reason reason)
    {
        var (control, chain) = await Shared.Value;
        var request = new CreateControlChallengeRequest { OwnerDid = chain.Owner.Did, ControllerDid = chain.Controller.Did, AgentDid = chain.Agent.Did, Purpose = ControlPurpose.RegisterAgent };
        switch (what)
        {
            case "no owner": request.OwnerDid = ""; break;
            case "no purpose": request.Purpose = ControlPurpose.Unspecified; break;
            case "no controller": request.ControllerDid = ""; break;
            case "unbound owner": request.OwnerDid = Party.New().Did; break;
            case "unknown controller": request.ControllerDid = Party.New().Did; break;
            case "another's controller": request.OwnerDid = (await control.BoundAsync()).Did; break;
            case "nine parts": request.ContextParts.AddRange(Enumerable.Repeat("part", 9)); break;
            case "blank part": request.ContextParts.Add(" "); break;
            case "long part": request.ContextParts.Add(new string('x', 257)); break;
            case "bad scopes": (request.Purpose, request.AllowedSensitiveScopes) = (ControlPurpose.UpdateSensitivePolicy, new() { Scopes = { "proxy:call" } }); break;
            case "no target": request.Purpose = ControlPurpose.TransferControllerRequest; break;
            case "unbound target": (request.Purpose, request.TransferToOwnerDid) = (ControlPurpose.TransferControllerRequest, Party.New().Did); break;
            case "nothing pending": (request.Purpose, request.TransferToOwnerDid) = (ControlPurpose.TransferControllerConfirm, chain.Owner.Did); break;
            case "rotation without role": (request.Purpose, request.FromDid, request.ToDid) = (ControlPurpose.ConfirmRotation, chain.Agent.Did, chain.Owner.Did); break;
            case "rotation to an unbound DID": Rotate(RotationRole.Agent, chain.Agent.Did, Party.New().Did); break;
            case "rotation of an unknown agent": Rotate(RotationRole.Agent, chain.Owner.Did, chain.Controller.Did); break;
            case "rotation of an unknown controller": Rotate(RotationRole.Controller, chain.Agent.Did, chain.Owner.Did); break;
            case "import without a hash": request.Purpose = ControlPurpose.ImportIdentity; break;
            case "export of an unknown agent": (request.Purpose, request.AgentDid) = (ControlPurpose.ExportIdentity, chain.Owner.Did); break;
        }
        await control.RefusesAsync(reason, () => control.Controllers.CreateControlChallengeAsync(request).ResponseAsync);

        void Rotate(RotationRole role, string from, string to) => (request.Purpose, request.RotationRole, request.FromDid, request.ToDid) = (ControlPurpose.ConfirmRotation, role, from, to);
    }

    [Fact]
    public async Task A_controller_of_another_owner_is_not_registered_twice()
    {
        var (control, chain) = await Shared.Value;
        var other = await control.BoundAsync();
        await control.RefusesAsync(Reason.ControllerOwnerMismatch, () => control.RegisterAsync(other, chain.Controller));
        await control.RefusesAsync(Reason.ControllerBindingRequired, () => control.RegisterAsync(other, Party.New()));
        await control.RefusesAsync(Reason.AgentBindingRequired, () => control.RegisterAgentAsync(chain.Owner, chain.Controller, Party.New()));
        var fresh = await control.BoundAsync();
        await control.RefusesAsync(Reason.InvalidSensitivePolicy, () => control.RegisterAsync(other, fresh, ["proxy:call"]));
    }

    [Fact]
    public async Task A_challenge_serves_only_what_it_was_made_for()
    {
        var (control, chain) = await Shared.Value;
        var (another, stranger) = (await control.BoundAsync(), await control.BoundAsync());
        var challenge = await control.ChallengeAsync(ControlPurpose.RegisterAgent, chain.Owner, chain.Controller, another);
        RegisterAgentRequest Request() => new()
        {
            OwnerDid = chain.Owner.Did,
            ControllerDid = chain.Controller.Did,
            AgentDid = another.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = chain.Owner.Sign(challenge.Message),
        };
        var (wrongAgent, wrongOwner, wrongSigner, wrongPurpose) = (Request(), Request(), Request(), Request());
        wrongAgent.AgentDid = stranger.Did;
        wrongOwner.OwnerDid = stranger.Did;
        wrongSigner.SignatureB64U = stranger.Sign(challenge.Message);
        wrongPurpose.ChallengeId = (await control.ChallengeAsync(ControlPurpose.UpdateSensitivePolicy, chain.Owner, chain.Controller)).ChallengeId;
        await control.RefusesAsync(Reason.ChallengeContextMismatch, () => control.Controllers.RegisterAgentAsync(wrongAgent).ResponseAsync);
        await control.RefusesAsync(Reason.ChallengeContextMismatch, () => control.Controllers.RegisterAgentAsync(wrongOwner).ResponseAsync);
        await control.RefusesAsync(Reason.SignatureInvalid, () => control.Controllers.RegisterAgentAsync(wrongSigner).ResponseAsync);
        await control.RefusesAsync(Reason.ChallengePurposeMismatch, () => control.Controllers.RegisterAgentAsync(wrongPurpose).ResponseAsync);

        var registered = await control.Controllers.RegisterAgentAsync(Request());
        Assert.False(registered.AlreadyRegistered);
        Assert.True((await control.Controllers.RegisterAgentAsync(Request())).AlreadyRegistered);        // a retry whose answer was lost
    }

    [Fact]
    public async Task The_holder_of_a_DID_displaces_who_only_claims_it()
    {
        await using var control = await ControlFixture.StartAsync();
        var (attacker, victim, controller, agent) = (await control.BoundAsync(), await control.BoundAsync(), await control.BoundAsync(), await control.BoundAsync());
        await control.RegisterAsync(attacker, controller);
        await control.RegisterAgentAsync(attacker, controller, agent);
        await control.RefusesAsync(Reason.ControllerOwnerMismatch, () => control.RegisterAsync(victim, controller));

        var displaced = await control.RegisterAsync(victim, controller, consent: true);
        Assert.Equal((victim.Did, true, false), (displaced.Controller.OwnerDid, displaced.Controller.Consented, displaced.AlreadyRegistered));
        Assert.False((await control.ReadChainAsync(controller, agent)).Active);
        // And nobody displaces the holder.
        await control.RefusesAsync(Reason.ControllerOwnerMismatch, () => control.RegisterAsync(attacker, controller));
        await control.RefusesAsync(Reason.ControllerOwnerMismatch, () => control.RegisterAsync(attacker, controller, consent: true));
    }

    [Fact]
    public async Task An_agent_that_agreed_to_one_owner_is_nobody_else_s()
    {
        await using var control = await ControlFixture.StartAsync();
        var (mine, theirs) = (await control.ChainAsync(), await control.ChainAsync());
        var agent = await control.BoundAsync();
        await control.RegisterAgentAsync(theirs.Owner, theirs.Controller, agent);
        Assert.True((await control.ReadChainAsync(theirs.Controller, agent)).Active);

        await control.RegisterAgentAsync(mine.Owner, mine.Controller, agent, consent: true);
        Assert.True((await control.ReadChainAsync(mine.Controller, agent)).Active);
        Assert.False((await control.ReadChainAsync(theirs.Controller, agent)).Active);
        await control.RefusesAsync(Reason.ControllerAgentOwnerMismatch, () => control.RegisterAgentAsync(theirs.Owner, theirs.Controller, agent));
    }

    [Fact]
    public async Task A_policy_is_hashed_as_the_contract_has_it()
    {
        // clawscope-http.md, vector A3.
        var policy = Tokens.SensitivePolicy.Of("did:key:z6MkfokQnyJcNqD2rQtBpiS5VirthyjFZvkj67Tp1Zku7XfJ", ["control:token:issue_sensitive", " control:key:rotate ", "control:key:rotate"]);
        Assert.Equal("jURwUTGZUfhVlhyGXjuyu-jwbTJM9_r1J7zoJ0gzD8A", policy.Hash.ToString());
        var byDefault = Tokens.SensitivePolicy.Of("did:key:zOwner", null);
        Assert.NotEqual(byDefault.Hash, Tokens.SensitivePolicy.Of("did:key:zOwner", byDefault.AllowedSensitiveScopes).Hash);

        var (control, chain) = await Shared.Value;
        var updated = await control.UpdatePolicyAsync(chain.Owner, chain.Controller, signed: null, asked: ["control:token:revoke"]);
        Assert.Equal(Tokens.SensitivePolicy.Of(chain.Owner.Did, ["control:token:revoke"]).Hash.ToString(), updated.Controller.Policy.PolicyHashB64U);
    }

    [Fact]
    public async Task A_policy_is_widened_only_by_a_signature_that_covers_it()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync("control:token:revoke", "control:key:rotate");
        string[] wide = ["control:token:revoke", "control:key:rotate", "control:audit:read"];
        await control.RefusesAsync(Reason.SensitivePolicyNotSigned, () => control.UpdatePolicyAsync(chain.Owner, chain.Controller, signed: null, asked: wide));
        await control.RefusesAsync(Reason.ChallengeContextMismatch, () => control.UpdatePolicyAsync(chain.Owner, chain.Controller, signed: wide, asked: [.. wide, "control:*"]));
        var widened = await control.UpdatePolicyAsync(chain.Owner, chain.Controller, signed: wide, asked: wide);
        Assert.Equal(wide.Order(StringComparer.Ordinal), widened.Controller.Policy.AllowedSensitiveScopes);
        var narrowed = await control.UpdatePolicyAsync(chain.Owner, chain.Controller, signed: null, asked: ["control:key:rotate"]);
        Assert.Equal(["control:key:rotate"], narrowed.Controller.Policy.AllowedSensitiveScopes);
    }

    [Fact]
    public async Task One_signature_drives_one_mutation()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync("control:token:revoke", "control:key:rotate");
        var challenge = await control.ChallengeAsync(ControlPurpose.UpdateSensitivePolicy, chain.Owner, chain.Controller);
        var answers = await Task.WhenAll(((string[])["control:token:revoke", "control:key:rotate", "control:token:revoke", "control:key:rotate"]).Select(async scope =>
        {
            try
            {
                await control.Controllers.UpdateSensitivePolicyAsync(new()
                {
                    OwnerDid = chain.Owner.Did,
                    ControllerDid = chain.Controller.Did,
                    ChallengeId = challenge.ChallengeId,
                    SignatureB64U = chain.Owner.Sign(challenge.Message),
                    AllowedSensitiveScopes = new() { Scopes = { scope } },
                });
                return Reason.Unspecified;
            }
            catch (Refusal refusal)
            {
                return refusal.Reason;
            }
        }));
        Assert.Single(answers, answer => answer == Reason.Unspecified);
        Assert.All(answers.Where(answer => answer != Reason.Unspecified), answer => Assert.Equal(Reason.ChallengeNotFound, answer));
        Assert.Equal(1, await control.ScalarAsync<long>("SELECT count(*) FROM ledger.events WHERE kind = 24"));
    }

    private static readonly Lazy<Task<(ControlFixture, ChainOf)>> Shared = new(async () =>
    {
        var control = await ControlFixture.StartAsync();
        return (control, await control.ChainAsync());
    });
}
