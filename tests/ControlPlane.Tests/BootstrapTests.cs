using ClawBureau.Protos.Control.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace ClawBureau.ControlPlane.Tests;

public sealed class BootstrapTests
{
    [Fact]
    public async Task An_owner_signs_for_a_token_and_gets_it_once()
    {
        await using var control = await ControlFixture.StartAsync();
        var owner = await control.BoundAsync();
        var request = new CreateTokenChallengeRequest { OwnerDid = owner.Did, Aud = { "b.example", "a.example", "b.example" }, Scope = { "clawproxy:call" }, MissionId = "agent:main" };
        var challenge = await control.Bootstrap.CreateTokenChallengeAsync(request);
        Assert.StartsWith("clawclaim:scope_exchange:v1:{\"agent_did\":null,\"aud\":[\"a.example\",\"b.example\"],\"challenge_id\":\"" + challenge.ChallengeId + "\",\"challenge_version\":\"1\"", challenge.Message, StringComparison.Ordinal);
        Assert.Matches("\"exp\":[0-9]+,\"mission_id\":\"agent:main\",\"nonce\":\"[A-Za-z0-9_-]{22}\",\"owner_attestation_id\":null,\"owner_did\":\"" + owner.Did + "\",\"scope\":\\[\"clawproxy:call\"\\],\"ttl_sec\":300}$", challenge.Message);
        Assert.Equal(300, challenge.Ttl.Seconds);

        var exchange = new ExchangeTokenRequest { OwnerDid = owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message), RunId = "run-1" };
        var exchanged = await control.Bootstrap.ExchangeTokenAsync(exchange);
        var claims = TokenParser.Parse(exchanged.Issued.Token).Claims;
        Assert.Equal((owner.Did, owner.Did, Tokens.TokenLane.Legacy, "agent:main", 300L), (claims.Sub, claims.OwnerDid.ToString(), claims.Lane, claims.MissionId, claims.ExpiresAt - claims.IssuedAt));
        Assert.Equal(["a.example", "b.example"], claims.Audience.Values);
        Assert.True(await control.IsActiveAsync(exchanged.Issued.Token));
        Assert.Equal($"{owner}|run-1", await control.ScalarAsync<string>($"SELECT convert_from(payload, 'UTF8')::jsonb->>'by' || '|' || run_id FROM ledger.events WHERE seq = {exchanged.Issued.Seq}"));

