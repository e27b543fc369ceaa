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
    /// <param name="order">Which token.</param>
    /// <param name="ownerScope">Only a token of this owner that the ledger knows; null: any text whatever.</param>
    /// <param name="reason">For people and for the audit log.</param>
    /// <param name="caller">Who revokes.</param>
    /// <param name="correlation">What it belongs to.</param>
    /// <param name="cancellationToken">Ends the wait, never the act.</param>
    /// <exception cref="Refusal">TOKEN_NOT_ISSUED_HERE, REVOCATION_LIMIT_REACHED, TOKEN_REVOKED, TEXT_NOT_STORABLE, LEDGER_*.</exception>
    public async Task<ActOutcome> RevokeAsync(
        RevocationOrder order, string? ownerScope, string? reason, ActingCaller caller, Correlation correlation, CancellationToken cancellationToken)
    {
        var outcome = await ledger.AppendAsync(new RevokeTokenAct
        {
            Caller = caller.Name,
            CallerToken = caller.Token,
            Correlation = correlation,
            TokenHash = order.TokenHash,
            Jti = order.Jti,
            Reason = reason,
            KeepUntil = clock.Now() + options.RevocationTtl,
            OwnerScope = ownerScope,
            OwnerRows = caller.OwnerDid is null ? null : options.OwnerRows,
        }, cancellationToken);
        views.Observe(outcome.ControlSeq);
        if (outcome.Verdict == Verdict.NotIssuedHere) throw new Refusal(Reason.TokenNotIssuedHere);
        if (outcome.Verdict == Verdict.OwnerLimitReached)
            throw new Refusal(Reason.RevocationLimitReached, metadata: new Dictionary<string, string> { ["most"] = $"{options.OwnerRows}" });
        SuiteMetrics.TokensRevoked.Add(1, new KeyValuePair<string, object?>("repeated", outcome.Verdict == Verdict.Repeated));
        if (outcome.Verdict == Verdict.Recorded) Log.Revoked(log, outcome.TokenHash, outcome.Seq, outcome.RevocationSeq, caller.Name);
        return outcome;
    }
}
