using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace ClawBureau.Hosting.Tests;

/// <summary>Scoped tokens as credentials, as the gate of every process takes them; what a token is, a test says.</summary>
public sealed class TokenCallerTests
{
    private const string Compact = "eyJhbGciOiJFZERTQSJ9.e30.c2ln";
    private static readonly May Rule = May.AnyOf(May.AdminKey("probe"), May.Service("verifier"), May.Token(Transition.RevokeToken, "control:token:revoke", "control:audit:read"));

    [Theory]
    [InlineData("x-cst", Compact)]
    [InlineData("x-cst", "Bearer " + Compact)]
    [InlineData("x-scoped-token", "bearer  " + Compact + " ")]
    [InlineData("authorization", "Bearer " + Compact)]
    [InlineData("authorization", Compact)]
    public async Task A_token_is_found_where_the_contract_says_and_its_holder_goes_by_its_subject(string header, string value)
    {
        await using var process = await ProcessAsync(new KnownTokens { [Compact] = Token("control:token:revoke") });
        using var channel = process.Connect();
        Assert.Equal("did:key:zAgent of did:key:zOwner, scoped", await channel.ProbeAsync(CallKind.Unary, options: With(header, value)));
    }

    [Theory]
    [InlineData("x-cst", "")]
    [InlineData("x-cst", "a.b.c")]
    [InlineData("x-scoped-token", "Bearer ")]
    public async Task A_bad_token_never_makes_room_for_the_key_or_certificate_beside_it(string header, string value)
    {
        await using var process = await ProcessAsync(new KnownTokens());
        using var channel = process.Connect("verifier", RunningProcess.AdminKey);
        Assert.Equal(Reason.TokenMalformed, await RefusedAsync(channel, With(header, value)));
    }

