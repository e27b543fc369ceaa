using System.Security.Cryptography;
using ClawBureau.Hosting.Telemetry;
using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>What is asked of the mint: a grant's wording, its lane, and what ties the request to its caller.</summary>
/// <param name="RequestHash">Of what is asked for; empty without an idempotency key.</param>
public sealed record MintOrder(TokenRequest Request, TokenLane Lane, string Caller, Correlation Correlation, string? IdempotencyKey, byte[] RequestHash)
{
    /// <summary>Judges the grant by the control plane; the canonical lane has one always. Null: the grant stands by itself.</summary>
    public ChainJudge? Judge { get; init; }

    /// <summary>The challenge that the mint uses up, in the same act; null where there is none.</summary>
    public string? ChallengeId { get; init; }
}

/// <summary>Judges a grant by the control plane.</summary>
/// <param name="grant">It holds by itself.</param>
/// <param name="afresh">What was read before has changed meanwhile.</param>
/// <param name="cancellationToken">Ends the wait.</param>
public delegate Task<ChainedGrant> ChainJudge(TokenGrant grant, bool afresh, CancellationToken cancellationToken);

/// <summary>A grant that the control plane stands behind while what it was judged by does not change.</summary>
/// <param name="Grant">With what the control plane adds to it.</param>
/// <param name="Seen">The records it was judged by.</param>
/// <param name="ControlSeq">head.control_seq when they were read; null: it was judged by none.</param>
public sealed record ChainedGrant(TokenGrant Grant, IReadOnlyList<Seen> Seen, long? ControlSeq);

/// <summary>A token that stands in the ledger.</summary>
public sealed record MintedToken(SignedToken Token, string PolicyTier, string PolicyVersion, LegacyExchangeMode Mode, Seq Seq, Guid Epoch, bool Repeated);

