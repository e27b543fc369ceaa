using Frame = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;

namespace ClawBureau.Introspector.Tests;

/// <summary>What must hold of the frames of one stream (I29, I31): each violation as a sentence.</summary>
internal static class FeedChecks
{
    /// <param name="frames">All frames of the stream, from its first.</param>
    /// <param name="cursor">What the stream was started after.</param>
    public static IReadOnlyList<string> FindViolations(IReadOnlyList<Frame> frames, long cursor)
    {
        var found = new List<string>();
        long delivered = cursor;
        bool isCaughtUp = false;
        if (frames.Count == 0 || frames[0].FrameCase != FrameCase.Hello) found.Add("the first frame is not a hello");
        foreach (var frame in frames.Skip(1))
        {
            switch (frame.FrameCase)
            {
                case FrameCase.Hello:
                    found.Add("a second hello");
                    break;
                case FrameCase.Events:
                    var events = frame.Events;
                    if (events.FirstRevocationSeq != delivered + 1) found.Add($"{events.FirstRevocationSeq} follows {delivered}");
                    var listed = events.Revocations.Select(r => r.RevocationSeq);
                    if (!listed.SequenceEqual(Range(events.FirstRevocationSeq, events.LastRevocationSeq)))
                        found.Add($"{events.FirstRevocationSeq} to {events.LastRevocationSeq} holds {string.Join(',', listed)}");
                    delivered = events.LastRevocationSeq;
                    break;
                case FrameCase.Heartbeat:
                    RequireThrough("a heartbeat", frame.Heartbeat.ThroughRevocationSeq);
                    if (frame.Heartbeat.HeadRevocationSeq < frame.Heartbeat.ThroughRevocationSeq) found.Add("a heartbeat's head lies before its through");
                    break;
                case FrameCase.CaughtUp:
                    RequireThrough("caught up", frame.CaughtUp.ThroughRevocationSeq);
                    if (isCaughtUp) found.Add("caught up twice");
                    isCaughtUp = true;
                    break;
                case FrameCase.FellBehind:
                    RequireThrough("fell behind", frame.FellBehind.ThroughRevocationSeq);
                    if (!isCaughtUp) found.Add("fell behind without having caught up");
                    isCaughtUp = false;
                    break;
                case FrameCase.LeaseRenewed:
                    RequireThrough("a lease", frame.LeaseRenewed.ThroughRevocationSeq);
                    if (frame.LeaseRenewed.Revision.RevocationSeq > delivered) found.Add($"a lease rests on {frame.LeaseRenewed.Revision.RevocationSeq}, delivered is {delivered}");
                    break;
            }
        }
        return found;

        void RequireThrough(string who, long through)
        {
            if (through != delivered) found.Add($"{who} says through {through}, delivered is {delivered}");
        }
    }

    /// <summary>
    /// What must hold of a follower that reconnected (I29, I30, D2): its streams, put one behind the other, are the table: ordered,
    /// each entry once, none left out, and each stream begins where the one before it ended.
    /// </summary>
    /// <param name="streams">In the order in which they were opened, with the cursor each was started after.</param>
    /// <param name="table">The entries of the ledger, as <see cref="NameOf"/> tells them, from the first.</param>
    public static IReadOnlyList<string> FindViolations(IReadOnlyList<(long Cursor, IReadOnlyList<Frame> Frames)> streams, IReadOnlyList<string> table)
    {
        var found = new List<string>();
        var log = new List<string>();
        foreach (var (cursor, frames) in streams)
        {
            if (cursor != log.Count) found.Add($"a stream is resumed after {cursor}, delivered is {log.Count}");
            found.AddRange(FindViolations(frames, cursor));
            log.AddRange(frames.Where(f => f.FrameCase == FrameCase.Events).SelectMany(f => f.Events.Revocations).Select(NameOf));
        }
        if (log.Count == 0) found.Add("nothing was delivered, so nothing is shown");         // an empty stream passes every other check
        if (log.Count != table.Count) found.Add($"{log.Count} entries were delivered of {table.Count}");
        for (int i = 0; i < Math.Min(log.Count, table.Count); i++)
            if (log[i] != table[i]) found.Add($"entry {i + 1} was delivered as {log[i]}, and is {table[i]}");
        return found;
    }

    public static string NameOf(ClawBureau.Protos.Feed.V1.Revocation entry) =>
        $"{entry.RevocationSeq} {entry.Seq} {Convert.ToHexStringLower((entry.Group?.Key ?? entry.Token?.TokenHash ?? Google.Protobuf.ByteString.Empty).Span)}";

    public static IEnumerable<long> Range(long first, long last)
    {
        for (long seq = first; seq <= last; seq++) yield return seq;
    }
}
