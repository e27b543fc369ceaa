using ClawBureau.Protos.Control.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.ControlPlane.Tests;

public sealed class CanonicalTests
{
    [Fact]
    public async Task A_canonical_token_names_its_chain_and_pins_the_controller_s_policy()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync("control:token:revoke");
        var issued = await control.IssueAsync(chain, "control:token:revoke", "clawproxy:call");
        var claims = TokenParser.Parse(issued.Token).Claims;
        Assert.Equal((Tokens.TokenLane.Canonical, chain.Owner.Did, chain.Controller.Did, chain.Agent.Did, chain.Agent.Did),
            (claims.Lane, claims.OwnerDid.ToString(), claims.ControllerDid.ToString(), claims.AgentDid.ToString(), claims.Sub));
        var read = await control.ReadChainAsync(chain.Controller, chain.Agent);
        Assert.Equal(read.Controller.Policy.PolicyHashB64U, claims.ControlPlanePolicyHash.ToString());
        Assert.True(await control.IsActiveAsync(issued.Token));

        var pinned = ControlFixture.Canonical(chain.Owner, chain.Controller, chain.Agent);
        pinned.ControlPlanePolicyHashB64U = read.Controller.Policy.PolicyHashB64U;
        await control.Issuance.IssueTokenAsync(pinned);
    }

    public static TheoryData<string, Reason> Refused => new()
    {
        { "unknown controller", Reason.ControlChainNotFound },
        { "unknown agent", Reason.ControlChainNotFound },
        { "another owner", Reason.ControlChainOwnerMismatch },
        { "agent not the subject", Reason.CanonicalAgentSubMismatch },
        { "no owner", Reason.CanonicalChainRequired },
        { "scope beyond the policy", Reason.SensitiveScopeNotAllowed },
        { "wildcard beyond the policy", Reason.ScopeWildcardNotAllowed },
        { "another policy pinned", Reason.ControlPolicyHashMismatch },
        { "delegate not the subject", Reason.DelegateDidSubMismatch },
        { "delegator not the owner", Reason.DelegatorOwnerMismatch },
        { "delegation ended", Reason.DelegationExpiryExceeded },
        { "longer than the delegation", Reason.DelegationExpiryExceeded },
        { "delegation that does not say canonical", Reason.DelegationCanonicalRequired },
        { "delegation in the legacy lane", Reason.DelegationCanonicalRequired },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task What_the_chain_does_not_allow_is_refused(string what, Reason reason)
    {
        var (control, chain) = await Shared.Value;
        var request = ControlFixture.Canonical(chain.Owner, chain.Controller, chain.Agent);
        var inAMinute = DateTimeOffset.UtcNow.AddMinutes(1).ToUnixTimeSeconds();
        switch (what)
        {
            case "unknown controller": request.ControllerDid = chain.Agent.Did; break;
            case "unknown agent": request.Sub = chain.Owner.Did; break;
            case "another owner": request.OwnerDid = chain.Agent.Did; break;
            case "agent not the subject": request.AgentDid = chain.Owner.Did; break;
            case "no owner": request.OwnerDid = ""; break;
            case "scope beyond the policy": request.Scope.Add("control:audit:read"); break;
            case "wildcard beyond the policy": request.Scope.Add("control:*"); break;
            case "another policy pinned": request.ControlPlanePolicyHashB64U = new string('a', 43); break;
            case "delegate not the subject": request.Delegation = new() { DelegateDid = chain.Owner.Did }; break;
            case "delegator not the owner": request.Delegation = new() { DelegatorDid = chain.Agent.Did }; break;
            case "delegation ended": request.Delegation = new() { ExpiresAt = new Timestamp { Seconds = inAMinute - 120 } }; break;
            case "longer than the delegation":
                (request.Delegation, request.Ttl) = (new() { ExpiresAt = new Timestamp { Seconds = inAMinute } }, Duration.FromTimeSpan(TimeSpan.FromMinutes(5)));
                break;
            case "delegation that does not say canonical": (request.Delegation, request.StatedLane) = (new() { DelegationId = "dlg_1" }, "legacy"); break;
            case "delegation in the legacy lane": (request.Delegation, request.Lane) = (new() { DelegationId = "dlg_1" }, Protos.Types.V1.TokenLane.Legacy); break;
        }
        await control.RefusesAsync(reason, () => control.Issuance.IssueTokenAsync(request).ResponseAsync);
    }

    [Fact]
    public async Task A_delegated_token_ends_with_its_delegation()
    {
        var (control, chain) = await Shared.Value;
        var end = DateTimeOffset.UtcNow.AddMinutes(2).ToUnixTimeSeconds();
        var request = ControlFixture.Canonical(chain.Owner, chain.Controller, chain.Agent);
        request.Delegation = new() { DelegationId = "dlg_1", DelegatorDid = chain.Owner.Did, DelegateDid = chain.Agent.Did, ExpiresAt = new Timestamp { Seconds = end } };
        Assert.Equal(end, (await control.Issuance.IssueTokenAsync(request)).ExpiresAt.Seconds);
    }

    [Fact]
    public async Task A_former_DID_is_not_issued_to_and_the_new_one_is()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync();
        var agent = await control.BoundAsync();
        await control.RotateAsync(RotationRole.Agent, chain.Owner, chain.Agent, agent, chain.Controller);
        await control.RefusesAsync(Reason.ControlChainContextMismatch, () => control.IssueAsync(chain));
        await control.IssueAsync(chain with { Agent = agent });
        var controller = await control.BoundAsync();
        await control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, controller);
        await control.RefusesAsync(Reason.ControlChainContextMismatch, () => control.IssueAsync(chain with { Agent = agent }));
        await control.IssueAsync(new(chain.Owner, controller, agent));
    }

    [Fact]
    public async Task A_frozen_controller_mints_nothing_until_it_is_thawed()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
        await control.IssueAsync(chain);
        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.IssueAsync(chain));
        await control.CancelTransferAsync(chain.Owner, chain.Controller);
        await control.IssueAsync(chain);

        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        await control.ScalarAsync<string>("UPDATE control.controllers SET transfer_expires_at = now() - interval '1 second' RETURNING controller_did");
        await control.IssueAsync(chain);        // the deadline thaws it, though nothing was recorded
    }

    [Fact]
    public async Task A_transfer_takes_the_former_owner_s_tokens_and_no_others()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, other, target) = (await control.ChainAsync(), await control.ChainAsync(), await control.BoundAsync());
        var controller = await control.BoundAsync();
        var beforeRotation = await control.IssueAsync(chain);
        await control.RotateAsync(RotationRole.Controller, chain.Owner, chain.Controller, controller);
        var mine = await control.IssueAsync(chain with { Controller = controller });
        var theirs = await control.IssueAsync(other);
        await control.RequestTransferAsync(chain.Owner, controller, target);
        var revision = (await control.ConfirmTransferAsync(target, controller)).Act.Revision;
        Assert.True(revision.RevocationSeq >= 2);       // a cut for each name the controller has had

        Assert.False(await control.IsActiveAsync(mine.Token));
        Assert.False(await control.IsActiveAsync(beforeRotation.Token));
        Assert.True(await control.IsActiveAsync(theirs.Token));
        await control.RefusesAsync(Reason.ControlChainOwnerMismatch, () => control.IssueAsync(chain with { Controller = controller }));
        var fresh = await control.IssueAsync(new(target, controller, chain.Agent));
        Assert.True(await control.IsActiveAsync(fresh.Token));

        // And back: what was dead stays dead, what is new lives.
        await control.RequestTransferAsync(target, controller, chain.Owner);
        await control.ConfirmTransferAsync(chain.Owner, controller);
        var back = await control.IssueAsync(chain with { Controller = controller });
        Assert.True(await control.IsActiveAsync(back.Token));
        Assert.False(await control.IsActiveAsync(mine.Token));
        Assert.False(await control.IsActiveAsync(fresh.Token));
        Assert.Equal(await control.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head"), await control.ScalarAsync<long>("SELECT count(*) FROM ledger.revocations"));
        Assert.Equal(await control.ScalarAsync<long>("SELECT seq FROM ledger.head"), await control.ScalarAsync<long>("SELECT count(*) FROM ledger.events"));
    }

    [Fact]
    public async Task A_revoked_binding_takes_the_tokens_of_its_DID_in_every_role()
    {
        await using var control = await ControlFixture.StartAsync();
        foreach (var who in (Func<ChainOf, Party>[])[c => c.Owner, c => c.Controller, c => c.Agent])
        {
            var (chain, other) = (await control.ChainAsync(), await control.ChainAsync());
            var (token, another) = (await control.IssueAsync(chain), await control.IssueAsync(other));
            await control.RevokeBindingAsync(who(chain));
            Assert.False(await control.IsActiveAsync(token.Token));
            Assert.True(await control.IsActiveAsync(another.Token));
            await control.RefusesAsync(Reason.ControlChainInactive, () => control.IssueAsync(chain));
        }
    }

    [Fact]
    public async Task No_mint_gets_past_a_freeze_that_was_answered()
    {
        await using var control = await ControlFixture.StartAsync();
        await using var second = await ControlFixture.StartIssuerAsync(control.Database);
        var elsewhere = new IssuanceService.IssuanceServiceClient(second.Channel().Calls);
        for (int round = 0; round < 5; round++)
        {
            var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
            var request = ControlFixture.Canonical(chain.Owner, chain.Controller, chain.Agent);
            await elsewhere.IssueTokenAsync(request);           // its Issuer keeps the chain
            long frozenAt = 0;
            using var answered = new ManualResetEventSlim();
            var minting = Enumerable.Range(0, 4).Select(i => Task.Run(async () =>
            {
                var client = i % 2 == 0 ? control.Issuance : elsewhere;
                var minted = new List<long>();
                while (true)
                {
                    bool late = answered.IsSet;
                    if (await Outcomes.OfAsync(async () => minted.Add((await client.IssueTokenAsync(request)).Seq)) is { } reason)
                    {
                        Assert.Equal(Reason.ControllerTransferFrozen, reason);
                        return minted;
                    }
                    Assert.False(late, "minted after the freeze was answered");
                }
            })).ToList();
            frozenAt = (await control.RequestTransferAsync(chain.Owner, chain.Controller, target)).Act.Revision.Seq;
            answered.Set();
            foreach (var minted in await Task.WhenAll(minting)) Assert.All(minted, seq => Assert.True(seq < frozenAt));
        }
    }

    [Fact]
    public async Task A_retry_under_its_key_gets_the_same_canonical_token()
    {
        var (control, chain) = await Shared.Value;
        var request = ControlFixture.Canonical(chain.Owner, chain.Controller, chain.Agent);
        request.IdempotencyKey = "canonical-once";
        var first = await control.Issuance.IssueTokenAsync(request);
        Assert.Equal((first.Token, true), (await control.Issuance.IssueTokenAsync(request)) is var again ? (again.Token, again.Repeated) : default);
    }

    private static readonly Lazy<Task<(ControlFixture, ChainOf)>> Shared = new(async () =>
    {
        var control = await ControlFixture.StartAsync();
        return (control, await control.ChainAsync());
    });
}
