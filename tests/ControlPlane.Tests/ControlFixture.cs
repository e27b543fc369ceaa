using ClawBureau.Hosting.Health;
using ClawBureau.Introspector;
using ClawBureau.Issuer;
using ClawBureau.Protos.Control.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.ControlPlane.Tests;

/// <summary>An Issuer and an Introspector on a database of their own, and the walks that most tests begin with.</summary>
internal sealed class ControlFixture : IAsyncDisposable
{
    public const string HmacKey = "a shared key of sixteen characters and more";

    private static readonly string Seed = Base64UrlText.Encode([.. Enumerable.Range(0, 32).Select(i => (byte)(i + 11))]);

    private ControlFixture(TestDatabase database, TestProcess issuer, TestProcess introspector)
    {
        (Database, Issuer, Introspector) = (database, issuer, introspector);
        var calls = issuer.Channel(adminKey: null).Calls;       // the signature is all that is asked for
        (Bindings, Controllers, Portability, Bootstrap) = (new(calls), new(calls), new(calls), new(calls));
        var operators = issuer.Channel().Calls;
        (Issuance, Revocation, Introspection) = (new(operators), new(operators), new(introspector.Channel().Calls));
    }

    public TestDatabase Database { get; }
    public TestProcess Issuer { get; }
    public TestProcess Introspector { get; }
    public BindingService.BindingServiceClient Bindings { get; }
    public ControllerService.ControllerServiceClient Controllers { get; }
    public PortabilityService.PortabilityServiceClient Portability { get; }
    public BootstrapService.BootstrapServiceClient Bootstrap { get; }
    public IssuanceService.IssuanceServiceClient Issuance { get; }
    public RevocationService.RevocationServiceClient Revocation { get; }
    public IntrospectionService.IntrospectionServiceClient Introspection { get; }

    public static async Task<ControlFixture> StartAsync(IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? instead = null)
    {
        var database = await TestDatabases.CreateAsync();
        var issuer = await StartIssuerAsync(database, settings, instead);
        var patient = new IntrospectorOptions { Database = database.Introspector, PollDeadline = TimeSpan.FromSeconds(5), MostSilence = TimeSpan.FromSeconds(30) };
        var introspector = await TestProcess.StartAsync("introspector", s =>
        {
            s.AddIntrospector();
            s.AddSingleton(patient);
        }, a => a.MapIntrospector(), new Dictionary<string, string?> { ["CLAW_DATABASE_INTROSPECTOR"] = database.Introspector });
        await ReadyAsync(introspector);
        return new ControlFixture(database, issuer, introspector);
    }

    /// <summary>Another Issuer on the same ledger, or one on another.</summary>
    /// <param name="instead">Puts in the place of a part of the Issuer another one.</param>
    public static async Task<TestProcess> StartIssuerAsync(TestDatabase database, IReadOnlyDictionary<string, string?>? settings = null, Action<IServiceCollection>? instead = null)
    {
        var all = new Dictionary<string, string?>
        {
            ["CLAW_DATABASE_ISSUER"] = database.Issuer,
            ["SCOPE_SIGNING_KEY"] = Seed,
            ["SCOPE_ALLOWED_SCOPE_PREFIXES"] = "proxy:,clawproxy:,control:",
            ["CLAIM_EXPORT_SIGNING_KEY"] = HmacKey,
            ["CLAIM_CHALLENGES_PER_SECOND"] = "10000",
        };
        foreach (var (name, value) in settings ?? new Dictionary<string, string?>()) all[name] = value;
        var issuer = await TestProcess.StartAsync("issuer", s =>
        {
            s.AddIssuer();
            instead?.Invoke(s);
        }, a => a.MapIssuer(), all);
        await ReadyAsync(issuer);
        return issuer;
    }

    /// <summary>The same suite, spoken to through another Issuer of it. The other one disposes of everything.</summary>
    public ControlFixture Through(TestProcess issuer) => new(Database, issuer, Introspector);

