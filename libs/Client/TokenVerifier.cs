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
        if (ruling != Ruling.Decided) return AskAsync(token, requirements, freshness, least, ruling, cancellationToken);
        ClientMetrics.Count(VerificationSource.Offline);
        return ValueTask.FromResult(verification);
    }

    /// <summary>Decides about many; the confidence that is told for all is that of the least certain one.</summary>
    /// <exception cref="Refusal">As of <see cref="VerifyAsync"/>: then about none of them.</exception>
    public async Task<VerifiedBatch> VerifyBatchAsync(
        IReadOnlyList<string> batch, TokenRequirements requirements, Freshness freshness, CancellationToken cancellationToken)
    {
        long least = LeastLease(freshness);
        // Once for all of them, not once for each.
        if (least == Never && follower.IsConnected) least = await CatchUpAsync(cancellationToken) ?? least;
        var verifications = new Verification[batch.Count];
        var open = new List<Task>();
        for (int i = 0; i < batch.Count; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var ruling = Judge(batch[i], requirements, freshness, least, out verifications[i]);
            if (ruling == Ruling.Decided) ClientMetrics.Count(VerificationSource.Offline);
            else open.Add(FinishAsync(i, ruling));
        }
        await Task.WhenAll(open);
        return new VerifiedBatch(verifications, verifications.Select(verification => verification.Confidence).Aggregate((a, b) => new Confidence(
            a.Source == VerificationSource.Introspection ? a.Source : b.Source,
            a.RevocationAge > b.RevocationAge ? a.RevocationAge : b.RevocationAge,
            a.KeyAge > b.KeyAge ? a.KeyAge : b.KeyAge,
            a.LeaseLeft < b.LeaseLeft ? a.LeaseLeft : b.LeaseLeft,
            a.Revision)));

        async Task FinishAsync(int i, Ruling ruling) => verifications[i] = await AskAsync(batch[i], requirements, freshness, least, ruling, cancellationToken);
    }

    private async ValueTask<Verification> AskAsync(
        string token, TokenRequirements requirements, Freshness freshness, long least, Ruling ruling, CancellationToken cancellationToken)
    {
        Verification verification;
        if (ruling == Ruling.UnknownKey)
        {
            await keys.AfterMissAsync(cancellationToken);
            ruling = Judge(token, requirements, freshness, least, out verification);
            // Unknown it stays, unless a change is announced that is not here yet: then the Introspector may know it.
            if (ruling == Ruling.Decided || ruling == Ruling.UnknownKey && !keys.IsBehind) return Counted(verification);
        }

        if (ruling == Ruling.NotFresh && follower.IsConnected && await CatchUpAsync(cancellationToken) is { } caughtUp)
        {
            ruling = Judge(token, requirements, freshness, caughtUp, out verification);
            if (ruling == Ruling.Decided) return Counted(verification);
        }
        verification = await IntrospectAsync(token, requirements, freshness, cancellationToken);
        return Counted(verification);

        static Verification Counted(Verification verification)
        {
            ClientMetrics.Count(verification.Confidence.Source);
            return verification;
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

        VerifiedToken verified;
        try
        {
            verified = cache.Verify(token, held.Keys, clock.UtcNow);
        }
        catch (Refusal refusal)
        {
            verification = new Verification
            {
                Reason = refusal.Reason,
                Sentence = refusal.Sentence,
                TokenHash = TokenHash.Of(token),
                Confidence = ToConfidence(lease, held, lease is null ? TimeSpan.Zero : time.GetElapsedTime(lease.T0)),
            };
            return refusal.Reason switch
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

    private async Task<Verification> IntrospectAsync(string token, TokenRequirements requirements, Freshness freshness, CancellationToken cancellationToken)
    {
        var (answer, age) = await introspection.AskAsync(token, freshness, cancellationToken);
        if (freshness.Mode == FreshnessMode.Bounded && age > freshness.Bound) throw new Refusal(Reason.StalenessExceeded);
        var hash = TokenHash.Of(token);
        if (answer.TokenHash != hash.ToString()) throw new Refusal(Reason.Internal, "The Introspector answered for another token");

        var lease = follower.Lease;
        var verification = new Verification
        {
            TokenHash = hash,
            Confidence = new Confidence(VerificationSource.Introspection, age, keys.Age, follower.LeaseLeft, ToRevision(answer.Revision) ?? lease?.Revision),
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