        await control.RefusesAsync(Reason.TokenExchangeChallengeUsed, () => control.Bootstrap.ExchangeTokenAsync(exchange).ResponseAsync);
    }

    [Fact]
    public async Task With_a_chain_the_token_is_the_agent_s_and_canonical()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync("control:token:revoke");
        var exchanged = await ExchangeAsync(control, chain, "control:token:revoke");
        var claims = TokenParser.Parse(exchanged.Issued.Token).Claims;
        Assert.Equal((chain.Agent.Did, chain.Owner.Did, chain.Controller.Did, Tokens.TokenLane.Canonical), (claims.Sub, claims.OwnerDid.ToString(), claims.ControllerDid.ToString(), claims.Lane));
        await control.RefusesAsync(Reason.SensitiveScopeNotAllowed, () => ExchangeAsync(control, chain, "control:audit:read"));
    }

    [Fact]
    public async Task A_failed_exchange_does_not_burn_the_challenge()
    {
        await using var control = await ControlFixture.StartAsync();
        var (chain, target) = (await control.ChainAsync(), await control.BoundAsync());
        var challenge = await ChallengeAsync(control, chain, "clawproxy:call");
        var request = new ExchangeTokenRequest { OwnerDid = chain.Owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = target.Sign(challenge.Message) };
        await control.RefusesAsync(Reason.TokenExchangeSignatureInvalid, () => control.Bootstrap.ExchangeTokenAsync(request).ResponseAsync);
        request.SignatureB64U = chain.Owner.Sign(challenge.Message);
        await control.RequestTransferAsync(chain.Owner, chain.Controller, target);
        await control.RefusesAsync(Reason.ControllerTransferFrozen, () => control.Bootstrap.ExchangeTokenAsync(request).ResponseAsync);
        await control.CancelTransferAsync(chain.Owner, chain.Controller);
        Assert.NotEmpty((await control.Bootstrap.ExchangeTokenAsync(request)).Issued.Token);
    }

    [Fact]
    public async Task Of_many_exchanges_at_once_one_mints()
    {
        await using var control = await ControlFixture.StartAsync();
        await using var second = await ControlFixture.StartIssuerAsync(control.Database);
        var clients = new[] { control.Bootstrap, new BootstrapService.BootstrapServiceClient(second.Channel(null).Calls) };
        var chain = await control.ChainAsync();
        var challenge = await ChallengeAsync(control, chain, "clawproxy:call");
        var request = new ExchangeTokenRequest { OwnerDid = chain.Owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = chain.Owner.Sign(challenge.Message) };
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Outcomes.OfAsync(() => clients[i % 2].ExchangeTokenAsync(request).ResponseAsync)));
        Assert.Single(answers, answer => answer is null);
        Assert.All(answers.Where(answer => answer is not null), answer => Assert.Equal(Reason.TokenExchangeChallengeUsed, answer));
        Assert.Equal(1, await control.ScalarAsync<long>("SELECT count(*) FROM ledger.issued"));
    }

    public static TheoryData<string, Reason> Refused => new()
    {
        { "no owner", Reason.InvalidRequest },
        { "no audience", Reason.InvalidRequest },
        { "blank audience", Reason.InvalidRequest },
        { "17 audiences", Reason.InvalidRequest },
        { "long audience", Reason.InvalidRequest },
        { "no scope", Reason.InvalidRequest },
        { "65 scopes", Reason.InvalidRequest },
        { "unbound owner", Reason.OwnerBindingRequired },
        { "controller alone", Reason.InvalidCanonicalContext },
        { "agent alone", Reason.InvalidCanonicalContext },
        { "attestation", Reason.OwnerAttestationNotFound },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task What_could_not_be_granted_gets_no_challenge(string what, Reason reason)
    {
        var (control, chain) = await Shared.Value;
        var request = new CreateTokenChallengeRequest { OwnerDid = chain.Owner.Did, Aud = { "a.example" }, Scope = { "clawproxy:call" } };
        switch (what)
        {
            case "no owner": request.OwnerDid = ""; break;
            case "no audience": request.Aud.Clear(); break;
            case "blank audience": request.Aud.Add(" "); break;
            case "17 audiences": request.Aud.AddRange(Enumerable.Range(0, 16).Select(i => $"a{i}")); break;
            case "long audience": request.Aud.Add(new string('a', 257)); break;
            case "no scope": request.Scope.Clear(); break;
            case "65 scopes": request.Scope.AddRange(Enumerable.Range(0, 64).Select(i => $"clawproxy:{i}")); break;
            case "unbound owner": request.OwnerDid = Party.New().Did; break;
            case "controller alone": request.ControllerDid = chain.Controller.Did; break;
            case "agent alone": request.AgentDid = chain.Agent.Did; break;
            case "attestation": request.OwnerAttestationId = "att_1"; break;
        }
        await control.RefusesAsync(reason, () => control.Bootstrap.CreateTokenChallengeAsync(request).ResponseAsync);
    }

    [Theory]
    [InlineData(1, 30)]
    [InlineData(90, 90)]
    [InlineData(100_000, 3600)]
    public async Task A_lifetime_is_clamped(int asked, int given)
    {
        var (control, chain) = await Shared.Value;
        var challenge = await control.Bootstrap.CreateTokenChallengeAsync(new()
        {
            OwnerDid = chain.Owner.Did,
            Aud = { "a.example" },
            Scope = { "clawproxy:call" },
            Ttl = Duration.FromTimeSpan(TimeSpan.FromSeconds(asked)),
        });
        Assert.Equal(given, challenge.Ttl.Seconds);
    }

    [Fact]
    public async Task An_exchange_is_refused_in_the_contract_s_order()
    {
        await using var control = await ControlFixture.StartAsync();
        var chain = await control.ChainAsync();
        var challenge = await ChallengeAsync(control, chain, "clawproxy:call");
        ExchangeTokenRequest Request() => new() { OwnerDid = chain.Owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = chain.Owner.Sign(challenge.Message) };
        var (missing, unknown, another, purpose) = (Request(), Request(), Request(), Request());
        missing.SignatureB64U = "";
        unknown.ChallengeId = "scope_chl_none";
        another.OwnerDid = chain.Agent.Did;
        purpose.ChallengeId = (await control.ChallengeAsync(ControlPurpose.UpdateSensitivePolicy, chain.Owner, chain.Controller)).ChallengeId;
        await control.RefusesAsync(Reason.InvalidRequest, () => control.Bootstrap.ExchangeTokenAsync(missing).ResponseAsync);
        await control.RefusesAsync(Reason.TokenExchangeChallengeNotFound, () => control.Bootstrap.ExchangeTokenAsync(unknown).ResponseAsync);
        await control.RefusesAsync(Reason.TokenExchangeOwnerMismatch, () => control.Bootstrap.ExchangeTokenAsync(another).ResponseAsync);
        await control.RefusesAsync(Reason.TokenExchangeChallengeInvalid, () => control.Bootstrap.ExchangeTokenAsync(purpose).ResponseAsync);
        await control.ScalarAsync<string>("UPDATE control.challenges SET expires_at = now() - interval '2 seconds' WHERE purpose = 'scope_exchange' RETURNING challenge_id");
        await control.RefusesAsync(Reason.TokenExchangeChallengeExpired, () => control.Bootstrap.ExchangeTokenAsync(Request()).ResponseAsync);
    }

    [Fact]
    public async Task An_owner_whose_binding_is_revoked_gets_nothing_more()
    {
        await using var control = await ControlFixture.StartAsync();
        var owner = await control.BoundAsync();
        var challenge = await control.Bootstrap.CreateTokenChallengeAsync(new() { OwnerDid = owner.Did, Aud = { "a.example" }, Scope = { "clawproxy:call" } });
        await control.RevokeBindingAsync(owner);
        await control.RefusesAsync(Reason.OwnerBindingRequired, () =>
            control.Bootstrap.ExchangeTokenAsync(new() { OwnerDid = owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message) }).ResponseAsync);
    }

    [Fact]
    public async Task A_delegation_needs_both_parties_bound_and_a_caller_who_may_ask()
    {
        var (control, chain) = await Shared.Value;
        var client = new BootstrapService.BootstrapServiceClient(control.Issuer.Channel().Calls);
        var request = new BootstrapDelegationRequest { DelegatorDid = chain.Owner.Did, DelegateDid = chain.Agent.Did };
        var answer = await client.BootstrapDelegationAsync(request);
        Assert.Equal((chain.Owner.Did, chain.Agent.Did), (answer.DelegatorDid, answer.DelegateDid));
        await control.RefusesAsync(Reason.DelegatorBindingRequired, () => client.BootstrapDelegationAsync(new() { DelegatorDid = Party.New().Did, DelegateDid = chain.Agent.Did }).ResponseAsync);
        await control.RefusesAsync(Reason.DelegateBindingRequired, () => client.BootstrapDelegationAsync(new() { DelegatorDid = chain.Owner.Did, DelegateDid = Party.New().Did }).ResponseAsync);
        var refusal = await Assert.ThrowsAsync<Refusal>(async () => await control.Bootstrap.BootstrapDelegationAsync(request));
        Assert.Equal(StatusCode.Unauthenticated, Hosting.Refusals.ReasonCatalog.Of(refusal.Reason).GrpcCode);
    }

    private static Task<CreateTokenChallengeResponse> ChallengeAsync(ControlFixture control, ChainOf chain, string scope) => control.Bootstrap.CreateTokenChallengeAsync(new()
    {
        OwnerDid = chain.Owner.Did,
        Aud = { "clawproxy.example" },
        Scope = { scope },
        ControllerDid = chain.Controller.Did,
        AgentDid = chain.Agent.Did,
    }).ResponseAsync;

    private static async Task<ExchangeTokenResponse> ExchangeAsync(ControlFixture control, ChainOf chain, string scope)
    {
        var challenge = await ChallengeAsync(control, chain, scope);
        return await control.Bootstrap.ExchangeTokenAsync(new() { OwnerDid = chain.Owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = chain.Owner.Sign(challenge.Message) });
    }

    private static readonly Lazy<Task<(ControlFixture, ChainOf)>> Shared = new(async () =>
    {
        var control = await ControlFixture.StartAsync();
        return (control, await control.ChainAsync());
    });
}
