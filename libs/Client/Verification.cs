using System.Diagnostics.CodeAnalysis;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;

namespace ClawBureau.Client;

/// <summary>
/// What was found out about a token. One that is not good is an answer; that no answer can be given freshly enough is a
/// <see cref="Refusal"/>. A value, so that a token found good from memory costs no allocation.
/// </summary>
public readonly record struct Verification
{
    /// <summary>Good, and fit for what was asked of it.</summary>
    [MemberNotNullWhen(true, nameof(Claims))]
    public bool IsValid => Reason == Reason.Unspecified && Claims is not null;

    /// <summary>Why it is not; Unspecified when it is valid.</summary>
    public Reason Reason { get; init; }

    /// <summary>For people; null: the reason's own.</summary>
    public string? Sentence { get; init; }

    /// <summary>The requirement that is not met, as on the wire; null for everything else.</summary>
    public string? Field { get; init; }

    /// <summary>What the requirement lists; null for everything else.</summary>
    public string? Required { get; init; }

    public TokenHash TokenHash { get; init; }

    /// <summary>Set once the signature is good, also when the token is revoked or unfit.</summary>
    public TokenClaims? Claims { get; init; }

    /// <summary>The key it was verified with; meaningful with <see cref="Claims"/>.</summary>
    public KeyId KeyId { get; init; }

    public KidSource KidSource { get; init; }

    /// <summary>Its key never signed at the issuer.</summary>
    public bool IsForeign { get; init; }

    public bool IsRevoked => Reason == Reason.TokenRevoked;

    /// <summary>Since when it is dead; null when it is not revoked.</summary>
    public DateTimeOffset? RevokedAt { get; init; }

    /// <summary>The group whose block or cut it is; null when the token itself was revoked.</summary>
    public RevocationKind? RevokedByGroup { get; init; }

    public Confidence Confidence { get; init; }

    /// <exception cref="Refusal">The token is not valid; the reason says why.</exception>
    public TokenClaims Require() => IsValid ? Claims : throw ToRefusal();

    /// <summary>The answer as a refusal, for whoever was shown this token as a credential.</summary>
    public Refusal ToRefusal() => new(Reason, Sentence, Required is null ? null : new Dictionary<string, string>(1) { ["required"] = Required });

    /// <summary>For people.</summary>
    public string Explain() => IsValid ? "The token is valid" : Sentence ?? (ReasonCatalog.TryFind(Reason, out var entry) ? entry.Sentence : Reason.ToString());
}
