using ClawBureau.Client;
using ClawBureau.Hosting.Claims;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using TokenRequirements = ClawBureau.Client.TokenRequirements;
using Wire = ClawBureau.Protos.Types.V1;
using WireVerification = ClawBureau.Protos.Verification.V1;

namespace ClawBureau.Verifier;

/// <summary>Between the wire's types and this service's own.</summary>
internal static class Mapping
{
    /// <param name="unset">Where the request does not say.</param>
    /// <exception cref="Refusal">INVALID_REQUEST: a bound that is not positive, an epoch that is no UUID.</exception>
    public static Freshness ToFreshness(Wire.Consistency? consistency, Freshness unset)
    {
        switch (consistency?.ModeCase ?? Wire.Consistency.ModeOneofCase.None)
        {
            case Wire.Consistency.ModeOneofCase.Linearizable:
                return Freshness.Linearizable;
            case Wire.Consistency.ModeOneofCase.Bounded:
                return ToBound(consistency!.Bounded) is { } bound && bound > TimeSpan.Zero
                    ? Freshness.Within(bound)
                    : throw Refusal.OfField(Reason.InvalidRequest, "consistency.bounded", "bounded must be positive");
            case Wire.Consistency.ModeOneofCase.AtLeast:
                return Guid.TryParse(consistency!.AtLeast.Epoch, out var epoch)
                    ? Freshness.AtLeast(new Revision(epoch, new Seq(consistency.AtLeast.Seq), new RevocationSeq(consistency.AtLeast.RevocationSeq)))
                    : throw Refusal.OfField(Reason.InvalidRequest, "consistency.at_least.epoch", "epoch must be a UUID");
            default:
                return unset;
        }
    }

    /// <exception cref="Refusal">TRANSITION_UNKNOWN.</exception>
    public static TokenRequirements ToRequirements(WireVerification.TokenRequirements? wire) => wire is null ? TokenRequirements.None : new TokenRequirements
    {
        AudienceAll = [.. wire.AudienceAll],
        AudienceAny = [.. wire.AudienceAny],
        ScopeAll = [.. wire.ScopeAll],
        ScopeAny = [.. wire.ScopeAny],
        Transitions = [.. wire.Transitions],
        AllowForeign = wire.AllowForeign,
    };

    public static VerifyTokenResponse ToResponse(Verification verification, DateTimeOffset now, bool withConfidence = true)
    {
        var response = new VerifyTokenResponse
        {
            Verdict = ToVerdict(verification.IsValid ? null : verification.Reason, verification.IsValid ? null : verification.Explain(), verification.Field, now),
            TokenHash = verification.TokenHash.ToString(),
            Revoked = verification.IsRevoked,
            Foreign = verification.IsForeign,
        };
        if (verification.Claims is { } claims)
        {
            response.Claims = TokenClaimsMapping.ToWire(claims);
            response.Kid = verification.KeyId.ToString();
            response.KidSource = verification.KidSource == KidSource.Header ? Wire.KidSource.Header : Wire.KidSource.Recovered;
        }
        if (withConfidence) response.Confidence = ToConfidence(verification.Confidence);
        return response;
    }

    /// <param name="fault">Null: valid.</param>
    public static Verdict ToVerdict(Reason? fault, string? sentence, string? field, DateTimeOffset now, Reason? cause = null) => new()
    {
        Status = fault is null ? VerificationStatus.Valid : VerificationStatus.Invalid,
        Reason = (Wire.Reason)(fault ?? Reason.Unspecified),
        Sentence = sentence ?? (fault is { } reason ? ReasonCatalog.Of(reason).Sentence : "The token is valid"),
        Field = field ?? "",
        VerifiedAt = Timestamp.FromDateTimeOffset(now),
        Cause = (Wire.Reason)(cause ?? Reason.Unspecified),
    };

    public static WireVerification.Confidence ToConfidence(Client.Confidence confidence)
    {
        var wire = new WireVerification.Confidence
        {
            Source = confidence.Source == Client.VerificationSource.Offline ? WireVerification.VerificationSource.Offline : WireVerification.VerificationSource.Introspection,
            KeyAge = Duration.FromTimeSpan(confidence.KeyAge),
            LeaseLeft = Duration.FromTimeSpan(confidence.LeaseLeft),
        };
        // Without a lease ever there is no age to tell.
        if (confidence.RevocationAge < TimeSpan.FromDays(3650)) wire.RevocationAge = Duration.FromTimeSpan(confidence.RevocationAge);
        if (confidence.Revision is { } revision)
            wire.Revision = new Wire.Revision { Epoch = revision.Epoch.ToString(), Seq = revision.Seq.Value, RevocationSeq = revision.RevocationSeq.Value };
        return wire;
    }

    private static TimeSpan? ToBound(Duration duration)
    {
        try
        {
            return duration.ToTimeSpan();
        }
        catch (InvalidOperationException)
        {
            return null;            // seconds and nanos that are no Duration
        }
    }
}