    [Fact]
    public async Task Two_headers_that_differ_are_refused_before_either_is_looked_at()
    {
        await using var process = await ProcessAsync(new KnownTokens { [Compact] = Token("control:token:revoke") });
        using var channel = process.Connect();
        Assert.Equal(Reason.TokenMalformed, await RefusedAsync(channel, new CallOptions(new Metadata { { "x-cst", Compact }, { "x-scoped-token", "x.y.z" } })));
        Assert.StartsWith("did:key:zAgent", await channel.ProbeAsync(CallKind.Unary, options: new CallOptions(new Metadata { { "x-cst", Compact }, { "x-scoped-token", "Bearer " + Compact } })), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_admin_key_that_looks_like_a_token_is_a_key_and_what_only_has_dots_is_no_token()
    {
        await using var process = await ProcessAsync(new KnownTokens { [Compact] = Token("control:token:revoke") }, new() { ["SCOPE_ADMIN_KEY"] = Compact });
        using var channel = process.Connect();
        Assert.Equal("admin:scope-admin", await channel.ProbeAsync(CallKind.Unary, options: With("authorization", "Bearer " + Compact)));
        Assert.Equal(Reason.Unauthorized, await RefusedAsync(channel, With("authorization", "Bearer a.b.c")));
    }

    [Fact]
    public async Task What_a_token_is_decides_row_by_row()
    {
        var tokens = new KnownTokens();
        await using var process = await ProcessAsync(tokens);
        using var channel = process.Connect();
        foreach (var (token, reason) in ((PresentedToken?, Reason)[])
        [
            (null, Reason.TokenMalformed),
            (Token("nothing") with { IsRevoked = true, IsForeign = true }, Reason.TokenRevoked),
            (Token("nothing") with { IsForeign = true }, Reason.TokenForeign),
            (Token("control:*") with { IsForeign = true }, Reason.TokenForeign),
            (Legacy(Token("nothing")), Reason.TokenControlChainMissing),
            (Token("control:key:rotate"), Reason.TokenInsufficientScope),
            (Token("*"), Reason.TokenInsufficientScope),
            (Token("proxy:*"), Reason.TokenInsufficientScope),
            (Token("control:audit:read"), Reason.TokenControlTransitionForbidden),
        ])
        {
            tokens.Clear();
            if (token is not null) tokens[Compact] = token;
            Assert.Equal(reason, await RefusedAsync(channel, With("x-cst", Compact)));
        }
        tokens[Compact] = Token("control:*");
        Assert.StartsWith("did:key:zAgent", await channel.ProbeAsync(CallKind.Unary, options: With("x-cst", Compact)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("elsewhere", false)]
    [InlineData("elsewhere, a", true)]
    [InlineData("A", false)]
    [InlineData(" , ", true)]
    public async Task A_token_for_other_audiences_opens_nothing_where_audiences_are_asked_for(string audiences, bool admitted)
    {
        await using var process = await ProcessAsync(new KnownTokens { [Compact] = Token("control:token:revoke") }, new() { ["CLAW_CALLER_AUDIENCES"] = audiences });
        using var channel = process.Connect();
        if (admitted) Assert.StartsWith("did:key:zAgent", await channel.ProbeAsync(CallKind.Unary, options: With("x-cst", Compact)), StringComparison.Ordinal);
        else Assert.Equal(Reason.TokenBadAudience, await RefusedAsync(channel, With("x-cst", Compact)));
    }

    [Fact]
    public async Task The_tokens_of_a_configured_operator_act_for_no_owner()
    {
        await using var process = await ProcessAsync(new KnownTokens { [Compact] = Token("control:token:revoke") }, new() { ["CLAW_OPERATOR_OWNER_DIDS"] = "did:key:zElse, did:key:zOwner" });
        using var channel = process.Connect();
        Assert.Equal("did:key:zAgent of did:key:zOwner, unscoped", await channel.ProbeAsync(CallKind.Unary, options: With("x-cst", Compact)));
    }

    [Fact]
    public async Task A_list_of_operators_that_holds_no_DIDs_refuses_the_start()
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() => ProcessAsync(new KnownTokens(), new() { ["CLAW_OPERATOR_OWNER_DIDS"] = "did:key:zOwner;did:key:zElse" }));
        Assert.Contains("CLAW_OPERATOR_OWNER_DIDS", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_process_that_can_judge_no_token_admits_none()
    {
        await using var process = await ProcessAsync(null);
        using var channel = process.Connect("verifier", RunningProcess.AdminKey);
        Assert.Equal(Reason.DependencyNotConfigured, await RefusedAsync(channel, With("x-cst", Compact)));
    }

    [Theory]
    [InlineData("revoked", Reason.CredentialExpired)]
    [InlineData("expired", Reason.CredentialExpired)]
    [InlineData("narrowed", Reason.CredentialExpired)]
    [InlineData("unknown", Reason.LedgerUnavailable)]
    public async Task A_stream_ends_when_the_token_of_its_caller_does_or_cannot_be_judged(string what, Reason reason)
    {
        var (tokens, time, entered) = (new KnownTokens { [Compact] = Token("control:token:revoke") }, new ManualTime(), new TaskCompletionSource());
        await using var process = await ProcessAsync(tokens, time: time, act: async (_, context) =>
        {
            entered.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
            return "";
        });
        using var channel = process.Connect();
        var call = channel.ProbeAsync(CallKind.Duplex, options: With("x-cst", Compact));
        await entered.Task;
        long judged = tokens.Judged;
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(judged + 1, tokens.Judged);
        Assert.False(call.IsCompleted);

        if (what == "revoked") tokens[Compact] = Token("control:token:revoke") with { IsRevoked = true };
        else if (what == "narrowed") tokens[Compact] = Token("control:audit:read");
        else tokens.Fails = new Refusal(what == "expired" ? Reason.TokenExpired : Reason.LedgerUnavailable);
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(() => call)).Reason);
    }

    [Theory]
    [InlineData("", "did:key:zOwner", false)]
    [InlineData("did:key:zOwner", "did:key:zOwner", false)]
    [InlineData("did:key:zElse", null, false)]
    [InlineData("", null, true)]
    [InlineData("did:key:zElse", "did:key:zElse", true)]
    public void An_owner_scope_is_the_callers_own_or_for_an_operator_any(string requested, string? scope, bool isOperator)
    {
        Caller token = new Caller.Token(Token("control:*"), isOperator);
        if (scope is null && !isOperator) Assert.Equal(Reason.OwnerScopeForbidden, Assert.Throws<Refusal>(() => token.OwnerScopeWithin(requested)).Reason);
        else Assert.Equal(scope, token.OwnerScopeWithin(requested));
        Caller key = new Caller.AdminKey("k", ["*"]);
        Assert.Equal(requested.Length > 0 ? requested : null, key.OwnerScopeWithin(requested));
        Assert.Equal(Reason.InvalidRequest, Assert.Throws<Refusal>(() => key.OwnerScopeWithin("no DID")).Reason);
    }

    private static Task<RunningProcess> ProcessAsync(
        KnownTokens? tokens, Dictionary<string, string?>? settings = null, TimeProvider? time = null, Func<ProbeRequest, ServerCallContext, Task<string>>? act = null) =>
        RunningProcess.StartAsync(app => app.MapGrpcService<ProbeEndpoint>(), settings, services =>
        {
            services.AddSingleton(new ProbeEndpoint(act ?? ((_, context) => Task.FromResult(Describe(context.GetCaller())))));
            services.Replace(ServiceDescriptor.Singleton(RunningProcess.ProbeTable(Rule)));
            if (tokens is not null) services.AddSingleton<ICallerTokens>(tokens);
            if (time is not null) services.Replace(ServiceDescriptor.Singleton(time));
        });

    private static string Describe(Caller caller) =>
        caller is Caller.Token token ? $"{token.Name} of {token.OwnerDid}, {(token.IsUnscoped() ? "unscoped" : "scoped")}" : caller.Name;

    private static async Task<Reason> RefusedAsync(Peers.PeerChannel channel, CallOptions options) =>
        (await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary, options: options))).Reason;

    private static CallOptions With(string header, string value) => new(new Metadata { { header, value } });

    private static PresentedToken Legacy(PresentedToken token) => token with { Claims = token.Claims with { Lane = TokenLane.Legacy } };

    private static PresentedToken Token(params string[] scope) => new(TokenHash.Of(Compact), new TokenClaims
    {
        Sub = "did:key:zAgent",
        Audience = Audience.Of("a"),
        Scope = scope,
        IssuedAt = 1,
        ExpiresAt = 2,
        OwnerDid = Did.Parse("did:key:zOwner"),
        ControllerDid = Did.Parse("did:key:zController"),
        AgentDid = Did.Parse("did:key:zAgent"),
        Lane = TokenLane.Canonical,
    }, KeyId.Parse("fe2b99fd9afaa999"), IsForeign: false, IsRevoked: false);

    /// <summary>Tokens that are what a test says; whatever else is none.</summary>
    private sealed class KnownTokens : Dictionary<string, PresentedToken>, ICallerTokens
    {
        public Refusal? Fails { get; set; }

        public long Judged { get; private set; }

        public Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken)
        {
            Judged++;
            if (Fails is not null) throw Fails;
            return TryGetValue(compact, out var token) ? Task.FromResult(token) : throw new Refusal(Reason.TokenMalformed);
        }
    }
}
