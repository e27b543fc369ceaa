using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Feed;

/// <summary>Entries of the feed, from the wire. What is not understood is not applied in part: the stream is given up.</summary>
internal static class FeedEntries
{
    /// <exception cref="FeedBroken">It is no entry of this version.</exception>
    public static RevocationEntry ToEntry(Revocation wire)
    {
        try
        {
            return wire.TargetCase switch
            {
                Revocation.TargetOneofCase.Token => ToToken(wire, wire.Token),
                Revocation.TargetOneofCase.Group => ToGroup(wire, wire.Group),
                _ => throw new FeedBroken($"entry {wire.RevocationSeq} is about nothing that this version knows"),
            };
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or NullReferenceException)
        {
            throw new FeedBroken($"entry {wire.RevocationSeq} is not in the form of the feed", e);
        }
    }

    private static RevocationEntry ToToken(Revocation wire, RevokedToken token)
    {
        if (token.TokenHash.IsEmpty && token.Jti.Length == 0) throw new FeedBroken($"entry {wire.RevocationSeq} names no token");
        return new RevocationEntry
        {
            RevocationSeq = new RevocationSeq(wire.RevocationSeq),
            Seq = new Seq(wire.Seq),
            RevokedAt = wire.RevokedAt.ToDateTimeOffset(),
            TokenHash = token.TokenHash.IsEmpty ? null : TokenHash.FromBytes(token.TokenHash.Span),
            Jti = token.Jti.Length == 0 ? null : token.Jti,
            ExpiresAt = token.ExpiresAt?.ToDateTimeOffset(),
        };
    }

    private static RevocationEntry ToGroup(Revocation wire, RevokedGroup group)
    {
        // A kind that this version does not know stands for tokens that it could not find dead.
        if ((int)group.Kind is < (int)RevocationKind.Subject or > (int)RevocationKind.Everything)
            throw new FeedBroken($"entry {wire.RevocationSeq} blocks groups of a kind that this version does not know");
        return new RevocationEntry
        {
            RevocationSeq = new RevocationSeq(wire.RevocationSeq),
            Seq = new Seq(wire.Seq),
            RevokedAt = wire.RevokedAt.ToDateTimeOffset(),
            Group = GroupKey.FromHash((RevocationKind)group.Kind, group.Key.ToByteArray()),
            Blocked = group.Blocked,
            Cut = group.Cut?.Seconds ?? 0,
        };
    }
}

/// <summary>A stream that does not keep what the feed promises: it is given up, and nothing rests on it any more.</summary>
internal sealed class FeedBroken(string sentence, Exception? inner = null) : Exception(sentence, inner);
