using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Callers;

/// <summary>
/// The one table of the suite: RPC → who may call. What is not in it is denied, and a process that maps an RPC which is not in
/// it does not start.
/// </summary>
public sealed class CallerTable
{
    private static readonly May AnyService = May.AnyService;

    // The certificate of a person who runs the suite.
    private static readonly May Operator = May.Service("operator");

    // clawscope-http.md 1: who takes tokens back, and who reads the records.
    private static readonly May RevokingToken = May.Token(Transition.RevokeToken, "control:token:revoke", "control:token:issue_sensitive");
    private static readonly May RotatingToken = May.Token(Transition.RotateKey, "control:key:rotate");
    private static readonly May SnapshotToken = May.Token(Transition.RotateKey, "control:key:rotate", "control:token:issue_sensitive");
    private static readonly May ReadingToken = May.Token("control:audit:read");

    private readonly FrozenDictionary<string, May> rules;

    /// <param name="rules">Full method names, such as <c>/clawbureau.issuance.v1.IssuanceService/IssueToken</c>.</param>
    public CallerTable(IEnumerable<KeyValuePair<string, May>> rules) =>
        this.rules = new Dictionary<string, May>(rules, StringComparer.Ordinal).ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The lines of every service of the suite, and of the gRPC services that stand beside them.</summary>
    public static CallerTable Suite { get; } = new(Merge(
        Of("clawbureau.issuance.v1.IssuanceService",
            ("IssueToken", Operators("tokens:issue"))),
        Of("clawbureau.revocation.v1.RevocationService",
            ("RevokeTokens", May.AnyOf(Operators("tokens:revoke"), RevokingToken)),
            ("BlockGroup", May.AnyOf(Operators("tokens:revoke"), RevokingToken)),
            ("LiftBlock", May.AnyOf(Operators("tokens:revoke"), RevokingToken))),
        Of("clawbureau.keys.v1.KeyService",
            ("GetKeySet", May.Public),
            ("RotateKey", May.AnyOf(Operators("keys:rotate"), RotatingToken)),
            ("RevokeKey", May.AnyOf(Operators("keys:rotate"), RotatingToken)),
            ("GetTransparencySnapshot", May.Public),
            ("CreateTransparencySnapshot", May.AnyOf(Operators("keys:rotate"), SnapshotToken)),
            ("ListTransparencySnapshots", May.AnyOf(Operators("audit:read"), ReadingToken))),
        Of("clawbureau.policy.v1.PolicyService",
            ("GetPolicy", May.AnyOf(Operators("policy:read"), ReadingToken)),
            ("PutPolicy", Operators("policy:write")),
            ("ListPolicyVersions", May.AnyOf(Operators("policy:read"), ReadingToken)),
            ("CheckPolicy", May.AnyOf(Operators("policy:read"), May.AdminKey("tokens:issue")))),
        Of("clawbureau.introspection.v1.IntrospectionService",
            // The Edge stands for public introspection over HTTP; the endpoint decides whether it is switched on.
            ("IntrospectToken", May.AnyOf(AnyService, May.Service(Caller.Service.Edge), May.AdminKey("tokens:introspect"))),
            ("BatchIntrospectTokens", May.AnyOf(AnyService, May.AdminKey("tokens:introspect"))),
            ("GetTransitionMatrix", May.AnyOf(AnyService, May.Service(Caller.Service.Edge), May.AdminKey("tokens:introspect")))),
        Of("clawbureau.feed.v1.FeedService",
            ("WatchRevocations", May.AnyOf(AnyService, May.AdminKey("feed:read"))),
            ("GetSnapshot", May.AnyOf(AnyService, May.AdminKey("feed:read"))),
            ("ListRevocations", May.AnyOf(AnyService, May.AdminKey("feed:read"), May.AdminKey("audit:read"), ReadingToken)),
            ("ReadIndex", May.AnyOf(AnyService, May.AdminKey("feed:read"))),
            ("AckApplied", May.AnyOf(AnyService, May.AdminKey("feed:read")))),
        Of("clawbureau.verification.v1.VerificationService",
            ("VerifyToken", May.AnyOf(AnyService, May.AdminKey("tokens:verify"))),
            ("BatchVerifyTokens", May.AnyOf(AnyService, May.AdminKey("tokens:verify"))),
            // As with introspection, the endpoint decides whether the public may ask through the Edge.
            ("VerifyTokenControl", May.AnyOf(AnyService, May.Service(Caller.Service.Edge), May.AdminKey("tokens:verify"))),
            ("VerifyControlChain", May.AnyOf(AnyService, May.Service(Caller.Service.Edge), May.AdminKey("tokens:verify")))),
        Of("clawbureau.audit.v1.AuditService",
            ("AppendEvents", May.AnyOf(AnyService, May.Service(Caller.Service.Edge))),
            ("GetSourceCursor", May.AnyOf(AnyService, May.Service(Caller.Service.Edge), May.AdminKey("audit:read"))),
            ("ListEvents", May.AnyOf(Operators("audit:read"), ReadingToken)),
            ("GetCheckpoint", May.Public),
            ("GetInclusionProof", May.AnyOf(Operators("audit:read"), ReadingToken)),
            ("GetConsistencyProof", May.Public),
            ("ExportBundle", May.AnyOf(Operators("audit:read"), ReadingToken))),
        // In the control plane the signature of the challenge entitles; there is no other credential to ask for.
        Of("clawbureau.control.v1.BindingService",
            ("CreateBindingChallenge", May.Public),
            ("BindDid", May.Public),
            ("RevokeBinding", May.Public)),
        Of("clawbureau.control.v1.ControllerService",
            ("CreateControlChallenge", May.Public),
            ("RegisterController", May.Public),
            ("RegisterAgent", May.Public),
            ("UpdateSensitivePolicy", May.Public),
            ("ConfirmRotation", May.Public),
            ("RequestTransfer", May.Public),
            ("ConfirmTransfer", May.Public),
            ("CancelTransfer", May.Public),
            ("GetController", May.Public),
            ("ListAgents", May.Public),
            ("GetControlChain", May.Public)),
        Of("clawbureau.control.v1.PortabilityService",
            ("ExportIdentity", May.Public),
            ("ImportIdentity", May.Public)),
        Of("clawbureau.control.v1.BootstrapService",
            ("CreateTokenChallenge", May.Public),
            ("ExchangeToken", May.Public),
            ("BootstrapDelegation", May.AnyOf(AnyService, May.AdminKey("delegations:bootstrap")))),
        Of("grpc.health.v1.Health",
            ("Check", May.Public),
            ("Watch", May.Public)),
        Of("grpc.reflection.v1.ServerReflection",
            ("ServerReflectionInfo", May.Public))));