    /// <summary>A new party whose DID is bound.</summary>
    public async Task<Party> BoundAsync()
    {
        var party = Party.New();
        await BindAsync(party);
        return party;
    }

    public async Task<BindDidResponse> BindAsync(Party party)
    {
        var challenge = await Bindings.CreateBindingChallengeAsync(new() { Did = party.Did });
        return await Bindings.BindDidAsync(new() { Did = party.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = party.Sign(challenge.Message) });
    }

    public async Task<RevokeBindingResponse> RevokeBindingAsync(Party party) => await (await ToRevokeBindingAsync(party))();

    // Each walk in two halves: the challenge is asked for and signed, and what this gives sends the request.

    public async Task<Func<Task<RevokeBindingResponse>>> ToRevokeBindingAsync(Party party)
    {
        var challenge = await Bindings.CreateBindingChallengeAsync(new() { Did = party.Did, Purpose = BindingPurpose.Revoke });
        return () => Bindings.RevokeBindingAsync(new() { Did = party.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = party.Sign(challenge.Message), Reason = "lost" }).ResponseAsync;
    }

    /// <summary>An owner with a controller and an agent under it, all three bound.</summary>
    public async Task<ChainOf> ChainAsync(params string[] scopes)
    {
        var chain = new ChainOf(await BoundAsync(), await BoundAsync(), await BoundAsync());
        await RegisterAsync(chain.Owner, chain.Controller, scopes);
        await RegisterAgentAsync(chain.Owner, chain.Controller, chain.Agent);
        return chain;
    }

    public Task<CreateControlChallengeResponse> ChallengeAsync(
        ControlPurpose purpose, Party owner, Party? controller = null, Party? agent = null, Action<CreateControlChallengeRequest>? also = null)
    {
        var request = new CreateControlChallengeRequest { Purpose = purpose, OwnerDid = owner.Did, ControllerDid = controller?.Did ?? "", AgentDid = agent?.Did ?? "" };
        also?.Invoke(request);
        return Controllers.CreateControlChallengeAsync(request).ResponseAsync;
    }

    public async Task<RegisterControllerResponse> RegisterAsync(Party owner, Party controller, IReadOnlyList<string>? scopes = null, bool consent = false) => await (await ToRegisterAsync(owner, controller, scopes, consent))();

    public async Task<Func<Task<RegisterControllerResponse>>> ToRegisterAsync(Party owner, Party controller, IReadOnlyList<string>? scopes = null, bool consent = false)
    {
        var challenge = await ChallengeAsync(ControlPurpose.RegisterController, owner, controller);
        return () => Controllers.RegisterControllerAsync(new()
        {
            OwnerDid = owner.Did,
            ControllerDid = controller.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
            AllowedSensitiveScopes = scopes is { Count: > 0 } ? new SensitiveScopes { Scopes = { scopes } } : null,
            ControllerSignatureB64U = consent ? controller.Sign(challenge.Message) : "",
        }).ResponseAsync;
    }

    public async Task<RegisterAgentResponse> RegisterAgentAsync(Party owner, Party controller, Party agent, bool consent = false) => await (await ToRegisterAgentAsync(owner, controller, agent, consent))();

    public async Task<Func<Task<RegisterAgentResponse>>> ToRegisterAgentAsync(Party owner, Party controller, Party agent, bool consent = false)
    {
        var challenge = await ChallengeAsync(ControlPurpose.RegisterAgent, owner, controller, agent);
        return () => Controllers.RegisterAgentAsync(new()
        {
            OwnerDid = owner.Did,
            ControllerDid = controller.Did,
            AgentDid = agent.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
            AgentSignatureB64U = consent ? agent.Sign(challenge.Message) : "",
        }).ResponseAsync;
    }

