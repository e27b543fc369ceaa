using ClawBureau.Protos.Feed.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;
using FrameCase = ClawBureau.Protos.Feed.V1.GetSnapshotResponse.FrameOneofCase;

namespace ClawBureau.Introspector.Tests;

/// <summary>What a follower begins with: everything that is dead at one revision, and nothing that is not.</summary>
public sealed class SnapshotTests
{
    [Fact]
    public async Task A_snapshot_has_every_live_revocation_block_and_cut_and_says_where_to_watch_from()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = await introspector.MintAsync();
        var revoked = await introspector.RevokeAsync(token);
        await introspector.RevokeAsync(jti: "only-the-jti-is-known");
        var blocked = GroupKey.Of(RevocationKind.Mission, "", "blocked");
        var lifted = GroupKey.Of(RevocationKind.Subject, "did:key:zOwner", "lifted");
        await introspector.BlockAsync(blocked);
        await introspector.BlockAsync(lifted);
        var cut = await introspector.LiftAsync(lifted);

        var snapshot = await TakeAsync(introspector);
        Assert.Equal((await introspector.EpochAsync(), 5L, 1L), (snapshot.Begin.Revision.Epoch, snapshot.Begin.Revision.RevocationSeq, snapshot.Begin.KeysSeq));
        Assert.Equal([1, 2, 3, 5], snapshot.Entries.Select(e => e.RevocationSeq));      // 4 was replaced by 5
        Assert.Equal((ByteString.CopyFrom(token.TokenHash.ToArray()), token.Claims.Jti), (snapshot.Entries[0].Token.TokenHash, snapshot.Entries[0].Token.Jti));
        Assert.Equal((revoked.Seq.Value, revoked.RecordedAt), (snapshot.Entries[0].Seq, snapshot.Entries[0].RevokedAt.ToDateTimeOffset()));
        Assert.Equal("only-the-jti-is-known", snapshot.Entries[1].Token.Jti);
        Assert.Equal((ByteString.CopyFrom(blocked.Hash), true), (snapshot.Entries[2].Group.Key, snapshot.Entries[2].Group.Blocked));
        Assert.Equal((ByteString.CopyFrom(lifted.Hash), false, cut.Cut), (snapshot.Entries[3].Group.Key, snapshot.Entries[3].Group.Blocked, snapshot.Entries[3].Group.Cut.Seconds));