    public IReadOnlyCollection<string> Rpcs => rules.Keys;

    internal bool TryFind(string rpc, [NotNullWhen(true)] out May? rule) => rules.TryGetValue(rpc, out rule);

    /// <summary>Compares the table with what a process maps.</summary>
    /// <param name="mapped">Full method names.</param>
    /// <exception cref="StartRefused">A mapped RPC has no line, or a line of a mapped service names an RPC that it does not have.</exception>
    internal void RequireCovers(IReadOnlyCollection<string> mapped)
    {
        var missing = mapped.Where(rpc => !rules.ContainsKey(rpc)).Order(StringComparer.Ordinal).ToArray();
        var services = mapped.Select(ServiceOf).ToHashSet(StringComparer.Ordinal);
        var extra = rules.Keys.Where(rpc => services.Contains(ServiceOf(rpc))).Except(mapped).Order(StringComparer.Ordinal).ToArray();
        if (missing.Length > 0)
            throw new StartRefused($"The caller table does not say who may call {string.Join(", ", missing)}: add a line to CallerTable.cs.");
        if (extra.Length > 0)
            throw new StartRefused($"The caller table names {string.Join(", ", extra)}, which no mapped service has: take the line out of CallerTable.cs.");
    }

    private static string ServiceOf(string rpc) => rpc[..rpc.LastIndexOf('/')];

    private static May Operators(string scope) => May.AnyOf(May.AdminKey(scope), Operator);

    private static IEnumerable<KeyValuePair<string, May>> Of(string service, params (string Rpc, May Rule)[] lines) =>
        lines.Select(line => KeyValuePair.Create($"/{service}/{line.Rpc}", line.Rule));

    private static IEnumerable<KeyValuePair<string, May>> Merge(params IEnumerable<KeyValuePair<string, May>>[] services) =>
        services.SelectMany(lines => lines);
}
