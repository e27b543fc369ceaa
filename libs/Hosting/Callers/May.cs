using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Callers;

/// <summary>Who may call an RPC: one line of the caller table.</summary>
public abstract record May
{
    private May()
    {
    }

    /// <summary>Anybody, with or without a credential. Credentials are not looked at, certificates are.</summary>
    public static May Public { get; } = new PublicCallers();

    /// <summary>Every service of the suite and of others whose certificate its CA signed, but not the Edge, which calls for other people.</summary>
    public static May AnyService { get; } = new ServiceCallers([]);

    internal virtual bool IsPublic => false;

    /// <summary>The scopes of admin keys that open the RPC; none means that no admin key does.</summary>
    internal virtual IReadOnlyList<string> AdminScopes => [];

    /// <summary>What a scoped token must hold to open the RPC; null: none does.</summary>
    internal virtual TokenDemand? Tokens => null;

    /// <summary>Admin keys with this scope.</summary>
    public static May AdminKey(string scope) => new AdminKeyCallers(scope);

    /// <summary>The services of these names.</summary>
    public static May Service(params string[] names) => names.Length > 0
        ? new ServiceCallers(names)
        : throw new ArgumentException("Name the services.", nameof(names));

    /// <summary>Holders of a canonical token with one of these scopes.</summary>
    public static May Token(params string[] anyOfScopes) => new TokenCallers(new TokenDemand(anyOfScopes, []));

    /// <summary>Holders of a canonical token with one of these scopes that may also make this transition.</summary>
    public static May Token(Transition transition, params string[] anyOfScopes) => new TokenCallers(new TokenDemand(anyOfScopes, [transition]));

    /// <summary>Whoever one of these admits.</summary>
    public static May AnyOf(params May[] alternatives) => new Alternatives(alternatives);

    internal abstract bool Admits(Caller caller);

    private sealed record PublicCallers : May
    {
        internal override bool IsPublic => true;

        internal override bool Admits(Caller caller) => true;

        public override string ToString() => "anybody";
    }

    private sealed record AdminKeyCallers(string Scope) : May
    {
        internal override IReadOnlyList<string> AdminScopes => [Scope];

        internal override bool Admits(Caller caller) => caller is Caller.AdminKey key && key.HasScope(Scope);

        public override string ToString() => $"admin keys with {Scope}";
    }

    private sealed record ServiceCallers(string[] Names) : May
    {
        internal override bool Admits(Caller caller) => caller is Caller.Service service
            && (Names.Length > 0 ? Names.Contains(service.ServiceName) : service.ServiceName != Caller.Service.Edge);

        public override string ToString() => Names.Length > 0 ? $"services {string.Join(", ", Names)}" : "services";
    }

    private sealed record TokenCallers(TokenDemand Demand) : May
    {
        internal override TokenDemand Tokens => Demand;

        // Judged claim by claim when the call came; what a token may do does not change while it lives.
        internal override bool Admits(Caller caller) => caller is Caller.Token;

        public override string ToString() => $"tokens with {string.Join(" or ", Demand.AnyOfScopes)}";
    }

    private sealed record Alternatives(May[] Items) : May
    {
        internal override TokenDemand? Tokens { get; } = Items.Select(item => item.Tokens).SingleOrDefault(demand => demand is not null);

        internal override bool IsPublic { get; } = Items.Any(item => item.IsPublic);

        internal override IReadOnlyList<string> AdminScopes { get; } = [.. Items.SelectMany(item => item.AdminScopes)];

        internal override bool Admits(Caller caller)
        {
            foreach (var item in Items)
            {
                if (item.Admits(caller)) return true;
            }
            return false;
        }

        public override string ToString() => string.Join("; ", Items.Select(item => item.ToString()));
    }
}

/// <summary>Rows 8 and 9 of clawscope-http.md 0.1 C for one RPC.</summary>
internal sealed record TokenDemand(IReadOnlyList<string> AnyOfScopes, IReadOnlyList<Transition> Transitions);