        using var watcher = await introspector.WatchAsync(snapshot.Begin.Revision.Epoch, snapshot.Begin.Revision.RevocationSeq);
        await introspector.RevokeManyAsync(1);
        await watcher.UntilDeliveredAsync(6);
        Assert.Equal([6], watcher.Delivered.Select(r => r.RevocationSeq));
    }

    [Fact]
    public async Task A_snapshot_of_nothing_has_a_beginning_and_an_end()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var snapshot = await TakeAsync(introspector);
        Assert.Equal((0L, 0), (snapshot.Begin.Revision.RevocationSeq, snapshot.Entries.Count));
    }

    [Fact]
    public async Task What_was_loaded_at_start_and_what_came_since_are_in_it_alike()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(before: f => f.RevokeManyAsync(300));
        await introspector.RevokeManyAsync(200);
        var snapshot = await TakeAsync(introspector, maxFrameBytes: 1000);
        Assert.Equal(FeedChecks.Range(1, 500), snapshot.Entries.Select(e => e.RevocationSeq));
        Assert.True(snapshot.Chunks > 50, "small frames were asked for");
    }

    [Fact]
    public async Task Snapshots_taken_while_acts_pour_in_are_exactly_the_state_of_their_revision()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var epoch = await introspector.EpochAsync();
        using var watcher = await introspector.WatchAsync(epoch);
        var groups = Enumerable.Range(0, 5).Select(n => GroupKey.Of(RevocationKind.Mission, "", $"mission {n}")).ToArray();
        var acting = Task.Run(async () =>
        {
            for (int round = 0; round < 40; round++)
            {
                await Task.WhenAll(groups.Select(introspector.BlockAsync));
                await introspector.RevokeManyAsync(10);
                await Task.WhenAll(groups.Select(introspector.LiftAsync));
            }
        });
        var snapshots = new List<Snapshot>();
        while (!acting.IsCompleted) snapshots.Add(await TakeAsync(introspector));
        await acting;
        snapshots.Add(await TakeAsync(introspector));
        await watcher.UntilDeliveredAsync(snapshots[^1].Begin.Revision.RevocationSeq);
        var feed = watcher.Delivered.ToList();

        Assert.True(snapshots.Select(s => s.Begin.Revision.RevocationSeq).Distinct().Count() > 3, "acts and snapshots went on at the same time");
        foreach (var snapshot in snapshots)
        {
            long revision = snapshot.Begin.Revision.RevocationSeq;
            var expected = feed.Where(e => e.RevocationSeq <= revision)
                .GroupBy(e => e.Group is { } group ? group.Key : e.Token.TokenHash)
                .Select(same => AsKept(same.Last())).OrderBy(e => e.RevocationSeq);
            Assert.Equal(expected, snapshot.Entries);
        }
    }

    [Fact]
    public async Task Another_epoch_and_what_is_no_request_are_refused()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        Assert.Equal(0, (await TakeAsync(introspector, epoch: await introspector.EpochAsync())).Begin.Count);
        foreach (var (epoch, bytes, reason) in new[]
        {
            (Guid.NewGuid().ToString(), 0, Reason.LedgerEpochMismatch),
            ("epoch", 0, Reason.InvalidRequest),
            ("", -1, Reason.InvalidRequest),
        })
        {
            var refusal = await Assert.ThrowsAsync<Refusal>(() => TakeAsync(introspector, epoch, bytes));
            Assert.Equal(reason, refusal.Reason);
        }
    }

    [Fact]
    public async Task A_reader_that_stalls_holds_a_turn_and_nothing_of_the_database()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(
            new Tuning { MostSendTime = TimeSpan.FromSeconds(2) }, new Dictionary<string, string?> { ["CLAW_FEED_MAX_SNAPSHOTS"] = "1" }, before: f => f.RevokeManyAsync(10_000));
        using (var stalled = introspector.Feed.GetSnapshot(new GetSnapshotRequest()))
        {
            Assert.True(await stalled.ResponseStream.MoveNext(CancellationToken.None));
            Assert.Equal(Reason.RateLimited, (await Assert.ThrowsAsync<Refusal>(() => TakeAsync(introspector))).Reason);
            Assert.Equal(0, await introspector.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"));
            // Nobody reads on; the turn comes back all the same, and what was sent of it has no end.
            await Eventually.HoldsAsync("there is a turn again", () => HasTurnAsync(introspector));
            await Assert.ThrowsAsync<Refusal>(async () =>
            {
                while (await stalled.ResponseStream.MoveNext(CancellationToken.None)) Assert.NotEqual(FrameCase.End, stalled.ResponseStream.Current.FrameCase);
            });
        }
    }

    [Fact]
    public async Task A_caller_who_shows_nothing_gets_no_snapshot()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        using var call = new FeedService.FeedServiceClient(introspector.Process.Channel(adminKey: null).Calls).GetSnapshot(new GetSnapshotRequest());
        Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(() => call.ResponseStream.MoveNext(CancellationToken.None))).Reason);
    }

    private static async Task<bool> HasTurnAsync(IntrospectorFixture introspector)
    {
        try
        {
            await TakeAsync(introspector);
            return true;
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.RateLimited)
        {
            return false;
        }
    }

    /// <summary>Reads a whole snapshot and checks what its form promises.</summary>
    private static async Task<Snapshot> TakeAsync(IntrospectorFixture introspector, string epoch = "", int maxFrameBytes = 0)
    {
        using var call = introspector.Feed.GetSnapshot(new GetSnapshotRequest { Epoch = epoch, MaxFrameBytes = maxFrameBytes });
        var frames = new List<GetSnapshotResponse>();
        await foreach (var frame in call.ResponseStream.ReadAllAsync()) frames.Add(frame);

        Assert.Equal((FrameCase.Begin, FrameCase.End), (frames[0].FrameCase, frames[^1].FrameCase));
        Assert.All(frames[1..^1], frame => Assert.Equal(FrameCase.Chunk, frame.FrameCase));
        var snapshot = new Snapshot(frames[0].Begin, [.. frames[1..^1].SelectMany(frame => frame.Chunk.Revocations)], frames.Count - 2);
        Assert.Equal((snapshot.Entries.Count, snapshot.Entries.Count), (snapshot.Begin.Count, frames[^1].End.Count));
        Assert.Equal(snapshot.Entries.Select(e => e.RevocationSeq).Order(), snapshot.Entries.Select(e => e.RevocationSeq));
        using var digest = new SnapshotDigest();
        foreach (var entry in snapshot.Entries) digest.Add(ToEntry(entry));
        Assert.Equal(digest.Compute(), frames[^1].End.Sha256.ToByteArray());
        return snapshot;
    }

    private static RevocationEntry ToEntry(Revocation wire) => new()
    {
        RevocationSeq = new RevocationSeq(wire.RevocationSeq),
        Seq = new Seq(wire.Seq),
        RevokedAt = wire.RevokedAt.ToDateTimeOffset(),
        TokenHash = wire.Token is { TokenHash.IsEmpty: false } token ? TokenHash.FromBytes(token.TokenHash.Span) : null,
        Jti = wire.Token?.Jti,
        Group = wire.Group is { } group ? GroupKey.FromHash((RevocationKind)group.Kind, group.Key.ToByteArray()) : null,
    };

    // Why somebody revoked decides nothing, and the end is only when to forget: the set does not keep the one, and the other in
    // whole seconds, rounded up.
    private static Revocation AsKept(Revocation entry)
    {
        var kept = new Revocation(entry) { Reason = "" };
        if (kept.Token?.ExpiresAt is { Nanos: > 0 } end) kept.Token.ExpiresAt = new() { Seconds = end.Seconds + 1 };
        return kept;
    }

    private sealed record Snapshot(SnapshotBegin Begin, IReadOnlyList<Revocation> Entries, int Chunks);
}