    public async Task<UpdateSensitivePolicyResponse> UpdatePolicyAsync(Party owner, Party controller, IReadOnlyList<string>? signed, IReadOnlyList<string>? asked) => await (await ToUpdatePolicyAsync(owner, controller, signed, asked))();

    public async Task<Func<Task<UpdateSensitivePolicyResponse>>> ToUpdatePolicyAsync(Party owner, Party controller, IReadOnlyList<string>? signed, IReadOnlyList<string>? asked)
    {
        var challenge = await ChallengeAsync(ControlPurpose.UpdateSensitivePolicy, owner, controller, also: r =>
            r.AllowedSensitiveScopes = signed is null ? null : new SensitiveScopes { Scopes = { signed } });
        return () => Controllers.UpdateSensitivePolicyAsync(new()
        {
            OwnerDid = owner.Did,
            ControllerDid = controller.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
            AllowedSensitiveScopes = asked is null ? null : new SensitiveScopes { Scopes = { asked } },
        }).ResponseAsync;
    }

    public async Task<ConfirmRotationResponse> RotateAsync(RotationRole role, Party owner, Party from, Party to, Party? controller = null) => await (await ToRotateAsync(role, owner, from, to, controller))();

    public async Task<Func<Task<ConfirmRotationResponse>>> ToRotateAsync(RotationRole role, Party owner, Party from, Party to, Party? controller = null)
    {
        var challenge = await ChallengeAsync(ControlPurpose.ConfirmRotation, owner, controller, also: r => (r.RotationRole, r.FromDid, r.ToDid) = (role, from.Did, to.Did));
        return () => Controllers.ConfirmRotationAsync(new()
        {
            OwnerDid = owner.Did,
            RotationRole = role,
            FromDid = from.Did,
            ToDid = to.Did,
            ControllerDid = controller?.Did ?? "",
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
        }).ResponseAsync;
    }

    public async Task<RequestTransferResponse> RequestTransferAsync(Party owner, Party controller, Party target, TimeSpan? deadline = null) => await (await ToRequestTransferAsync(owner, controller, target, deadline))();

    public async Task<Func<Task<RequestTransferResponse>>> ToRequestTransferAsync(Party owner, Party controller, Party target, TimeSpan? deadline = null)
    {
        var challenge = await ChallengeAsync(ControlPurpose.TransferControllerRequest, owner, controller, also: r => r.TransferToOwnerDid = target.Did);
        return () => Controllers.RequestTransferAsync(new()
        {
            OwnerDid = owner.Did,
            ControllerDid = controller.Did,
            TransferToOwnerDid = target.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
            Deadline = deadline is { } span ? Google.Protobuf.WellKnownTypes.Duration.FromTimeSpan(span) : null,
        }).ResponseAsync;
    }

    public async Task<ConfirmTransferResponse> ConfirmTransferAsync(Party target, Party controller) => await (await ToConfirmTransferAsync(target, controller))();

    public async Task<Func<Task<ConfirmTransferResponse>>> ToConfirmTransferAsync(Party target, Party controller)
    {
        var challenge = await ChallengeAsync(ControlPurpose.TransferControllerConfirm, target, controller, also: r => r.TransferToOwnerDid = target.Did);
        return () => Controllers.ConfirmTransferAsync(new()
        {
            OwnerDid = target.Did,
            ControllerDid = controller.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = target.Sign(challenge.Message),
        }).ResponseAsync;
    }

    public async Task<CancelTransferResponse> CancelTransferAsync(Party owner, Party controller) => await (await ToCancelTransferAsync(owner, controller))();

    public async Task<Func<Task<CancelTransferResponse>>> ToCancelTransferAsync(Party owner, Party controller)
    {
        var challenge = await ChallengeAsync(ControlPurpose.TransferControllerCancel, owner, controller);
        return () => Controllers.CancelTransferAsync(new()
        {
            OwnerDid = owner.Did,
            ControllerDid = controller.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
        }).ResponseAsync;
    }

