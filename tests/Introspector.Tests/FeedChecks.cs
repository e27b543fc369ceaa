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

    public static IEnumerable<long> Range(long first, long last)
    {
        for (long seq = first; seq <= last; seq++) yield return seq;
    }
}
