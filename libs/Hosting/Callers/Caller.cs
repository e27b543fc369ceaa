using System.Collections.Immutable;
using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Callers;

/// <summary>Who calls, as the process has proved it. The name is what the ledger and the audit log record.</summary>
public abstract record Caller
{
    private Caller()
    {
    }

    /// <summary>Such as <c>admin:ops</c> or <c>service:verifier</c>.</summary>
    public abstract string Name { get; }

    /// <summary>Nobody in particular: what is public is all there is for him.</summary>
    public sealed record Anonymous : Caller
    {
        public override string Name => "anonymous";
    }

    /// <summary>The holder of a named admin key.</summary>
    public sealed record AdminKey(string KeyName, IReadOnlyCollection<string> Scopes) : Caller
    {
        public override string Name { get; } = $"admin:{KeyName}";

        /// <summary>By which the key is found again when the key file has changed.</summary>
        internal ImmutableArray<byte> KeyHash { get; init; } = [];

        /// <summary>True for the scope itself and for a key with the scope <c>*</c>.</summary>
        public bool HasScope(string scope) => Scopes.Contains(scope) || Scopes.Contains("*");
    }

    /// <summary>The holder of a scoped token of the canonical lane; goes by the token's subject.</summary>
    /// <param name="Credential">The token, as it was judged when the call came.</param>
    /// <param name="IsOperator">Its owner is one of the configured operators, so it acts for no owner.</param>
    public sealed record Token(PresentedToken Credential, bool IsOperator) : Caller
    {
        public override string Name => Credential.Claims.Sub;

        /// <summary>Whose things it may read and act on.</summary>
        public string OwnerDid { get; } = Credential.Claims.OwnerDid?.ToString() ?? throw new ArgumentException("a caller's token names its owner", nameof(Credential));

        public TokenHash TokenHash => Credential.Hash;

        public override string ToString() => $"token {TokenHash}";
    }

    /// <summary>The holder of a client certificate of the suite's CA.</summary>
    public sealed record Service(string SpiffeId, string ServiceName, DateTimeOffset ExpiresAt) : Caller
    {
        /// <summary>
        /// The HTTP face: it brings other people's credentials, so its own certificate opens only what the table says it does
        /// (DESIGN "Callers").
        /// </summary>
        public const string Edge = "edge";

        public override string Name { get; } = $"service:{ServiceName}";
    }
}
