using System.Security.Cryptography;
using ClawBureau.Hosting.Telemetry;
using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>What is asked of the mint: a grant's wording, its lane, and what ties the request to its caller.</summary>
public sealed record MintOrder(TokenRequest Request, TokenLane Lane, string Caller, Correlation Correlation, string? IdempotencyKey, byte[] RequestHash);

/// <summary>A token that stands in the ledger.</summary>
public sealed record MintedToken(SignedToken Token, string PolicyTier, string PolicyVersion, Seq Seq, Guid Epoch, bool Repeated);

/// <summary>
/// Makes tokens. The way of one:
/// 1. the grant is judged by form, policy and lane;
/// 2. it becomes claims, dated now and after every cut the view knows;
/// 3. the claims are signed, and the signature checked, before the ledger's head is touched;
/// 4. the ledger judges once more under its lock and records the act;
/// 5. where the ledger asks for a later iat, 2 to 4 are done again;
/// 6. a repeated request is answered with the token it made the first time.
/// </summary>
public sealed class TokenMint(IssuerOptions options, LedgerWriter ledger, ControlViews views, DatabaseClock clock, ILogger<TokenMint> log)
{
    private const int MostAttempts = 3;

    /// <exception cref="Refusal">Any of reasons 300–499, SIGNING_*, GROUP_BLOCKED, MISSION_BLOCKED, CONTROLLER_TRANSFER_FROZEN,
    /// IDEMPOTENCY_KEY_CONFLICT, CLOCK_SKEWED, LEDGER_*.</exception>
    public async Task<MintedToken> IssueAsync(MintOrder order, CancellationToken cancellationToken)
    {
        // 1
        var grant = GrantRules.Check(order.Request, order.Lane, options.Policy, options.Grants);
        if (order.Lane == TokenLane.Canonical) throw new Refusal(Reason.ControlPlaneNotConfigured);

        long notBefore = 0;
        for (int attempt = 1; ; attempt++)
        {
            var act = Prepare(order, grant, notBefore, out var signed);         // 2, 3
            var outcome = await ledger.AppendAsync(act, cancellationToken);     // 4
            views.Observe(outcome.ControlSeq);
            switch (outcome.Verdict)
            {
                case Verdict.Recorded:
                    SuiteMetrics.TokensIssued.Add(1, new("tier", act.PolicyTier), new("lane", order.Lane.ToClaim()));
                    Log.Issued(log, signed.TokenHash, outcome.Seq, order.Caller);
                    return new MintedToken(signed, act.PolicyTier, act.PolicyVersion, outcome.Seq, outcome.Epoch, Repeated: false);
                case Verdict.BeforeCut when attempt < MostAttempts:             // 5
                    notBefore = outcome.Cut;
                    continue;
                case Verdict.Repeated:                                          // 6
                    return Repeat(order, outcome);
                default:
                    throw RefusalOf(outcome);
            }
        }
    }

    private MintAct Prepare(MintOrder order, TokenGrant grant, long notBefore, out SignedToken signed)
    {
        // 2
        var now = clock.NowForSigning();
        var key = options.Keys.ActiveAt(now);
        var view = views.Current;
        var (claims, groups) = DatedAt(now);
        notBefore = Math.Max(notBefore, view?.CutOf(groups) ?? 0);
        if (claims.IssuedAt <= notBefore) (claims, groups) = DatedAt(DateTimeOffset.FromUnixTimeSeconds(notBefore + 1));

        // 3
        signed = TokenSigner.Sign(claims, key);
        bool judged = view is not null && view.MaySign(key.KeyId) && !groups.Any(view.IsBlocked)
            && (claims.ControllerDid is not { } controller || !view.IsHalted(controller.ToString()));
        return new MintAct
        {
            Caller = order.Caller,
            Correlation = order.Correlation,
            TokenHash = signed.TokenHash,
            Claims = claims,
            KeyId = key.KeyId,
            PolicyTier = grant.Policy.Tier.Name,
            PolicyVersion = grant.Policy.PolicyVersion,
            Groups = groups,
            IdempotencyKey = order.IdempotencyKey,
            RequestHash = order.IdempotencyKey is null ? null : order.RequestHash,
            SignedPayload = order.IdempotencyKey is null ? null : signed.SigningInput.ToArray(),
            JudgedAtControlSeq = judged ? view!.ControlSeq : null,
        };

        (TokenClaims, IReadOnlyList<GroupKey>) DatedAt(DateTimeOffset issuedAt)
        {
            var dated = grant.ToClaims(issuedAt, Guid.NewGuid().ToString(), Guid.NewGuid().ToString());
            return (dated, TokenGroups.Of(dated, key.KeyId));
        }
    }

    private MintedToken Repeat(MintOrder order, ActOutcome outcome)
    {
        var prior = outcome.PriorMint!;
        if (!CryptographicOperations.FixedTimeEquals(prior.RequestHash, order.RequestHash)) throw new Refusal(Reason.IdempotencyKeyConflict);
        var key = options.Keys.FindSigningKey(prior.KeyId) ?? throw new Refusal(Reason.SigningKeyNotActive,
            "The key that signed this request's token is not in this issuer any more; ask again under a new idempotency key.");
        return new MintedToken(TokenSigner.Resign(prior.SignedPayload, key), prior.PolicyTier, prior.PolicyVersion, outcome.Seq, outcome.Epoch, Repeated: true);
    }

    private static Refusal RefusalOf(ActOutcome outcome) => outcome.Verdict switch
    {
        Verdict.Blocked => new Refusal(outcome.BlockedBy == RevocationKind.Mission ? Reason.MissionBlocked : Reason.GroupBlocked,
            metadata: new Dictionary<string, string> { ["group_kind"] = $"{outcome.BlockedBy}" }),
        Verdict.ControllerFrozen => new Refusal(Reason.ControllerTransferFrozen),
        Verdict.KeyMayNotSign => new Refusal(Reason.SigningKeyNotActive),
        Verdict.PolicyChanged => new Refusal(Reason.PolicyVersionChanged),
        Verdict.ChallengeUnusable => new Refusal(Reason.TokenExchangeChallengeUsed),
        Verdict.CallerRevoked => new Refusal(Reason.TokenRevoked),
        Verdict.BeforeCut => new Refusal(Reason.GroupBlocked, "A block of this token's group is being lifted again and again; try once more."),
        _ => new Refusal(Reason.Internal),
    };
}
