using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.ControlPlane.Tests;

/// <summary>Anybody can become an owner with every control scope (control-plane-http.md 9, items 1 and 5); what he then holds reaches no further than himself.</summary>
public sealed class AuthorityTests
{
    private static readonly string[] Everything = ["control:audit:read", "control:token:revoke", "control:token:issue_sensitive"];

    [Fact]
    public async Task A_self_made_owner_revokes_its_own_tokens_and_nobody_else_s()
    {
        await using var control = await ControlFixture.StartAsync();
        var (self, victim) = (await control.ChainAsync(Everything), await control.ChainAsync());
        var (own, theirs) = (await control.IssueAsync(self), await control.IssueAsync(victim));
        var caller = Showing(await ExchangeAsync(control, self, Everything));
        var revocation = new RevocationService.RevocationServiceClient(control.Issuer.Channel(adminKey: null).Calls);
        Task RevokeAsync(string hash, string scope = "") =>
            revocation.RevokeTokensAsync(new() { Targets = { new RevocationTarget { TokenHash = hash } }, OwnerScope = scope }, caller).ResponseAsync;

        await control.RefusesAsync(Reason.TokenNotIssuedHere, () => RevokeAsync(theirs.TokenHash));
        await control.RefusesAsync(Reason.OwnerScopeForbidden, () => RevokeAsync(theirs.TokenHash, victim.Owner.Did));
        await control.RefusesAsync(Reason.OwnerScopeForbidden, () => revocation.BlockGroupAsync(new()
        {
            Group = new() { Kind = Protos.Types.V1.GroupKind.Agent, Value = victim.Agent.Did, OwnerScope = victim.Owner.Did },
        }, caller).ResponseAsync);
        Assert.True(await control.IsActiveAsync(theirs.Token));

        await RevokeAsync(own.TokenHash);
        Assert.False(await control.IsActiveAsync(own.Token));
        Assert.True(await control.IsActiveAsync(theirs.Token));
    }

    [Fact]
    public async Task A_self_made_owner_reads_of_its_own_revocations_and_of_nobody_else_s()
    {
        await using var control = await ControlFixture.StartAsync();
        var (self, victim) = (await control.ChainAsync(Everything), await control.ChainAsync());
        var (own, theirs) = (await control.IssueAsync(self), await control.IssueAsync(victim));
        await control.Revocation.RevokeTokensAsync(new() { Targets = { new RevocationTarget { TokenHash = own.TokenHash }, new RevocationTarget { TokenHash = theirs.TokenHash } } });
        var caller = Showing(await ExchangeAsync(control, self, Everything));
        var feed = new FeedService.FeedServiceClient(control.Introspector.Channel(adminKey: null).Calls);

        Assert.Equal(own.TokenHash, Convert.ToHexStringLower(Assert.Single((await feed.ListRevocationsAsync(new(), caller)).Revocations).Token.TokenHash.Span));
        Assert.Empty((await feed.ListRevocationsAsync(new() { TokenHash = theirs.TokenHash }, caller)).Revocations);
        await control.RefusesAsync(Reason.OwnerScopeForbidden, () => feed.ListRevocationsAsync(new() { OwnerScope = victim.Owner.Did }, caller).ResponseAsync);
        // What has everybody's revocations is closed to tokens altogether.
        await control.RefusesAsync(Reason.CallerNotAllowed, () => feed.ReadIndexAsync(new(), caller).ResponseAsync);
        await control.RefusesAsync(Reason.CallerNotAllowed, async () => await feed.GetSnapshot(new(), caller).ResponseStream.MoveNext(CancellationToken.None));
    }

    [Theory]
    [InlineData("proxy:*")]
    [InlineData("clawproxy:*")]
    [InlineData("proxy:control:token:revoke")]
    public async Task A_scope_of_the_proxy_s_family_is_no_control_scope(string scope)
    {
        await using var control = await ControlFixture.StartAsync(new Dictionary<string, string?> { ["SCOPE_ALLOW_WILDCARDS"] = "true" });
        var self = await control.ChainAsync(Everything);
        var own = await control.IssueAsync(self);
        var caller = Showing(await ExchangeAsync(control, self, scope));
        await control.RefusesAsync(Reason.TokenInsufficientScope, () => new RevocationService.RevocationServiceClient(control.Issuer.Channel(adminKey: null).Calls)
            .RevokeTokensAsync(new() { Targets = { new RevocationTarget { TokenHash = own.TokenHash } } }, caller).ResponseAsync);
        await control.RefusesAsync(Reason.TokenInsufficientScope, () => new FeedService.FeedServiceClient(control.Introspector.Channel(adminKey: null).Calls)
            .ListRevocationsAsync(new(), caller).ResponseAsync);
        Assert.True(await control.IsActiveAsync(own.Token));
    }

    private static Metadata Showing(string token) => new() { { "x-cst", token } };

    private static async Task<string> ExchangeAsync(ControlFixture control, ChainOf chain, params string[] scopes)
    {
        var challenge = await control.Bootstrap.CreateTokenChallengeAsync(new()
        {
            OwnerDid = chain.Owner.Did,
            Aud = { "clawscope.com" },
            Scope = { scopes },
            ControllerDid = chain.Controller.Did,
            AgentDid = chain.Agent.Did,
        });
        return (await control.Bootstrap.ExchangeTokenAsync(new() { OwnerDid = chain.Owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = chain.Owner.Sign(challenge.Message) })).Issued.Token;
    }
}
