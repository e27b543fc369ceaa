using ClawBureau.Hosting.Health;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Issuer.Tests;

/// <summary>Groups of tokens taken back at once and lifted again; who may, and what a lift leaves.</summary>
public sealed class BlockTests
{
    private const string Owner = "did:key:zOwner", Other = "did:key:zOther", Mission = "mission-1";

    // Every kind that a token of the legacy lane can belong to, with the claim's value in Request(); the kid is the issuer's own.
    public static TheoryData<GroupKind, string> Kinds => new()
    {
        { GroupKind.Subject, "did:key:zAgent" },
        { GroupKind.Agent, "did:key:zAgent" },
        { GroupKind.Controller, "did:key:zController" },
        { GroupKind.Owner, Owner },
        { GroupKind.Mission, Mission },
        { GroupKind.KeyId, "fe2b99fd9afaa999" },
        { GroupKind.Everything, "" },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_blocked_group_mints_nothing_until_lifted_and_the_first_answers_stand(GroupKind kind, string value)
    {
        await using var issuer = await IssuerFixture.StartAsync();
        foreach (var scope in (string[])["", Owner])
        {
            var group = new Group { Kind = kind, Value = value, OwnerScope = scope };
            Assert.Equal(Reason.BlockNotFound, (await RefusedAsync(() => issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = group }))).Reason);
            var before = await issuer.Issuance.IssueTokenAsync(Request());

            var blocked = await issuer.Revocation.BlockGroupAsync(new BlockGroupRequest { Group = group, Reason = "lost" });
            var again = await issuer.Revocation.BlockGroupAsync(new BlockGroupRequest { Group = group, Reason = "another" });
            Assert.Equal((false, true), (blocked.AlreadyBlocked, again.AlreadyBlocked));
            Assert.Equal(blocked.Block, again.Block);
            Assert.True(blocked.Block.Blocked && blocked.Block.Kind == kind && blocked.Block.Cut is null);
            Assert.Equal(GroupKey.Of((RevocationKind)kind, scope, value).Hash, blocked.Block.Key.ToByteArray());
            var refusal = await RefusedAsync(() => issuer.Issuance.IssueTokenAsync(Request()));
            Assert.Equal(kind == GroupKind.Mission ? Reason.MissionBlocked : Reason.GroupBlocked, refusal.Reason);
            if (scope.Length > 0) Assert.NotEmpty((await issuer.Issuance.IssueTokenAsync(Request(owner: Other, subject: "did:key:zElse", mission: "m2"))).Token);

            var lifted = await issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = group });
            var liftedAgain = await issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = group });
            Assert.Equal((false, true), (lifted.AlreadyLifted, liftedAgain.AlreadyLifted));
            Assert.Equal(lifted.Block, liftedAgain.Block);
            Assert.True(!lifted.Block.Blocked && lifted.Block.Cut.Seconds >= before.IssuedAt.Seconds);
            Assert.True((await issuer.Issuance.IssueTokenAsync(Request())).IssuedAt.Seconds > lifted.Block.Cut.Seconds, "a token issued after the lift is alive");
        }
    }

    public static TheoryData<Group?, Reason> NoGroups => new()
    {
        { null, Reason.GroupInvalid },
        { new Group(), Reason.GroupInvalid },
        { new Group { Kind = (GroupKind)1, Value = "x" }, Reason.GroupInvalid },
        { new Group { Kind = (GroupKind)99, Value = "x" }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.Everything, Value = "x" }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.Mission }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.Subject, Value = "  " }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.Owner, Value = "no DID" }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.KeyId, Value = "FE2B99FD9AFAA999" }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.Mission, Value = "m", OwnerScope = "no DID" }, Reason.GroupInvalid },
        { new Group { Kind = GroupKind.Mission, Value = new string('m', 513) }, Reason.FieldTooLong },
        { new Group { Kind = GroupKind.Mission, Value = "a\0b" }, Reason.TextNotStorable },
    };

    [Theory]
    [MemberData(nameof(NoGroups))]
    public async Task What_names_no_group_is_refused_for_block_and_lift_alike(Group? group, Reason reason)
    {
        await using var issuer = await IssuerFixture.StartAsync();
        Assert.Equal(reason, (await RefusedAsync(() => issuer.Revocation.BlockGroupAsync(new BlockGroupRequest { Group = group }))).Reason);
        Assert.Equal(reason, (await RefusedAsync(() => issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = group }))).Reason);
    }

    [Fact]
    public async Task An_owner_acts_within_its_own_scope_and_up_to_its_bound()
    {
        await using var issuer = await IssuerFixture.StartAsync(new Dictionary<string, string?> { ["CLAW_OWNER_MAX_REVOCATIONS"] = "3" });
        var caller = As(Caller());
        BlockGroupRequest Block(string mission, string scope) => new() { Group = new Group { Kind = GroupKind.Mission, Value = mission, OwnerScope = scope } };
        foreach (var scope in (string[])["", Other])
        {
            Assert.Equal(Reason.OwnerScopeForbidden, (await RefusedAsync(() => issuer.Revocation.BlockGroupAsync(Block("m", scope), caller))).Reason);
            Assert.Equal(Reason.OwnerScopeForbidden, (await RefusedAsync(() => issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = Block("m", scope).Group }, caller))).Reason);
        }
        Assert.Equal(Reason.OwnerScopeForbidden, (await RefusedAsync(() => issuer.Revocation.RevokeTokensAsync(
            new RevokeTokensRequest { Targets = { new RevocationTarget { Token = "t" } }, OwnerScope = Other }, caller))).Reason);

        await issuer.Revocation.BlockGroupAsync(Block("m1", Owner), caller);
        await issuer.Revocation.BlockGroupAsync(Block("m2", Owner), caller);
        var own = await issuer.Issuance.IssueTokenAsync(Request());
        Assert.Equal(RevocationStatus.Revoked, (await issuer.Revocation.RevokeTokensAsync(
            new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = own.TokenHash } }, OwnerScope = Owner }, caller)).Results[0].Revocation.Status);
        var refusal = await RefusedAsync(() => issuer.Revocation.BlockGroupAsync(Block("m3", Owner), caller));
        Assert.Equal((Reason.RevocationLimitReached, "3"), (refusal.Reason, refusal.Metadata["most"]));
        Assert.False((await issuer.Revocation.BlockGroupAsync(Block("m3", Owner))).AlreadyBlocked);                                         // an operator
        Assert.Equal(Reason.OwnerScopeForbidden, (await RefusedAsync(() => issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = Block("m3", Owner).Group }, caller))).Reason);
        Assert.False((await issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = Block("m1", Owner).Group }, caller)).AlreadyLifted);
        Assert.Equal("did:key:zCaller", await issuer.ScalarAsync<string>("SELECT revoked_by FROM ledger.revocations WHERE revocation_seq = 1"));
    }

    [Fact]
    public async Task The_tokens_of_a_configured_operator_act_for_everybody()
    {
        await using var issuer = await IssuerFixture.StartAsync(new Dictionary<string, string?> { ["CLAW_OPERATOR_OWNER_DIDS"] = Owner });
        var caller = As(Caller());
        Assert.False((await issuer.Revocation.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Mission, Value = "m" } }, caller)).AlreadyBlocked);
        Assert.Equal(RevocationStatus.Revoked, (await issuer.Revocation.RevokeTokensAsync(
            new RevokeTokensRequest { Targets = { new RevocationTarget { Token = "never issued" } } }, caller)).Results[0].Revocation.Status);
    }

    [Fact]
    public async Task A_caller_that_takes_back_its_own_token_among_others_takes_back_all_of_them()
    {
        await using var issuer = await IssuerFixture.StartAsync(new Dictionary<string, string?> { ["CLAW_OPERATOR_OWNER_DIDS"] = Owner });
        var own = Caller();
        var response = await issuer.Revocation.RevokeTokensAsync(
            new RevokeTokensRequest { Targets = { new RevocationTarget { Token = own.Compact }, new RevocationTarget { Token = "a" }, new RevocationTarget { Token = "b" } } }, As(own));
        Assert.All(response.Results, r => Assert.Equal(RevocationStatus.Revoked, r.Revocation.Status));
        Assert.Equal(own.TokenHash.ToString(), response.Results[0].Revocation.TokenHash);
        Assert.Equal(Reason.TokenRevoked, (await RefusedAsync(() => issuer.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = "c" } } }, As(own)))).Reason);
    }

    [Fact]
    public async Task While_everything_is_blocked_operators_still_block_and_lift_and_no_token_does()
    {
        await using var issuer = await IssuerFixture.StartAsync(new Dictionary<string, string?> { ["CLAW_OPERATOR_OWNER_DIDS"] = Owner });
        var everything = new Group { Kind = GroupKind.Everything };
        var caller = As(Caller());
        Assert.False((await issuer.Revocation.BlockGroupAsync(new BlockGroupRequest { Group = everything }, caller)).AlreadyBlocked);       // by a token, its own included
        Assert.Equal(Reason.TokenRevoked, (await RefusedAsync(() => issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = everything }, caller))).Reason);
        Assert.Equal(Reason.GroupBlocked, (await RefusedAsync(() => issuer.Issuance.IssueTokenAsync(Request()))).Reason);

        var certificate = new RevocationService.RevocationServiceClient(issuer.Process.ServiceChannel("operator").Calls);
        await certificate.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Mission, Value = "m" } });
        await certificate.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { Token = "t" } } });
        await issuer.Revocation.BlockGroupAsync(new BlockGroupRequest { Group = new Group { Kind = GroupKind.Mission, Value = "n" } });
        Assert.False((await certificate.LiftBlockAsync(new LiftBlockRequest { Group = everything })).Block.Blocked);
        Assert.NotEmpty((await issuer.Issuance.IssueTokenAsync(Request())).Token);
        Assert.Equal(Reason.TokenRevoked, (await RefusedAsync(() => issuer.Revocation.LiftBlockAsync(new LiftBlockRequest { Group = everything }, caller))).Reason);
    }

    /// <summary>
    /// Two Issuers whose clocks are 1.5 s ahead and 1.5 s behind the database's mint while missions are blocked and lifted: what
    /// was answered before a lift is dead by its cut, what was minted after it is not.
    /// </summary>
    [Fact]
    public async Task A_lifted_block_never_revives_a_token_issued_before_it_whatever_the_issuers_clocks_said()
    {
        await using var database = await TestDatabases.CreateAsync();
        await using var ahead = await SkewedAsync(database, TimeSpan.FromSeconds(1.5));
        await using var behind = await SkewedAsync(database, TimeSpan.FromSeconds(-1.5));
        TestProcess[] issuers = [ahead, behind];
        for (int round = 0; round < 8; round++)
        {
            var mission = new Group { Kind = GroupKind.Mission, Value = $"mission-{round}" };
            var before = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => IssueAsync(issuers[i % 2], mission.Value)));
            await RevocationOf(issuers[round % 2]).BlockGroupAsync(new BlockGroupRequest { Group = mission });
            var lifted = await RevocationOf(issuers[(round + 1) % 2]).LiftBlockAsync(new LiftBlockRequest { Group = mission });
            var after = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => IssueAsync(issuers[i % 2], mission.Value)));

            long cut = lifted.Block.Cut.Seconds;
            Assert.All(before, token => Assert.True(token.IssuedAt.Seconds <= cut, $"iat {token.IssuedAt.Seconds}, cut {cut}: it would live again"));
            Assert.All(after, token => Assert.True(token.IssuedAt.Seconds > cut, $"iat {token.IssuedAt.Seconds}, cut {cut}: it is born dead"));
        }
    }

    /// <summary>
    /// Whole seconds are all that an offline verifier sees: each round of block, lift and mint takes one more of them. They are
    /// dated ahead within the group, up to a bound, and nobody else's.
    /// </summary>
    [Fact]
    public async Task What_is_taken_back_and_issued_again_without_end_is_dated_ahead_up_to_a_bound_and_nothing_else_is()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        var (revocation, issuance) = (issuer.Revocation, issuer.Issuance);
        var (restless, calm) = (new Group { Kind = GroupKind.Mission, Value = "restless" }, new Group { Kind = GroupKind.Mission, Value = "calm" });
        async Task<long> CutAsync(Group group)
        {
            await revocation.BlockGroupAsync(new BlockGroupRequest { Group = group });
            return (await revocation.LiftBlockAsync(new LiftBlockRequest { Group = group })).Block.Cut.Seconds;
        }
        Task<long> ClockAsync() => issuer.ScalarAsync<long>("SELECT ceil(extract(epoch FROM clock_timestamp()))::bigint");

        var issued = new List<long>();
        Refusal? refusal = null;
        for (int cycle = 0; cycle < 500 && refusal is null; cycle++)
        {
            try
            {
                issued.Add((await issuance.IssueTokenAsync(Request(mission: restless.Value))).IssuedAt.Seconds);
            }
            catch (Refusal refused)
            {
                refusal = refused;
            }
            long cut = await CutAsync(restless);
            Assert.True(issued.Max() <= cut, $"iat {issued.Max()}, cut {cut}: it would live again");
        }

        // Who overdoes it is told so, and when to come back; verifiers bear 30 s.
        Assert.Equal(
            (Reason.LedgerOverloaded, "Tokens of this one's group were taken back and issued again faster than seconds pass"), (refusal?.Reason, refusal?.Sentence));
        Assert.InRange(int.Parse(refusal!.Metadata["retry_after_seconds"], System.Globalization.CultureInfo.InvariantCulture), 1, 3);
        Assert.InRange(issued.Max() - await ClockAsync(), 5, 12);
        Assert.Equal(issued.Order().Distinct(), issued);

        // All the same: a group that others are not in is cut at the clock, and issued again at once.
        var before = await issuance.IssueTokenAsync(Request(mission: calm.Value));
        long calmCut = await CutAsync(calm);
        Assert.InRange(calmCut, before.IssuedAt.Seconds, await ClockAsync());
        Assert.InRange((await issuance.IssueTokenAsync(Request(mission: calm.Value))).IssuedAt.Seconds, calmCut + 1, await ClockAsync() + 2);
        // A group that both are in takes back the tokens that were dated ahead, too.
        Assert.True(await CutAsync(new Group { Kind = GroupKind.Subject, Value = "did:key:zAgent" }) >= issued.Max());

        await Eventually.HoldsAsync("the clock has come near, and it is issued again", async () =>
        {
            try
            {
                return (await issuance.IssueTokenAsync(Request(mission: restless.Value))).IssuedAt.Seconds > issued.Max();
            }
            catch (Refusal again) when (again.Reason == Reason.LedgerOverloaded)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task What_the_clock_has_reached_is_noted_as_ahead_of_it_no_longer()
    {
        await using var issuer = await IssuerFixture.StartAsync();
        await issuer.Issuance.IssueTokenAsync(Request());
        await issuer.ScalarAsync<long>("INSERT INTO ledger.ahead SELECT d + 2, sha256(''), max_iat + d FROM ledger.head, unnest(ARRAY[0, 3600]) d RETURNING iat");
        await using var replica = await issuer.AddReplicaAsync();           // an Issuer does its chores first of all
        await Eventually.HoldsAsync("only what is ahead is kept", async () => await issuer.ScalarAsync<long>("SELECT sum(kind)::bigint FROM ledger.ahead") == 3602);
    }

    private static async Task<TestProcess> SkewedAsync(TestDatabase database, TimeSpan by)
    {
        var process = await TestProcess.StartAsync("issuer", s =>
        {
            s.AddIssuer();
            s.AddSingleton<TimeProvider>(new SkewedTime(by));
        }, a => a.MapIssuer(), new Dictionary<string, string?>
        {
            ["CLAW_DATABASE_ISSUER"] = database.Issuer,
            ["SCOPE_SIGNING_KEY"] = IssuerFixture.Seed,
            ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "clawproxy:",
        });
        await Eventually.HoldsAsync("the Issuer is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);
        return process;
    }

    private static async Task<IssueTokenResponse> IssueAsync(TestProcess issuer, string mission) =>
        await new IssuanceService.IssuanceServiceClient(issuer.Channel().Calls).IssueTokenAsync(Request(mission: mission), deadline: DateTime.UtcNow.AddSeconds(20));

    private static RevocationService.RevocationServiceClient RevocationOf(TestProcess issuer) => new(issuer.Channel().Calls);

    private static IssueTokenRequest Request(string owner = Owner, string subject = "did:key:zAgent", string mission = Mission) => new()
    {
        Sub = subject,
        Aud = new Protos.Types.V1.Audience { Values = { "clawproxy.example" } },
        Scope = { "clawproxy:call" },
        MissionId = mission,
        OwnerDid = owner,
        ControllerDid = "did:key:zController",
        AgentDid = subject,
    };

    /// <summary>A canonical token of <see cref="Owner"/> that may revoke, signed with the issuer's key.</summary>
    private static SignedToken Caller()
    {
        using var key = new SigningKey([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]);
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        return TokenSigner.Sign(new Tokens.TokenClaims
        {
            Sub = "did:key:zCaller",
            Audience = Tokens.Audience.Of("clawscope.com"),
            Scope = ["control:token:revoke"],
            IssuedAt = now,
            ExpiresAt = now + 600,
            OwnerDid = Did.Parse(Owner),
            ControllerDid = Did.Parse("did:key:zController"),
            AgentDid = Did.Parse("did:key:zCaller"),
            Lane = Tokens.TokenLane.Canonical,
            Jti = $"{Guid.NewGuid()}",
        }, key);
    }

    private static CallOptions As(SignedToken token) => new(new Metadata { { "x-cst", token.Compact } }, deadline: DateTime.UtcNow.AddSeconds(30));

    private static Task<Refusal> RefusedAsync<T>(Func<AsyncUnaryCall<T>> call) => Assert.ThrowsAsync<Refusal>(async () => await call());

    private sealed class SkewedTime(TimeSpan by) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + by;
    }
}
