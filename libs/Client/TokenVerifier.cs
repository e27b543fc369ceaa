using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Tokens;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client;

/// <summary>
/// Says whether a token is good and fit for what is asked of it:
/// 1. form, claims, expiry, key and signature, by the keys that are held; what was verified before is remembered;
/// 2. revocation, by what the feed brought, while the lease says that this is fresh enough;
/// 3. the requirements: audience, scope, transitions;
/// 4. where the state here is not fresh enough, the feed is asked to confirm it, then the Introspector is asked;
/// 5. where neither answers, a refusal: never a yes that is older than it says.
/// </summary>
public sealed class TokenVerifier(
    KeyCache keys, RevocationFollower follower, IntrospectionPeer introspection, VerifiedTokenCache cache, ClientOptions options, SteadyClock clock, TimeProvider time)
{
    private const long Never = long.MaxValue;

    private enum Ruling
    {
        Decided,
        UnknownKey,
        NotFresh,
    }

    /// <summary>Decides from memory. A token that was verified before costs no allocation.</summary>
    /// <returns>False: it cannot be decided here and now; ask <see cref="VerifyAsync"/>.</returns>
    public bool TryVerify(string token, TokenRequirements requirements, out Verification verification)
    {
        if (Judge(token, requirements, Freshness.Default, 0, out verification) != Ruling.Decided) return false;
        ClientMetrics.Count(VerificationSource.Offline);
        return true;
    }

    /// <summary>Decides from memory where that is fresh enough, and else asks.</summary>
    /// <param name="token">The compact text and nothing else.</param>
    /// <exception cref="Refusal">LEASE_LOST, PEER_UNAVAILABLE, STALENESS_EXCEEDED, REVISION_NOT_REACHED, NOT_READY: no answer can be
    /// given freshly enough.</exception>
    public ValueTask<Verification> VerifyAsync(string token, TokenRequirements requirements, Freshness freshness, CancellationToken cancellationToken)
    {
        long least = LeastLease(freshness);
        var ruling = Judge(token, requirements, freshness, least, out var verification);
        if (ruling != Ruling.Decided) return AskAsync(token, ruling, requirements, freshness, cancellationToken);
        ClientMetrics.Count(VerificationSource.Offline);
        return ValueTask.FromResult(verification);
    }

    /// <summary>Decides about many; the confidence that is told for all is that of the least certain one.</summary>
    /// <exception cref="Refusal">As of <see cref="VerifyAsync"/>: then about none of them.</exception>
    public async Task<VerifiedBatch> VerifyBatchAsync(
        IReadOnlyList<string> batch, TokenRequirements requirements, Freshness freshness, CancellationToken cancellationToken)
    {
        if (batch.Count == 0) return new VerifiedBatch([], ToConfidence(follower.Lease, keys.Held));
        long least = LeastLease(freshness);
        // Once for all of them, before any is judged: else each would be judged twice.
        bool mayCatchUp = least != Never;
        if (!mayCatchUp) least = await CatchUpAsync(cancellationToken) ?? least;
        var verifications = new Verification[batch.Count];
        var open = new List<(int At, Ruling Ruling)>();
        for (int i = 0; i < batch.Count; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var ruling = Judge(batch[i], requirements, freshness, least, out verifications[i]);
            if (ruling != Ruling.Decided) open.Add((i, ruling));
        }
        if (open.Count > 0) await SettleAsync(batch, open, verifications, requirements, freshness, least, mayCatchUp, cancellationToken);
        foreach (var verification in verifications) ClientMetrics.Count(verification.Confidence.Source);
        return new VerifiedBatch(verifications, verifications.Select(verification => verification.Confidence).Aggregate(Confidence.Least));
    }

    private async ValueTask<Verification> AskAsync(string token, Ruling ruling, TokenRequirements requirements, Freshness freshness, CancellationToken cancellationToken)
    {
        var verifications = new Verification[1];
        await SettleAsync([token], [(0, ruling)], verifications, requirements, freshness, LeastLease(freshness), mayCatchUp: true, cancellationToken);
        ClientMetrics.Count(verifications[0].Confidence.Source);
        return verifications[0];
    }

    /// <summary>
    /// Steps 4 and 5, for all that are open together: keys are fetched for those of unknown keys, the feed confirms that it is
    /// current, and the Introspector is asked about what is left.
    /// </summary>
    private async Task SettleAsync(
        IReadOnlyList<string> tokens, List<(int At, Ruling Ruling)> open, Verification[] verifications, TokenRequirements requirements, Freshness freshness, long least,
        bool mayCatchUp, CancellationToken cancellationToken)
    {
        if (open.Exists(one => one.Ruling == Ruling.UnknownKey))
        {
            await keys.AfterMissAsync(cancellationToken);
            JudgeAgain(Ruling.UnknownKey, least);
            // Unknown it stays, unless a change is announced that is not here yet: then the Introspector may know it.
            open.RemoveAll(one => one.Ruling == Ruling.UnknownKey && !keys.IsBehind);
        }
        if (mayCatchUp && open.Exists(one => one.Ruling == Ruling.NotFresh) && await CatchUpAsync(cancellationToken) is { } caughtUp)
            JudgeAgain(Ruling.NotFresh, caughtUp);
        if (open.Count == 0) return;
        var answers = await introspection.AskAsync([.. open.Select(one => tokens[one.At])], freshness, cancellationToken);
        foreach (var ((at, _), answer) in open.Zip(answers)) verifications[at] = Read(tokens[at], answer, requirements, freshness);

        void JudgeAgain(Ruling which, long least)
        {
            for (int i = 0; i < open.Count; i++)
            {
                if (open[i].Ruling == which) open[i] = (open[i].At, Judge(tokens[open[i].At], requirements, freshness, least, out verifications[open[i].At]));
            }
            open.RemoveAll(one => one.Ruling == Ruling.Decided);
        }
    }

    /// <summary>Steps 1 to 3, from memory.</summary>
    /// <param name="least">Number of the first lease that is fresh enough; <see cref="Never"/>: none that there is.</param>
    private Ruling Judge(string token, TokenRequirements requirements, Freshness freshness, long least, out Verification verification)
    {
        // Read first: what the lease promises was applied before it, and a change that is announced before it is known here.
        var lease = follower.Lease;
        bool isBehind = keys.IsBehind;
        var held = keys.Held;

        if (!cache.TryVerify(token, held.Keys, clock.UtcNow, out var verified, out var fault))
        {
            verification = new Verification
            {
                Reason = fault.Reason,
                Sentence = fault.Sentence,
                TokenHash = TokenHash.Of(token),
                Confidence = ToConfidence(lease, held),
            };
            return fault.Reason switch
            {
                Reason.SigningNotConfigured => held.IsNone ? Ruling.NotFresh : Ruling.Decided,
                Reason.TokenUnknownKid => Ruling.UnknownKey,
                // Which keys are accepted may have changed.
                Reason.TokenKidExpired or Reason.TokenSignatureInvalid when isBehind => Ruling.NotFresh,
                _ => Ruling.Decided,
            };
        }

        var death = follower.Revocations.Find(verified);
        // Read last: a process that was paused since then must not take the state for fresh.
        var age = lease is null ? TimeSpan.MaxValue : time.GetElapsedTime(lease.T0);
        verification = new Verification
        {
            TokenHash = verified.TokenHash,
            Claims = verified.Claims,
            KeyId = verified.KeyId,
            KidSource = verified.KidSource,
            IsForeign = verified.IsForeign,
            Confidence = ToConfidence(lease, held, age),
        };
        bool isFresh = lease is not null && !isBehind && age < lease.Length && age <= MostAge(freshness) && lease.Number >= least && Reaches(lease, freshness);
        // A token's own revocation stands for ever; a block may have been lifted since.
        if (death is not null && (isFresh || death.Group is null))
        {
            verification = verification with { Reason = Reason.TokenRevoked, RevokedAt = death.Since, RevokedByGroup = death.Group };
            return Ruling.Decided;
        }
        if (!isFresh) return Ruling.NotFresh;
        verification = Fit(verification, requirements);
        return Ruling.Decided;
    }

    private static long LeastLease(Freshness freshness) => freshness.Mode == FreshnessMode.Linearizable ? Never : 0;

    private TimeSpan MostAge(Freshness freshness) => freshness.Mode == FreshnessMode.Bounded ? freshness.Bound : options.MaxStaleness;

    private static bool Reaches(Lease lease, Freshness freshness) => freshness.Mode != FreshnessMode.AtLeast
        || lease.Revision.Epoch == freshness.Revision.Epoch && lease.Revision.Seq >= freshness.Revision.Seq && lease.Revision.RevocationSeq >= freshness.Revision.RevocationSeq;

    /// <returns>The number of a lease that was asked for after this call; null: the feed does not answer in time.</returns>
    private async Task<long?> CatchUpAsync(CancellationToken cancellationToken)
    {
        if (!follower.IsConnected) return null;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = time.CreateTimer(static state => ((CancellationTokenSource)state!).Cancel(), patience, options.CatchUpTimeout, Timeout.InfiniteTimeSpan);
        try
        {
            return (await follower.CatchUpAsync(patience.Token)).Number;
        }
        catch (Exception e) when (e is Refusal { Reason: Reason.LeaseLost } || e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
        {
            return null;            // the Introspector is asked then
        }
    }

    /// <summary>What the Introspector says about a token, as a verification.</summary>
    private Verification Read(string token, Introspected introspected, TokenRequirements requirements, Freshness freshness)
    {
        var answer = introspected.Answer;
        if (freshness.Mode == FreshnessMode.Bounded && introspected.Age > freshness.Bound) throw new Refusal(Reason.StalenessExceeded);
        var hash = TokenHash.Of(token);
        if (answer.TokenHash != hash.ToString()) throw new Refusal(Reason.Internal, "The Introspector answered for another token");

        var verification = new Verification
        {
            TokenHash = hash,
            Confidence = new Confidence(
                VerificationSource.Introspection, introspected.Age, keys.Age, follower.LeaseLeft, ToRevision(introspected.Revision) ?? follower.Lease?.Revision),
        };
        if (!answer.Active && !answer.Revoked)
        {
            var reason = (Reason)answer.InactiveReason;
            return verification with { Reason = reason == Reason.Unspecified ? Reason.TokenMalformed : reason, Sentence = answer.InactiveSentence };
        }

        // The claims as they stand in the token: the Introspector found its form and signature good.
        var parsed = TokenParser.Parse(token);
        verification = verification with
        {
            Claims = parsed.Claims,
            KeyId = KeyId.TryParse(answer.Kid, out var kid) ? kid : default,
            KidSource = answer.KidSource == Wire.KidSource.Header ? KidSource.Header : KidSource.Recovered,
            IsForeign = answer.Foreign,
        };
        if (answer.Revoked)
        {
            return verification with
            {
                Reason = Reason.TokenRevoked,
                RevokedAt = answer.RevokedAt?.ToDateTimeOffset(),
                RevokedByGroup = answer.RevokedByGroup == Wire.GroupKind.Unspecified ? null : (RevocationKind)answer.RevokedByGroup,
            };
        }
        // This process's own clock counts too: it may know better that the token has expired.
        if (parsed.Claims.ExpiresAt <= clock.UtcNow.ToUnixTimeSeconds()) return verification with { Reason = Reason.TokenExpired };
        return Fit(verification, requirements);
    }

    private static Verification Fit(Verification verification, TokenRequirements requirements) =>
        requirements.FindUnmet(verification.Claims!, verification.IsForeign, out var field) is { } unmet
            ? verification with { Reason = unmet, Field = field, Required = requirements.Listed(field!) }
            : verification;

    private Confidence ToConfidence(Lease? lease, HeldKeys held) => ToConfidence(lease, held, lease is null ? TimeSpan.Zero : time.GetElapsedTime(lease.T0));

    private Confidence ToConfidence(Lease? lease, HeldKeys held, TimeSpan age) => new(
        VerificationSource.Offline,
        age,
        held.IsNone ? TimeSpan.Zero : time.GetElapsedTime(held.FetchedAt),
        lease is not null && lease.Length > age ? lease.Length - age : TimeSpan.Zero,
        lease?.Revision);

    private static Revision? ToRevision(Wire.Revision? revision) => revision is not null && Guid.TryParse(revision.Epoch, out var epoch)
        ? new Revision(epoch, new Seq(revision.Seq), new RevocationSeq(revision.RevocationSeq))
        : null;
}

/// <summary>Many verifications.</summary>
/// <param name="Verifications">One per token, in order.</param>
/// <param name="Confidence">Holds for each of them at least.</param>
public sealed record VerifiedBatch(IReadOnlyList<Verification> Verifications, Confidence Confidence);
