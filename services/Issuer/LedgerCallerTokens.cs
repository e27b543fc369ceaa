using ClawBureau.Hosting.Callers;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Issuer;

/// <summary>
/// Judges callers' tokens by the ledger itself, so that taking tokens back needs no other service: the keys, then what stands
/// against the token, each read after the call came. What the caller then does is judged once more in its own transaction
/// (<see cref="Ledger.ActingToken"/>).
/// </summary>
public sealed class LedgerCallerTokens(LedgerReads ledger, DatabaseClock clock) : ICallerTokens
{
    public async Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken)
    {
        var parsed = TokenParser.Parse(compact);
        try
        {
            var keys = await ledger.Reader.ReadKeysAsync(cancellationToken);
            var set = new KeyStates(keys.Select(k => k.Key)).ToVerificationKeys();
            var token = JwsVerifier.Verify(parsed, set, clock.Now());
            var isDead = await ledger.Reader.IsDeadAsync(token.TokenHash, token.Claims.Jti, token.Claims.IssuedAt, TokenGroups.Of(token.Claims, token.KeyId), cancellationToken)
                ?? throw new Refusal(Reason.LedgerUnavailable, "The database is a standby; only the primary knows what is revoked.");
            return new PresentedToken(token.TokenHash, token.Claims, token.KeyId, token.IsForeign, isDead);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }
}