/// <summary>
/// Makes tokens. The way of one:
/// 1. the grant is judged by form, policy and lane, a canonical one by its chain too;
/// 2. it becomes claims, dated now and after every cut the view knows;
/// 3. the claims are signed, and the signature checked, before the ledger's head is touched;
/// 4. the ledger judges once more under its lock and records the act;
/// 5. where the ledger asks for a later iat or has another active key by now, 2 to 4 are done again, where it has another policy or
///    chain, 1 to 4;
/// 6. a repeated request is answered with the token it made the first time.
/// </summary>
public sealed class TokenMint(
    IssuerOptions options, LedgerWriter ledger, PolicyBook policies, ControlViews views, AlgorithmNames algorithms, DatabaseClock clock, ILogger<TokenMint> log)
{
    private const int MostAttempts = 3;
    private const int MostAheadSeconds = 10;        // verifiers bear 30
    private const int MostChains = 16;

    /// <exception cref="Refusal">Any of reasons 300–499, SIGNING_*, GROUP_BLOCKED, MISSION_BLOCKED, CONTROLLER_TRANSFER_FROZEN,
    /// IDEMPOTENCY_KEY_CONFLICT, CLOCK_SKEWED, LEDGER_*.</exception>
    public async Task<MintedToken> IssueAsync(MintOrder order, CancellationToken cancellationToken)
    {
        // 1
        views.RequireSound();
        if (order.Lane == TokenLane.Canonical && order.Judge is null) throw new Refusal(Reason.ControlPlaneNotConfigured);
        var (policy, grant) = await JudgeAsync(order, await policies.CurrentAsync(cancellationToken), afresh: false, cancellationToken);

        long notBefore = 0;
        int cuts = 0, chains = 0, keyChanges = 0;
        while (true)
        {
            var algorithm = algorithms.Signing;
            MintAct act;
            SignedToken signed;
            try
            {
                act = Prepare(order, policy, grant, algorithm, notBefore, out signed);     // 2, 3
            }
            catch (Refusal refusal) when (PolicyBook.Decides(refusal))
            {
                var newest = await policies.ReadAsync(cancellationToken);
                if (newest.LedgerVersion == policy.LedgerVersion) throw;
                (policy, grant) = await JudgeAsync(order, newest, afresh: false, cancellationToken);
                continue;
            }
            await algorithms.CoverAsync(algorithm, act.Claims.ExpiresAt, cancellationToken);
            var outcome = await ledger.AppendAsync(act, cancellationToken);     // 4
            views.Observe(outcome.ControlSeq);
            switch (outcome.Verdict)
            {
                case Verdict.Recorded:
                    SuiteMetrics.TokensIssued.Add(1, new("tier", act.PolicyTier), new("lane", order.Lane.ToClaim()));
                    Log.Issued(log, signed.TokenHash, outcome.Seq, order.Caller);
                    return new MintedToken(signed, act.PolicyTier, act.PolicyVersion, policy.Policy.Grants.LegacyExchangeMode, outcome.Seq, outcome.Epoch, Repeated: false);
                case Verdict.BeforeCut when ++cuts < MostAttempts:              // 5
                    notBefore = outcome.Cut;
                    continue;
                case Verdict.KeyMayNotSign when ++keyChanges < MostAttempts:     // 5
                    await views.CatchUpAsync(cancellationToken);
                    continue;
                case Verdict.PolicyChanged:     // as often as one is put: that is no fault of the caller's
                    (policy, grant) = await JudgeAsync(order, await policies.AtLeastAsync(outcome.ControlSeq, cancellationToken), afresh: false, cancellationToken);
                    continue;
                case Verdict.Stale when ++chains < MostChains:
                    (policy, grant) = await JudgeAsync(order, policy, afresh: true, cancellationToken);
                    continue;
                case Verdict.Repeated:                                          // 6
                    return Repeat(order, policy, outcome);
                default:
                    throw RefusalOf(outcome);
            }
        }
    }

    /// <summary>A refusal counts only by the newest policy.</summary>
    private async Task<(PolicyInForce, ChainedGrant)> JudgeAsync(MintOrder order, PolicyInForce policy, bool afresh, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                var grant = GrantRules.Check(order.Request, order.Lane, policy.Policy, policy.Policy.Grants);
                return (policy, order.Judge is { } judge ? await judge(grant, afresh, cancellationToken) : new ChainedGrant(grant, [], null));
            }
            catch (Refusal refusal) when (PolicyBook.Decides(refusal))
            {
                var newest = await policies.ReadAsync(cancellationToken);
                if (newest.LedgerVersion == policy.LedgerVersion) throw;
                policy = newest;
            }
        }
    }

    private MintAct Prepare(MintOrder order, PolicyInForce policy, ChainedGrant chained, TokenAlgorithm algorithm, long notBefore, out SignedToken signed)
    {
        // 2
        var grant = chained.Grant;
        var now = clock.NowForSigning();
        var view = views.Current;
        var key = options.Keys.ActiveIn(view, now);
        var (claims, groups) = DatedAt(now);
        notBefore = Math.Max(notBefore, view?.CutOf(groups) ?? 0);
        // A cut lies after what it takes back: dated after cuts without end, tokens would run away from every verifier's clock.
        if (notBefore - MostAheadSeconds - now.ToUnixTimeSeconds() is var wait and > 0)
        {
            throw new Refusal(
                Reason.LedgerOverloaded,
                "Tokens of this one's group were taken back and issued again faster than seconds pass",
                new Dictionary<string, string> { ["retry_after_seconds"] = $"{wait}" });
        }
        if (claims.IssuedAt <= notBefore) (claims, groups) = DatedAt(DateTimeOffset.FromUnixTimeSeconds(notBefore + 1));

        // 3
        signed = TokenSigner.Sign(claims, key, algorithm);
        bool judged = view is not null && view.PolicyVersion == policy.LedgerVersion && view.MaySign(key.KeyId) && !groups.Any(view.IsBlocked)
            && (claims.ControllerDid is not { } controller || !view.IsHalted(controller.ToString()))
            && (chained.ControlSeq is null || chained.ControlSeq == view.ControlSeq);
        return new MintAct
        {
            Caller = order.Caller,
            Correlation = order.Correlation,
            TokenHash = signed.TokenHash,
            Claims = claims,
            KeyId = key.KeyId,
            PolicyTier = grant.Policy.Tier.Name,
            PolicyVersion = grant.Policy.PolicyVersion,
            LedgerPolicyVersion = policy.LedgerVersion,
            Groups = groups,
            IdempotencyKey = order.IdempotencyKey,
            RequestHash = order.IdempotencyKey is null ? null : order.RequestHash,
            SignedPayload = order.IdempotencyKey is null ? null : signed.SigningInput.ToArray(),
            Seen = chained.Seen,
            ChallengeId = order.ChallengeId,
            JudgedAtControlSeq = judged ? view!.ControlSeq : null,
        };

        (TokenClaims, IReadOnlyList<GroupKey>) DatedAt(DateTimeOffset issuedAt)
        {
            var dated = grant.ToClaims(issuedAt, Guid.NewGuid().ToString(), Guid.NewGuid().ToString());
            return (dated, TokenGroups.Of(dated, key.KeyId));
        }
    }

    private MintedToken Repeat(MintOrder order, PolicyInForce policy, ActOutcome outcome)
    {
        var prior = outcome.PriorMint!;
        if (!CryptographicOperations.FixedTimeEquals(prior.RequestHash, order.RequestHash)) throw new Refusal(Reason.IdempotencyKeyConflict);
        // A key that is retired signs nothing again; one that was only replaced makes its own token once more.
        bool isAccepted = views.Current?.Accepts(prior.KeyId, clock.Now().ToUnixTimeSeconds()) == true;
        var key = (isAccepted ? options.Keys.Find(prior.KeyId) : null) ?? throw new Refusal(Reason.SigningKeyNotActive,
            "The key that signed this request's token is not in this issuer any more; ask again under a new idempotency key.");
        return new MintedToken(TokenSigner.Resign(prior.SignedPayload, key), prior.PolicyTier, prior.PolicyVersion, policy.Policy.Grants.LegacyExchangeMode, outcome.Seq, outcome.Epoch, Repeated: true);
    }

    private static Refusal RefusalOf(ActOutcome outcome) => outcome.Verdict switch
    {
        Verdict.Blocked => new Refusal(outcome.BlockedBy == RevocationKind.Mission ? Reason.MissionBlocked : Reason.GroupBlocked,
            metadata: new Dictionary<string, string> { ["group_kind"] = $"{outcome.BlockedBy}" }),
        Verdict.ControllerFrozen => new Refusal(Reason.ControllerTransferFrozen),
        Verdict.KeyMayNotSign => new Refusal(Reason.SigningKeyNotActive),
        Verdict.Stale => new Refusal(Reason.LedgerOverloaded),
        Verdict.ChallengeUnusable => new Refusal(Reason.TokenExchangeChallengeUsed),
        Verdict.BeforeCut => new Refusal(Reason.GroupBlocked, "A block of this token's group is being lifted again and again; try once more."),
        _ => new Refusal(Reason.Internal),
    };
}
