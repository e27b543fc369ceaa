using ClawBureau.Hosting.Claims;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector;

/// <summary>Between the wire's types and this service's own.</summary>
internal static class Mapping
{
    public static IntrospectTokenResponse ToInactive(TokenHash hash, Refusal refusal) => new()
    {
        TokenHash = hash.ToString(),
        InactiveReason = (Wire.Reason)refusal.Reason,
        InactiveSentence = refusal.Sentence ?? ReasonCatalog.Of(refusal.Reason).Sentence,
    };

    public static IntrospectTokenResponse ToAnswer(VerifiedToken token, Death? death)
    {
        var answer = new IntrospectTokenResponse
        {
            Active = death is null,
            Revoked = death is not null,
            TokenHash = token.TokenHash.ToString(),
            Claims = TokenClaimsMapping.ToWire(token.Claims),
            Kid = token.KeyId.ToString(),
            KidSource = token.KidSource == KidSource.Header ? Wire.KidSource.Header : Wire.KidSource.Recovered,
            Foreign = token.IsForeign,
        };
        if (death is not null)
        {
            answer.RevokedAt = Timestamp.FromDateTimeOffset(death.Since);
            answer.InactiveReason = Wire.Reason.TokenRevoked;
            answer.InactiveSentence = ReasonCatalog.Of(Reason.TokenRevoked).Sentence;
            if (death.Group is { } kind) answer.RevokedByGroup = (Wire.GroupKind)kind;
        }
        return answer;
    }

    public static Revocation ToRevocation(RevocationRow row)
    {
        var entry = new Revocation
        {
            RevocationSeq = row.RevocationSeq.Value,
            Seq = row.Seq.Value,
            RevokedAt = Timestamp.FromDateTimeOffset(row.RevokedAt),
            Reason = row.Reason ?? "",
        };
        if (row.Group is { } group)
        {
            entry.Group = new RevokedGroup { Kind = (Wire.GroupKind)group.Kind, Key = ByteString.CopyFrom(group.Hash), Blocked = row.Blocked };
            if (row.Cut > 0) entry.Group.Cut = new Timestamp { Seconds = row.Cut };
        }
        else
        {
            entry.Token = new RevokedToken { Jti = row.Jti ?? "" };
            if (row.TokenHash is { } hash) entry.Token.TokenHash = ByteString.CopyFrom(hash.ToArray());
            if (row.ExpiresAt is { } end) entry.Token.ExpiresAt = Timestamp.FromDateTimeOffset(end);
        }
        return entry;
    }

    public static Wire.Revision ToRevision(Revision revision) => new()
    {
        Epoch = revision.Epoch.ToString(),
        Seq = revision.Seq.Value,
        RevocationSeq = revision.RevocationSeq.Value,
    };

    /// <exception cref="Refusal">INVALID_REQUEST: the epoch is no UUID.</exception>
    public static Revision ToRevision(Wire.Revision revision) => Guid.TryParse(revision.Epoch, out var epoch)
        ? new Revision(epoch, new Seq(revision.Seq), new RevocationSeq(revision.RevocationSeq))
        : throw Refusal.OfField(Reason.InvalidRequest, "epoch", "epoch must be a UUID");

    public static Duration ToDuration(TimeSpan span) => Duration.FromTimeSpan(span);

    /// <returns>Null: seconds and nanos that are no Duration.</returns>
    public static TimeSpan? ToTimeSpan(Duration duration)
    {
        try
        {
            return duration.ToTimeSpan();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
