using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>A binding after a request about it.</summary>
/// <param name="Outcome">Null: it stood so before.</param>
internal sealed record BindingAnswer(Binding Binding, string ChallengeId, ActOutcome? Outcome);

/// <summary>Who holds which DID (control-plane-http.md 2.2).</summary>
internal sealed class BindingRegistry(ControlLedger ledger, Challenges challenges, ControlOptions options)
{
    /// <exception cref="Refusal">RATE_LIMITED, BINDING_REVOKED, LEDGER_UNAVAILABLE.</exception>
    public async Task<(Challenge Challenge, string Nonce)> ChallengeAsync(string did, string purpose, CancellationToken cancellationToken)
    {
        challenges.RequireAllowance();
        if (purpose == Purpose.Bind && await ledger.ReadAsync(s => s.FindBindingAsync(did), cancellationToken) is { Active: false }) throw new Refusal(Reason.BindingRevoked);
        var (id, nonce, expires) = (Guid.NewGuid().ToString(), Guid.NewGuid().ToString(), challenges.ExpiryOf(options.ChallengeTtl));
        var challenge = new Challenge
        {
            ChallengeId = id,
            Purpose = purpose,
            OwnerDid = did,
            Message = $"clawclaim:{purpose}:v1:{id}:{nonce}:{expires.ToUnixTimeSeconds()}",
            CreatedAt = (expires - options.ChallengeTtl).UtcDateTime,
            ExpiresAt = expires.UtcDateTime,
        };
        await challenges.PutAsync(challenge, cancellationToken);
        return (challenge, nonce);
    }

    /// <exception cref="Refusal">Those of <see cref="RequireSignedAsync"/>; BINDING_REVOKED, LEDGER_*.</exception>
    public Task<BindingAnswer> BindAsync(SignedOrder order, CancellationToken cancellationToken) => ledger.ActAsync<BindingAnswer>(async snapshot =>
    {
        var bound = await snapshot.FindBindingAsync(order.OwnerDid);
        var challenge = await RequireSignedAsync(snapshot, order, Purpose.Bind, bound?.ChallengeId);
        if (bound is { Active: false }) throw new Refusal(Reason.BindingRevoked);
        if (bound is not null) return Decision<BindingAnswer>.Stands(new(bound, challenge.ChallengeId, null));
        var binding = new Binding { Did = order.OwnerDid, Active = true, BoundAt = snapshot.Now, ChallengeId = challenge.ChallengeId };
        return Decision<BindingAnswer>.Record(ActOf(snapshot, order, EventKind.DidBound, binding, reason: null), outcome => new(binding, challenge.ChallengeId, outcome));
    }, cancellationToken);

    /// <summary>Ends a binding for ever, and with it every token that names the DID in any role.</summary>
    /// <exception cref="Refusal">Those of <see cref="RequireSignedAsync"/>; BINDING_NOT_FOUND, LEDGER_*.</exception>
    public Task<BindingAnswer> RevokeAsync(SignedOrder order, string? reason, CancellationToken cancellationToken) => ledger.ActAsync<BindingAnswer>(async snapshot =>
    {
        var bound = await snapshot.FindBindingAsync(order.OwnerDid);
        var challenge = await RequireSignedAsync(snapshot, order, Purpose.Revoke, bound is { Active: false } ? order.ChallengeId : null);
        if (bound is null) throw new Refusal(Reason.BindingNotFound);
        if (!bound.Active) return Decision<BindingAnswer>.Stands(new(bound, challenge.ChallengeId, null), challenge.ChallengeId);
        var binding = bound with { Active = false, RevokedAt = snapshot.Now, RevokedReason = reason, Seq = 0 };
        var act = ActOf(snapshot, order, EventKind.BindingRevoked, binding, reason) with { Cuts = [.. ChainGroups.OfDid(order.OwnerDid).Select(g => new CutOrder(g))] };
        return Decision<BindingAnswer>.Record(act, outcome => new(binding, challenge.ChallengeId, outcome));
    }, cancellationToken);

    /// <summary>CHALLENGE_NOT_FOUND, CHALLENGE_DID_MISMATCH, CHALLENGE_PURPOSE_MISMATCH, CHALLENGE_EXPIRED, UNSUPPORTED_DID, INVALID_DID, SIGNATURE_INVALID.</summary>
    private static async Task<Challenge> RequireSignedAsync(ControlSnapshot snapshot, SignedOrder order, string purpose, string? usedFor)
    {
        var challenge = await snapshot.FindChallengeAsync(order.ChallengeId);
        if (challenge is null || (challenge.ConsumedSeq is not null && challenge.ChallengeId != usedFor)) throw new Refusal(Reason.ChallengeNotFound);
        if (challenge.OwnerDid != order.OwnerDid) throw new Refusal(Reason.ChallengeDidMismatch);
        if (challenge.Purpose != purpose) throw new Refusal(Reason.ChallengePurposeMismatch);
        if (challenge.ConsumedSeq is null && snapshot.Now > challenge.ExpiresAt) throw new Refusal(Reason.ChallengeExpired);
        Signed.RequireSignature(challenge, order.OwnerDid, order.Signature);
        return challenge;
    }

    private static ControlAct ActOf(ControlSnapshot snapshot, SignedOrder order, EventKind kind, Binding binding, string? reason) => new()
    {
        What = kind,
        Caller = order.OwnerDid,
        Correlation = order.Correlation,
        About = order.OwnerDid,
        Facts = new Dictionary<string, object?> { ["challenge_id"] = order.ChallengeId, ["did"] = order.OwnerDid, ["owner_did"] = order.OwnerDid, ["reason"] = reason },
        ChallengeId = order.ChallengeId,
        Seen = snapshot.Seen,
        Bindings = [binding],
    };
}
