using ClawBureau.Hosting.Telemetry;
using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>One token to be revoked, by the name its revoker has for it.</summary>
public sealed record RevocationOrder(TokenHash? TokenHash, string? Jti);

/// <summary>Takes tokens back. Nothing is parsed or verified: any text may be revoked (clawscope-http.md 1.3).</summary>
public sealed class Revoker(IssuerOptions options, LedgerWriter ledger, DatabaseClock clock, ControlViews views, ILogger<Revoker> log)
{
    /// <summary>Answered after commit; a token that is revoked already is answered with its first revocation.</summary>
    /// <exception cref="Refusal">TEXT_NOT_STORABLE, LEDGER_*.</exception>
    public async Task<ActOutcome> RevokeAsync(RevocationOrder order, string? reason, string caller, Correlation correlation, CancellationToken cancellationToken)
    {
        var outcome = await ledger.AppendAsync(new RevokeTokenAct
        {
            Caller = caller,
            Correlation = correlation,
            TokenHash = order.TokenHash,
            Jti = order.Jti,
            Reason = reason,
            KeepUntil = clock.Now() + options.RevocationTtl,
        }, cancellationToken);
        views.Observe(outcome.ControlSeq);
        SuiteMetrics.TokensRevoked.Add(1, new KeyValuePair<string, object?>("repeated", outcome.Verdict == Verdict.Repeated));
        if (outcome.Verdict == Verdict.Recorded) Log.Revoked(log, outcome.TokenHash, outcome.Seq, outcome.RevocationSeq, caller);
        return outcome;
    }
}
