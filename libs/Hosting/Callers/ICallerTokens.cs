using ClawBureau.Tokens;

namespace ClawBureau.Hosting.Callers;

/// <summary>A scoped token shown as credential that is genuine and current. Whether it opens anything is for the gate.</summary>
/// <param name="Hash">What it is called wherever it is written down.</param>
/// <param name="Claims">As they stand in the token, whose signature was checked.</param>
/// <param name="KeyId">The key that verified it.</param>
/// <param name="IsForeign">That key never signed here.</param>
/// <param name="IsRevoked">It or a group of it is dead, by everything acknowledged before it was asked for.</param>
public sealed record PresentedToken(TokenHash Hash, TokenClaims Claims, KeyId KeyId, bool IsForeign, bool IsRevoked);

/// <summary>
/// How a process judges the tokens of its callers: rows 5 and 6 of clawscope-http.md 0.1 C. Each has its own way, and in each
/// nothing that was acknowledged before the call is missing (DESIGN "Callers").
/// </summary>
public interface ICallerTokens
{
    /// <exception cref="Refusal">What introspection would say of it: any of reasons 200 to 209, SIGNING_*; or that it cannot be
    /// judged now: LEDGER_*, NOT_READY, PEER_UNAVAILABLE, DEPENDENCY_NOT_CONFIGURED.</exception>
    Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken);
}

/// <summary>Of a process that was given no way to judge tokens: it admits none.</summary>
internal sealed class NoCallerTokens : ICallerTokens
{
    public Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken) =>
        throw new Refusal(Reason.DependencyNotConfigured, "This process has nobody to ask about scoped tokens");
}