    public async Task<ExportIdentityResponse> ExportAsync(Party owner, Party controller, BundleVersion version = BundleVersion.Ed25519, Party? agent = null) => await (await ToExportAsync(owner, controller, version, agent))();

    public async Task<Func<Task<ExportIdentityResponse>>> ToExportAsync(Party owner, Party controller, BundleVersion version = BundleVersion.Ed25519, Party? agent = null)
    {
        var challenge = await ChallengeAsync(ControlPurpose.ExportIdentity, owner, controller, agent);
        return () => Portability.ExportIdentityAsync(new()
        {
            OwnerDid = owner.Did,
            ControllerDid = controller.Did,
            AgentDid = agent?.Did ?? "",
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
            BundleVersion = version,
        }).ResponseAsync;
    }

    public async Task<ImportIdentityResponse> ImportAsync(Party owner, byte[] bundle, string hash) => await (await ToImportAsync(owner, bundle, hash))();

    public async Task<Func<Task<ImportIdentityResponse>>> ToImportAsync(Party owner, byte[] bundle, string hash)
    {
        var challenge = await ChallengeAsync(ControlPurpose.ImportIdentity, owner, also: r => r.BundleHashB64U = hash);
        return () => Portability.ImportIdentityAsync(new()
        {
            OwnerDid = owner.Did,
            ChallengeId = challenge.ChallengeId,
            SignatureB64U = owner.Sign(challenge.Message),
            BundleJson = Google.Protobuf.ByteString.CopyFrom(bundle),
        }).ResponseAsync;
    }

    public Task<ImportIdentityResponse> ImportAsync(Party owner, ExportIdentityResponse exported) => ImportAsync(owner, exported.BundleJson.ToByteArray(), exported.BundleHashB64U);

    public Task<GetControlChainResponse> ReadChainAsync(Party controller, Party agent) =>
        Controllers.GetControlChainAsync(new() { ControllerDid = controller.Did, AgentDid = agent.Did }).ResponseAsync;

    /// <summary>What the canonical lane is asked for.</summary>
    public static IssueTokenRequest Canonical(Party owner, Party controller, Party agent, params string[] scopes) => new()
    {
        Lane = Protos.Types.V1.TokenLane.Canonical,
        Sub = agent.Did,
        Aud = new() { Values = { "clawproxy.example" } },
        Scope = { scopes.Length > 0 ? scopes : ["clawproxy:call"] },
        OwnerDid = owner.Did,
        ControllerDid = controller.Did,
    };

    public Task<IssueTokenResponse> IssueAsync(ChainOf chain, params string[] scopes) =>
        Issuance.IssueTokenAsync(Canonical(chain.Owner, chain.Controller, chain.Agent, scopes)).ResponseAsync;

    public async Task<bool> IsActiveAsync(string token) =>
        (await Introspection.IntrospectTokenAsync(new() { Token = token })).Active;

    public async Task<T> ScalarAsync<T>(string sql)
    {
        await using var admin = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(Database.Admin) { Pooling = false }.ConnectionString);
        await using var command = admin.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>The call is refused with this reason, and nothing is written.</summary>
    public async Task RefusesAsync(Reason reason, Func<Task> call)
    {
        long before = await ScalarAsync<long>("SELECT seq FROM ledger.head");
        var refusal = await Assert.ThrowsAsync<Refusal>(call);
        Assert.Equal(reason, refusal.Reason);
        Assert.Equal(before, await ScalarAsync<long>("SELECT seq FROM ledger.head"));
    }

    public async ValueTask DisposeAsync()
    {
        await Introspector.DisposeAsync();
        await Issuer.DisposeAsync();
        await Database.DisposeAsync();
    }

    private static Task ReadyAsync(TestProcess process) =>
        Eventually.HoldsAsync("the process is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);
}

/// <summary>An owner, his controller, an agent under it.</summary>
internal sealed record ChainOf(Party Owner, Party Controller, Party Agent);
