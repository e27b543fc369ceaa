using System.Reflection;
using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace ClawBureau.Hosting.Tests;

public sealed class CallerTableTests
{
    // Every RPC that the protos of the suite declare.
    private static readonly string[] Declared =
    [
        .. typeof(IssueTokenRequest).Assembly.GetTypes()
            .Where(type => type.Name.EndsWith("Reflection", StringComparison.Ordinal))
            .Select(type => type.GetProperty("Descriptor", BindingFlags.Public | BindingFlags.Static)?.GetValue(null))
            .OfType<Google.Protobuf.Reflection.FileDescriptor>()
            .SelectMany(file => file.Services)
            .SelectMany(service => service.Methods)
            .Select(method => $"/{method.Service.FullName}/{method.Name}")
            .Order(StringComparer.Ordinal),
    ];

    [Fact]
    public void Every_rpc_of_the_protos_is_in_the_table_and_none_extra() =>
        Assert.Equal(Declared, CallerTable.Suite.Rpcs.Order(StringComparer.Ordinal));

    [Fact]
    public async Task A_mapped_rpc_that_is_missing_in_the_table_refuses_the_start()
    {
        var refused = await Assert.ThrowsAsync<StartRefused>(() => RunningProcess.StartAsync(
            app => app.MapGrpcService<ProbeEndpoint>(), add: services => services.AddSingleton(new ProbeEndpoint((_, _) => Task.FromResult("")))));

        Assert.Contains("/clawbureau.probe.v1.ProbeService/Unary", refused.Message);
    }

    [Fact]
    public async Task A_line_for_an_rpc_that_its_service_does_not_have_refuses_the_start()
    {
        var table = new CallerTable(CallerTable.Suite.Rpcs.Append("/clawbureau.issuance.v1.IssuanceService/IssueEverything").ToDictionary(rpc => rpc, _ => May.Public));

        var refused = await Assert.ThrowsAsync<StartRefused>(() => RunningProcess.StartAsync(
            app => app.MapGrpcService<Issuance>(), add: services => services.Replace(ServiceDescriptor.Singleton(table))));

        Assert.Contains("IssueEverything", refused.Message);
    }

    [Fact]
    public void A_caller_that_no_line_names_is_denied()
    {
        Caller key = new Caller.AdminKey("k", ["tokens:revoke"]);
        Caller all = new Caller.AdminKey("all", ["*"]);
        Caller edge = new Caller.Service("spiffe://claw.local/edge", "edge", DateTimeOffset.MaxValue);
        Caller verifier = new Caller.Service("spiffe://claw.local/verifier", "verifier", DateTimeOffset.MaxValue);
        Caller operators = new Caller.Service("spiffe://claw.local/operator", "operator", DateTimeOffset.MaxValue);
        Caller nobody = new Caller.Anonymous();

        string Admitted(string rpc)
        {
            Assert.True(CallerTable.Suite.TryFind(rpc, out var rule));
            return string.Join(' ', new[] { ("key", key), ("all", all), ("edge", edge), ("verifier", verifier), ("operator", operators), ("nobody", nobody) }
                .Where(caller => rule.Admits(caller.Item2)).Select(caller => caller.Item1));
        }

        Assert.Equal("all operator", Admitted("/clawbureau.issuance.v1.IssuanceService/IssueToken"));
        Assert.Equal("key all operator", Admitted("/clawbureau.revocation.v1.RevocationService/RevokeTokens"));
        Assert.Equal("all edge verifier operator", Admitted("/clawbureau.introspection.v1.IntrospectionService/IntrospectToken"));
        Assert.Equal("all verifier operator", Admitted("/clawbureau.feed.v1.FeedService/WatchRevocations"));
        Assert.Equal("key all edge verifier operator nobody", Admitted("/clawbureau.keys.v1.KeyService/GetKeySet"));
    }

    /// <summary>clawscope-http.md 1: each line that a token opens, its scopes, and the transition it has to be allowed.</summary>
    [Fact]
    public void Tokens_open_what_the_contract_and_the_proto_comments_say_and_nothing_else()
    {
        var opened = CallerTable.Suite.Rpcs.Order(StringComparer.Ordinal).Select(rpc =>
        {
            Assert.True(CallerTable.Suite.TryFind(rpc, out var rule));
            return rule.Tokens is null ? null : $"{rpc.Split('/')[2]}: {string.Join(" or ", rule.Tokens.AnyOfScopes)} {string.Join(' ', rule.Tokens.Transitions)}".TrimEnd();
        }).OfType<string>();
        Assert.Equal(
            [
                "ExportBundle: control:audit:read",
                "GetInclusionProof: control:audit:read",
                "ListEvents: control:audit:read",
                "ListRevocations: control:audit:read",
                "CreateTransparencySnapshot: control:key:rotate or control:token:issue_sensitive key.rotate",
                "ListTransparencySnapshots: control:audit:read",
                "RevokeKey: control:key:rotate key.rotate",
                "RotateKey: control:key:rotate key.rotate",
                "GetPolicy: control:audit:read",
                "ListPolicyVersions: control:audit:read",
                "BlockGroup: control:token:revoke or control:token:issue_sensitive token.revoke",
                "LiftBlock: control:token:revoke or control:token:issue_sensitive token.revoke",
                "RevokeTokens: control:token:revoke or control:token:issue_sensitive token.revoke",
            ],
            opened);
    }

