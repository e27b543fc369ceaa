using ClawBureau.Hosting.Callers;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>Judges callers' tokens as it would introspect them: by everything acknowledged before the call came.</summary>
public sealed class FollowedCallerTokens(IFeedSource source, RevocationSet live, IntrospectorClock clock) : ICallerTokens
{
    public async Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken)
    {
        var parsed = TokenParser.Parse(compact);
        await source.JoinNextRead().WaitAsync(cancellationToken);
        var token = JwsVerifier.Verify(parsed, source.Keys, clock.UtcNow);
        return new PresentedToken(token.TokenHash, token.Claims, token.KeyId, token.IsForeign, live.Find(token) is not null);
    }
}
