using ClawBureau.Protos.Feed.V1;
using Frame = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse;

namespace ClawBureau.Introspector.Tests;

/// <summary>The checks themselves: a stream that is wrong must not pass.</summary>
public sealed class FeedChecksTests
{
    private static readonly Frame Hello = new() { Hello = new Hello() };

    [Fact]
    public void A_right_stream_passes() =>
        Assert.Empty(FeedChecks.FindViolations([Hello, Heartbeat(4), Events(5, 5, 6), CaughtUp(6), Heartbeat(6), Events(7, 7), Heartbeat(7)], cursor: 4));

    [Fact]
    public void Every_wrong_stream_is_found()
    {
        Frame[][] wrong =
        [
            [],
            [Events(5, 5)],
            [Hello, Hello],
            [Hello, Events(6, 6)],                              // a hole
            [Hello, Events(5, 5, 6), Events(6, 6)],             // twice
            [Hello, Events(5, 6, 5)],                           // out of order
            [Hello, Events(5, 5, 7)],                           // a hole inside
            [Hello, Heartbeat(5), Events(5, 5)],                // a heartbeat on a side channel (I31)
            [Hello, Events(5, 5), Heartbeat(4)],
            [Hello, CaughtUp(5)],
            [Hello, new Frame { LeaseRenewed = new LeaseRenewed { ThroughRevocationSeq = 4, Revision = new() { RevocationSeq = 5 } } }],
        ];
        for (int i = 0; i < wrong.Length; i++) Assert.True(FeedChecks.FindViolations(wrong[i], cursor: 4).Count > 0, $"stream {i} passed");
    }

    [Fact]
    public void A_follower_that_reconnected_is_judged_by_all_its_streams_together()
    {
        string[] table = ["1 0 ", "2 0 ", "3 0 "];
        Assert.Empty(FeedChecks.FindViolations([(0, [Hello, Events(1, 1, 2)]), (2, [Hello]), (2, [Hello, Events(3, 3), Heartbeat(3)])], table));

        (long, IReadOnlyList<Frame>)[][] wrong =
        [
            [],
            [(0, [Hello])],                                                             // empty: shows nothing
            [(0, [Hello, Events(1, 1, 2)]), (2, [Hello])],                              // one is missing at the end
            [(0, [Hello, Events(1, 1, 2)]), (1, [Hello, Events(2, 2, 3)])],             // one twice
            [(0, [Hello, Events(1, 1)]), (2, [Hello, Events(3, 3)])],                   // one skipped between two streams
            [(0, [Hello, Events(1, 1, 2, 3), CaughtUp(3), CaughtUp(3)])],
            [(0, [Hello, Events(1, 1, 2, 3), new Frame { FellBehind = new FellBehind { ThroughRevocationSeq = 3 } }])],
        ];
        for (int i = 0; i < wrong.Length; i++) Assert.True(FeedChecks.FindViolations(wrong[i], table).Count > 0, $"follower {i} passed");
        Assert.NotEmpty(FeedChecks.FindViolations([(0, [Hello, Events(1, 1, 2, 3)])], ["1 0 ", "2 0 ff", "3 0 "]));     // another entry under its number
    }

    private static Frame Events(long first, params long[] entries) => new()
    {
        Events = new Events { FirstRevocationSeq = first, LastRevocationSeq = first + entries.Length - 1, Revocations = { entries.Select(s => new Revocation { RevocationSeq = s }) } },
    };

    private static Frame Heartbeat(long through) => new() { Heartbeat = new Heartbeat { ThroughRevocationSeq = through, HeadRevocationSeq = through } };

    private static Frame CaughtUp(long through) => new() { CaughtUp = new CaughtUp { ThroughRevocationSeq = through } };
}
