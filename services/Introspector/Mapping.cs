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
    private static volatile LastRevision _lastRevision = new(default, new Wire.Revision());

    public static IntrospectTokenResponse ToInactive(TokenHash hash, TokenFault fault)
    {
        var (reason, sentence) = ToWire(fault);
        return new IntrospectTokenResponse { TokenHash = hash.ToString(), InactiveReason = reason, InactiveSentence = sentence };
    }

    public static (Wire.Reason Reason, string Sentence) ToWire(TokenFault fault) => ((Wire.Reason)fault.Reason, fault.Sentence ?? ReasonCatalog.Of(fault.Reason).Sentence);

    public static Wire.KidSource ToWire(KidSource source) => source == KidSource.Header ? Wire.KidSource.Header : Wire.KidSource.Recovered;

    public static Wire.TransitionDecision ToDecision(TransitionRuling ruling) => new()
    {
        Transition = ruling.Transition.Name,
        Allowed = ruling.IsAllowed,
        Reason = ruling.Denial is { } denial ? (Wire.Reason)denial : Wire.Reason.Unspecified,
        Sentence = ruling.Sentence,
    };

    /// <summary>What is said of a token that our key signed.</summary>
    /// <param name="claims">Null: not for this caller.</param>
    public static IntrospectTokenResponse ToAnswer(VerifiedToken token, Death? death, Wire.TokenClaims? claims)
    {
        var answer = new IntrospectTokenResponse
        {
            Active = death is null,
            Revoked = death is not null,
            TokenHash = token.TokenHash.ToString(),
            Claims = claims,
            Kid = token.KeyId.ToString(),
            KidSource = ToWire(token.KidSource),
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

    /// <summary>The response to a batch with this as the only result, encoded: such stand one after another in an <see cref="EncodedResponse"/>.</summary>
    public static byte[] ToBatch(BatchIntrospectTokensResult result) => new BatchIntrospectTokensResponse { Results = { result } }.ToByteArray();

    public static Revocation ToRevocation(RevocationRow row)
    {
        var wire = ToRevocation(row.ToEntry());
        wire.Reason = row.Reason ?? "";
        return wire;
    }

    public static Revocation ToRevocation(RevocationEntry entry)
    {
        var wire = new Revocation { RevocationSeq = entry.RevocationSeq.Value, Seq = entry.Seq.Value, RevokedAt = Timestamp.FromDateTimeOffset(entry.RevokedAt) };
        if (entry.Group is { } group)
        {
            wire.Group = new RevokedGroup { Kind = (Wire.GroupKind)group.Kind, Key = ByteString.CopyFrom(group.Hash), Blocked = entry.Blocked };
            if (entry.Cut > 0) wire.Group.Cut = new Timestamp { Seconds = entry.Cut };
        }
        else
        {
            wire.Token = new RevokedToken { Jti = entry.Jti ?? "" };
            if (entry.TokenHash is { } hash) wire.Token.TokenHash = ByteString.CopyFrom(hash.ToArray());
            if (entry.ExpiresAt is { } end) wire.Token.ExpiresAt = Timestamp.FromDateTimeOffset(end);
        }
        return wire;
    }

    public static Wire.Revision ToRevision(Revision revision)
    {
        // Everybody whom one read answered is told the same.
        var last = _lastRevision;
        if (last.Revision == revision) return last.Wire;
        var wire = new Wire.Revision { Epoch = revision.Epoch.ToString(), Seq = revision.Seq.Value, RevocationSeq = revision.RevocationSeq.Value };
        _lastRevision = new LastRevision(revision, wire);
        return wire;
    }

    /// <exception cref="Refusal">INVALID_REQUEST: the epoch is no UUID.</exception>
    public static Revision ToRevision(Wire.Revision revision) => Guid.TryParse(revision.Epoch, out var epoch)
        ? new Revision(epoch, new Seq(revision.Seq), new RevocationSeq(revision.RevocationSeq))
        : throw Refusal.OfField(Reason.InvalidRequest, "epoch", "epoch must be a UUID");

    public static FollowerReceipt ToWire(Receipt receipt)
    {
        var wire = new FollowerReceipt
        {
            FollowerId = receipt.FollowerId,
            Identity = receipt.Identity,
            Epoch = receipt.Epoch == Guid.Empty ? "" : receipt.Epoch.ToString(),
            AppliedRevocationSeq = receipt.Applied.Value,
            LeaseLeft = ToDuration(receipt.LeaseLeft),
        };
        if (receipt.AcknowledgedAgo is { } ago) wire.AcknowledgedAgo = ToDuration(ago);
        return wire;
    }

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

    private sealed record LastRevision(Revision Revision, Wire.Revision Wire);
}