    [Fact]
    public void Later_rpcs_exist_and_the_list_does_not_grow()
    {
        Assert.Empty(LaterRpcs.Issues.Keys.Except(Declared));
        // Issue → how many RPCs it still has to fill. These numbers only go down.
        Assert.Equal(
            new Dictionary<int, int> { [8] = 4 },
            LaterRpcs.Issues.Values.CountBy(issue => issue).ToDictionary());
        Assert.Equal(
            [
                "/clawbureau.audit.v1.AuditService/AppendEvents",
                "/clawbureau.audit.v1.AuditService/GetSourceCursor",
                "/clawbureau.audit.v1.AuditService/ListEvents",
                "/clawbureau.control.v1.BindingService/BindDid",
                "/clawbureau.control.v1.BindingService/CreateBindingChallenge",
                "/clawbureau.control.v1.BindingService/RevokeBinding",
                "/clawbureau.control.v1.BootstrapService/BootstrapDelegation",
                "/clawbureau.control.v1.BootstrapService/CreateTokenChallenge",
                "/clawbureau.control.v1.BootstrapService/ExchangeToken",
                "/clawbureau.control.v1.ControllerService/CancelTransfer",
                "/clawbureau.control.v1.ControllerService/ConfirmRotation",
                "/clawbureau.control.v1.ControllerService/ConfirmTransfer",
                "/clawbureau.control.v1.ControllerService/CreateControlChallenge",
                "/clawbureau.control.v1.ControllerService/GetControlChain",
                "/clawbureau.control.v1.ControllerService/GetController",
                "/clawbureau.control.v1.ControllerService/ListAgents",
                "/clawbureau.control.v1.ControllerService/RegisterAgent",
                "/clawbureau.control.v1.ControllerService/RegisterController",
                "/clawbureau.control.v1.ControllerService/RequestTransfer",
                "/clawbureau.control.v1.ControllerService/UpdateSensitivePolicy",
                "/clawbureau.control.v1.PortabilityService/ExportIdentity",
                "/clawbureau.control.v1.PortabilityService/ImportIdentity",
                "/clawbureau.feed.v1.FeedService/AckApplied",
                "/clawbureau.feed.v1.FeedService/GetSnapshot",
                "/clawbureau.feed.v1.FeedService/ListRevocations",
                "/clawbureau.feed.v1.FeedService/ReadIndex",
                "/clawbureau.feed.v1.FeedService/WatchRevocations",
                "/clawbureau.introspection.v1.IntrospectionService/BatchIntrospectTokens",
                "/clawbureau.introspection.v1.IntrospectionService/GetTransitionMatrix",
                "/clawbureau.introspection.v1.IntrospectionService/IntrospectToken",
                "/clawbureau.issuance.v1.IssuanceService/IssueToken",
                "/clawbureau.keys.v1.KeyService/CreateTransparencySnapshot",
                "/clawbureau.keys.v1.KeyService/GetKeySet",
                "/clawbureau.keys.v1.KeyService/GetTransparencySnapshot",
                "/clawbureau.keys.v1.KeyService/ListTransparencySnapshots",
                "/clawbureau.keys.v1.KeyService/RevokeKey",
                "/clawbureau.keys.v1.KeyService/RotateKey",
                "/clawbureau.policy.v1.PolicyService/CheckPolicy",
                "/clawbureau.policy.v1.PolicyService/GetPolicy",
                "/clawbureau.policy.v1.PolicyService/ListPolicyVersions",
                "/clawbureau.policy.v1.PolicyService/PutPolicy",
                "/clawbureau.revocation.v1.RevocationService/BlockGroup",
                "/clawbureau.revocation.v1.RevocationService/LiftBlock",
                "/clawbureau.revocation.v1.RevocationService/RevokeTokens",
                "/clawbureau.verification.v1.VerificationService/BatchVerifyTokens",
                "/clawbureau.verification.v1.VerificationService/VerifyControlChain",
                "/clawbureau.verification.v1.VerificationService/VerifyToken",
                "/clawbureau.verification.v1.VerificationService/VerifyTokenControl",
            ],
            Declared.Except(LaterRpcs.Issues.Keys).Where(rpc => rpc.StartsWith("/clawbureau.", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_later_rpc_answers_UNIMPLEMENTED_with_its_reason_to_everybody()
    {
        await using var process = await RunningProcess.StartAsync(app => app.MapGrpcService<Audit>());
        using var channel = process.Connect();

        var refusal = await Assert.ThrowsAsync<Refusal>(async () =>
            await new AuditService.AuditServiceClient(channel.Calls).GetCheckpointAsync(new GetCheckpointRequest()));

        Assert.Equal(Reason.RpcNotAvailable, refusal.Reason);
    }

    [Fact]
    public async Task A_service_of_the_suite_is_reached_by_the_callers_of_its_line_alone()
    {
        await using var process = await RunningProcess.StartAsync(app => app.MapGrpcService<Issuance>());
        using var admin = process.Connect(adminKey: RunningProcess.AdminKey);
        using var verifier = process.Connect("verifier");

        Assert.Equal("admin:scope-admin", (await new IssuanceService.IssuanceServiceClient(admin.Calls).IssueTokenAsync(new IssueTokenRequest())).Kid);
        var refusal = await Assert.ThrowsAsync<Refusal>(async () =>
            await new IssuanceService.IssuanceServiceClient(verifier.Calls).IssueTokenAsync(new IssueTokenRequest()));
        Assert.Equal(Reason.CallerNotAllowed, refusal.Reason);
    }

    private sealed class Issuance : IssuanceService.IssuanceServiceBase
    {
        public override Task<IssueTokenResponse> IssueToken(IssueTokenRequest request, Grpc.Core.ServerCallContext context) =>
            Task.FromResult(new IssueTokenResponse { Kid = context.GetCaller().Name });
    }

    private sealed class Audit : AuditService.AuditServiceBase;
}
