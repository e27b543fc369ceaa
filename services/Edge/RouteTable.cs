using System.Collections.Frozen;
using System.Text;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>Who may call a route (clawscope-http.md 0.1). The owning service judges; here it decides which credential is handed on.</summary>
internal enum Access
{
    /// <summary>Anybody: no credential is handed on, the Edge's own certificate opens it.</summary>
    Public,

    /// <summary>As the public, or what stands in Authorization where introspection is not public (SCOPE_INTROSPECT_AUTH).</summary>
    Introspection,

    /// <summary>A client that RFC 7662 speaks of: Basic or Bearer, always.</summary>
    Client,

    /// <summary>Class B: what stands in Authorization.</summary>
    AdminKey,

    /// <summary>Class C: a token, or an admin key where SCOPE_PROTECTED_AUTH_MODE says so.</summary>
    Protected,
}

/// <summary>One line of the HTTP contract.</summary>
internal sealed record Route(string Method, string Path, Access Access, Func<EdgeCall, Task<Answer>> Handle)
{
    /// <summary>How this route's contract tells a refusal.</summary>
    public Func<Refusal, Answer> Refuse { get; init; } = Answer.Refused;

    /// <summary>The route takes a form-encoded body; the same path takes JSON on another route.</summary>
    public bool TakesForm { get; init; }

    /// <summary>The largest body taken.</summary>
    public int MostBodyBytes { get; init; } = HttpFace.MostBodyBytes;

    /// <summary>Answers that hold or concern a token are kept by nobody on the way.</summary>
    public bool IsPrivate => Method == HttpMethods.Post || Access == Access.Protected;
}

/// <summary>Every route. What is not here is 404, a wrong method too (clawscope-http.md 0).</summary>
internal sealed class RouteTable
{
    private static readonly Route Unknown = new("", "unknown", Access.Public, _ => throw new Refusal(Reason.NotFound));

    private readonly Route[] _all;
    private readonly FrozenDictionary<(string Method, string Path, bool TakesForm), Route> _routes;
    private readonly (string[] Segments, Route Route)[] _patterns;      // paths in which a DID stands

    public RouteTable(EdgeOptions options, KeyRoutes keys, TokenRoutes tokens, IntrospectionRoutes introspection, RevocationRoutes revocations, RevocationFeed feed, AuditRoutes audit, VerificationRoutes verification,
        BindingRoutes bindings, ControlRoutes control, BootstrapRoutes bootstrap)
    {
        Route[] all =
        [
            new("GET", "/health", Access.Public, _ => Task.FromResult(Health(options))),
            new("GET", "/skill.md", Access.Public, _ => Task.FromResult(Skill(options))),
            new("GET", "/v1/did", Access.Public, keys.DidAsync),
            new("GET", "/v1/jwks", Access.Public, keys.JwksAsync),
            new("GET", "/v1/keys/rotation-contract", Access.Public, keys.RotationContractAsync),
            new("GET", "/v1/keys/transparency/latest", Access.Public, keys.LatestSnapshotAsync),
            new("GET", "/v1/keys/transparency/history", Access.Protected, keys.HistoryAsync),
            new("POST", "/v1/keys/transparency/snapshot", Access.Protected, keys.CreateSnapshotAsync),
            new("POST", "/v1/tokens/issue", Access.AdminKey, tokens.IssueAsync) { Refuse = TokenRoutes.RefuseIssue },
            new("POST", "/v1/tokens/issue/canonical", Access.AdminKey, tokens.IssueCanonicalAsync) { Refuse = TokenRoutes.RefuseCanonical },
            new("POST", "/v1/tokens/introspect", Access.Introspection, tokens.IntrospectAsync),
            new("POST", "/v1/tokens/introspect", Access.Client, introspection.IntrospectFormAsync) { Refuse = OAuthAnswer.Refuse, TakesForm = true },
            new("POST", "/v1/tokens/introspect/matrix", Access.Introspection, introspection.MatrixAsync),
            new("POST", "/v1/tokens/revoke", Access.Protected, revocations.RevokeAsync),
            new("POST", "/v1/tokens/revoke", Access.Protected, revocations.RevokeFormAsync) { Refuse = OAuthAnswer.Refuse, TakesForm = true },
            new("GET", "/v1/revocations/stream", Access.Protected, feed.StreamAsync),
            new("GET", "/v1/revocations/events", Access.Protected, revocations.EventsAsync),
            new("GET", "/v1/audit/issuance", Access.Protected, audit.IssuanceAsync),
            new("GET", "/v1/audit/bundle", Access.Protected, audit.BundleAsync),
            new("POST", "/v1/verify/token-control", Access.Public, verification.TokenControlAsync) { Refuse = verification.Refuse },
            new("POST", "/v1/verify/control-chain", Access.Public, verification.ControlChainAsync) { Refuse = verification.Refuse },
            .. bindings.Routes,
            .. control.Routes,
            .. bootstrap.Routes,
        ];
        _all = all;
        _routes = all.Where(route => !route.Path.Contains('{')).ToFrozenDictionary(route => (route.Method, route.Path, route.TakesForm));
        _patterns = [.. all.Where(route => route.Path.Contains('{')).Select(route => (route.Path.Split('/'), route))];
    }

    /// <summary>Exact, also in case and trailing slash.</summary>
    public Route Find(string method, PathString path, bool isForm) =>
        (isForm && _routes.TryGetValue((method, path.Value ?? "", true), out var route)) || _routes.TryGetValue((method, path.Value ?? "", false), out route)
            ? route
            : FindPattern(method, (path.Value ?? "").Split('/'));

    private Route FindPattern(string method, string[] segments)
    {
        foreach (var (pattern, route) in _patterns)
        {
            if (route.Method == method && pattern.Length == segments.Length && pattern.Zip(segments).All(pair => pair.First.StartsWith('{') ? pair.Second.Length > 0 : pair.First == pair.Second))
                return route;
        }
        return Unknown;
    }

    private static Answer Health(EdgeOptions options) => Answer.Ok(json => json
        .Name("status").Value("ok")
        .Name("service").Value("clawscope")
        .Name("version").Value(options.Version));

    /// <summary>The routes as an agent reads them.</summary>
    private Answer Skill(EdgeOptions options)
    {
        var text = new StringBuilder("# clawscope\n\nScoped tokens for agents: issue, introspect, revoke. JSON in, JSON out.\n\n");
        foreach (var route in _all.DistinctBy(route => (route.Method, route.Path)))
            text.Append("- `").Append(route.Method).Append(' ').Append(route.Path).Append("`: ").Append(WhoMayCall(route.Access, options)).Append('\n');
        return new Answer(StatusCodes.Status200OK, Encoding.UTF8.GetBytes(text.ToString()))
        {
            IsIndented = false,
            ContentType = "text/markdown; charset=utf-8",
            Headers = [("X-Scope-Version", options.Version)],
        };
    }

    private static string WhoMayCall(Access access, EdgeOptions options) => access switch
    {
        Access.AdminKey => "admin key",
        Access.Protected when options.ProtectedAuth == ProtectedAuthMode.AdminToken => "admin key",
        Access.Protected => "canonical token in X-CST",
        Access.Introspection when !options.IsIntrospectionPublic => "admin key",
        _ => "public",
    };
}
