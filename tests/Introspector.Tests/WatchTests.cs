using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Frame = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

/// <summary>The feed (L4): each event once, in order, or the watcher is told to start over.</summary>
public sealed class WatchTests
{
    private static readonly Dictionary<string, string?> FastHeartbeats = new() { ["CLAW_FEED_HEARTBEAT_SECONDS"] = "0.1" };

    [Fact]
    public async Task Hello_comes_first_then_the_backlog_then_caught_up_then_what_happens()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(3);
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync());

        var hello = (await watcher.NextAsync())!.Hello;
        Assert.Equal((await introspector.EpochAsync(), 3L, 1L, 1L), (hello.Epoch, hello.HeadRevocationSeq, hello.MinRevocationSeq, hello.KeysSeq));
        Assert.Equal((TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3)), (hello.HeartbeatInterval.ToTimeSpan(), hello.Lease.ToTimeSpan()));
        Assert.NotEqual(Guid.Parse(hello.ServerId), Guid.Parse(hello.StreamId));
        Assert.Equal(3, (await watcher.UntilAsync(FrameCase.CaughtUp)).CaughtUp.ThroughRevocationSeq);
        Assert.Equal([1, 2, 3], watcher.Delivered.Select(r => r.RevocationSeq));

        var token = await introspector.MintAsync();
        var revoked = await introspector.RevokeAsync(token);
        var group = GroupKey.Of(RevocationKind.Mission, "did:key:zOwner", "mission");
        await introspector.BlockAsync(group);
        var lifted = await introspector.LiftAsync(group);
        await watcher.UntilDeliveredAsync(6);

        var entries = watcher.Delivered.Skip(3).ToList();
        Assert.Equal((revoked.RevocationSeq.Value, revoked.Seq.Value, "test"), (entries[0].RevocationSeq, entries[0].Seq, entries[0].Reason));
        Assert.Equal(revoked.RecordedAt, entries[0].RevokedAt.ToDateTimeOffset());
        Assert.Equal((token.Claims.Jti, token.Claims.ExpiresAt), (entries[0].Token.Jti, entries[0].Token.ExpiresAt.Seconds));
        Assert.Equal(token.TokenHash.ToArray(), entries[0].Token.TokenHash.ToByteArray());
        Assert.Equal((Wire.GroupKind.Mission, true, null), (entries[1].Group.Kind, entries[1].Group.Blocked, entries[1].Group.Cut));
        Assert.Equal((false, lifted.Cut), (entries[2].Group.Blocked, entries[2].Group.Cut.Seconds));
        Assert.All(entries.Skip(1), e => Assert.Equal(group.Hash, e.Group.Key.ToByteArray()));
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
    }

    [Fact]
    public async Task Without_a_cursor_it_begins_at_the_head()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(3);
        using var watcher = await introspector.WatchAsync();
        Assert.Equal(3, (await watcher.UntilAsync(FrameCase.CaughtUp)).CaughtUp.ThroughRevocationSeq);
        await introspector.RevokeManyAsync(1);
        await watcher.UntilDeliveredAsync(4);
        Assert.Equal([4], watcher.Delivered.Select(r => r.RevocationSeq));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(9)]
    [InlineData(10)]
    public async Task A_cursor_gets_exactly_the_rest(long after)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(10);
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), after);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        Assert.Equal(FeedChecks.Range(after + 1, 10), watcher.Delivered.Select(r => r.RevocationSeq));
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, after));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(16)]
    public async Task However_often_watchers_reconnect_their_streams_add_up_to_the_table(int? ringSize)
    {
        const int total = 1_500;
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { RingSize = ringSize }, FastHeartbeats);
        var second = await introspector.AddReplicaAsync(new Tuning { RingSize = ringSize }, FastHeartbeats);
        var epoch = await introspector.EpochAsync();
        var writing = Task.Run(async () =>
        {
            for (int i = 0; i < total; i += 10) await introspector.RevokeManyAsync(10);
        });
        var watching = Enumerable.Range(0, 4).Select(number => Task.Run(async () =>
        {
            var random = new Random(number);
            var streams = new List<(long, IReadOnlyList<Frame>)>();
            for (long delivered = 0; delivered < total;)
            {
                using var watcher = await introspector.WatchAsync(epoch, delivered, maxFrameBytes: random.Next(1, 8_000), replica: random.Next(2) == 0 ? second : null);
                int frames = random.Next(1, 40);
                do await watcher.NextAsync();
                while (watcher.Frames.Count < frames && delivered + watcher.Delivered.Count() < total);
                streams.Add((delivered, watcher.Frames));
                delivered += watcher.Delivered.Count();
            }
            return streams;
        })).ToList();
        await writing;

        var table = new List<string>();
        await using (var command = introspector.Admin.CreateCommand("SELECT revocation_seq, seq, encode(token_hash, 'hex') FROM ledger.revocations ORDER BY revocation_seq"))
        await using (var reader = await command.ExecuteReaderAsync())
        {
            while (await reader.ReadAsync()) table.Add($"{reader.GetInt64(0)} {reader.GetInt64(1)} {reader.GetString(2)}");
        }
        Assert.Equal(total, table.Count);
        foreach (var streams in await Task.WhenAll(watching)) Assert.Empty(FeedChecks.FindViolations(streams, table));
    }

    [Fact]
    public async Task A_backlog_longer_than_the_ring_comes_from_the_database()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { RingSize = 8 });
        await introspector.RevokeManyAsync(5_000);      // more than one read of the database brings
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync());
        Assert.Equal(5_000, (await watcher.UntilAsync(FrameCase.CaughtUp)).CaughtUp.ThroughRevocationSeq);
        Assert.Equal(FeedChecks.Range(1, 5_000), watcher.Delivered.Select(r => r.RevocationSeq));
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
        Assert.All(watcher.Frames, frame => Assert.InRange(frame.CalculateSize(), 0, 65_536));
    }

    /// <summary>Frames are encoded once, by hand: they must be what the generated code would have made of them.</summary>
    [Fact]
    public void An_encoded_frame_is_what_the_contract_says()
    {
        var entries = Enumerable.Range(1, 300).Select(i => new Revocation
        {
            RevocationSeq = i + 41,
            Seq = 1L << i % 60,
            Token = new RevokedToken { TokenHash = Google.Protobuf.ByteString.CopyFrom(TokenHash.Of($"{i}").ToArray()), Jti = new string('j', i % 40) },
            Reason = new string('r', i),
        }).ToList();
        foreach (int count in new[] { 1, 2, 300 })
        {
            var made = new Frame { Events = new Events { FirstRevocationSeq = 42, LastRevocationSeq = 41 + count, Revocations = { entries.Take(count) } } };
            var frame = WatchFrame.Of(42, entries.Take(count).Select(WatchFrame.Encode).ToArray());
            Assert.Equal((42, 41 + count), (frame.First, frame.Last));
            Assert.Equal(made, Frame.Parser.ParseFrom(frame.ToArray()));
            Assert.Equal(made.CalculateSize(), frame.ToArray().Length);
        }
        var heartbeat = new Frame { Heartbeat = new Heartbeat { ThroughRevocationSeq = 7, HeadRevocationSeq = 9 } };
        Assert.Equal(heartbeat, Frame.Parser.ParseFrom(WatchFrame.Of(heartbeat).ToArray()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1_000)]
    [InlineData(0)]
    public async Task A_frame_is_as_large_as_was_asked_for_and_no_larger_unless_one_entry_alone_is(int maxFrameBytes)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(100);
        await introspector.IntrospectAsync(introspector.Sign());
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), maxFrameBytes: maxFrameBytes);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        var events = watcher.Frames.Where(f => f.FrameCase == FrameCase.Events).ToList();
        int most = maxFrameBytes == 0 ? 65_536 : maxFrameBytes;
        Assert.All(events, f => Assert.True(f.CalculateSize() <= most || f.Events.Revocations.Count == 1));
        // One more would not have fitted, by what is reserved for a frame's own fields.
        Assert.All(events.Zip(events.Skip(1)), pair => Assert.True(pair.First.CalculateSize() + pair.Second.Events.Revocations[0].CalculateSize() + 64 > most));
        Assert.Equal(FeedChecks.Range(1, 100), watcher.Delivered.Select(r => r.RevocationSeq));
    }

    [Fact]
    public async Task A_quiet_stream_is_heard_of_and_says_what_was_delivered()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: FastHeartbeats);
        using var watcher = await introspector.WatchAsync();
        Assert.Equal(0, (await watcher.UntilAsync(FrameCase.Heartbeat)).Heartbeat.ThroughRevocationSeq);     // also before the first event
        for (int i = 1; i <= 5; i++)
        {
            await introspector.RevokeManyAsync(1);
            await watcher.UntilDeliveredAsync(i);
            var heartbeat = (await watcher.UntilAsync(FrameCase.Heartbeat)).Heartbeat;
            Assert.Equal((i, i), (heartbeat.ThroughRevocationSeq, heartbeat.HeadRevocationSeq));
        }
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
    }

    /// <summary>
    /// A backlog is held up, and a heartbeat comes due: it waits for its turn. Heartbeats on a side channel are the negative control (I31):
    /// they say that what is still to come was delivered, and the checks must see it.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_heartbeat_never_overtakes_what_it_says_was_delivered(bool sendsAside)
    {
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { RingSize = 8 }, FastHeartbeats, add: services =>
        {
            services.AddSingleton(s => new Watches(s.GetRequiredService<IntrospectorOptions>(), s.GetRequiredService<TimeProvider>()) { SendsHeartbeatsAside = sendsAside });
            services.AddSingleton(s => new HeldBacklog(s.GetRequiredService<LedgerFollower>()));
            services.AddSingleton<IFeedSource>(s => s.GetRequiredService<HeldBacklog>());
        });
        await introspector.RevokeManyAsync(20);
        await introspector.IntrospectAsync(introspector.Sign());
        var backlog = introspector.Process.Services.GetRequiredService<HeldBacklog>();
        using var behind = await introspector.WatchAsync(await introspector.EpochAsync());
        await backlog.Asked.WaitAsync(TimeSpan.FromSeconds(20));
        // Both are looked after in one go: when the other one has had two, one was due here.
        using var other = await introspector.WatchAsync();
        for (int i = 0; i < 2; i++) await other.UntilAsync(FrameCase.Heartbeat);
        backlog.Release();
        await behind.UntilDeliveredAsync(20);

        var violations = FeedChecks.FindViolations(behind.Frames, 0);
        if (sendsAside) Assert.Contains("a heartbeat says through 20, delivered is 0", violations);
        else Assert.Empty(violations);
        Assert.Empty(FeedChecks.FindViolations(other.Frames, 20));
    }

    /// <summary>Who watches from memory is told when it falls out of its reach and when it is back, and nothing is lost in between.</summary>
    [Fact]
    public async Task A_watcher_that_falls_behind_is_told_so_and_told_again_when_it_has_caught_up()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { RingSize = 8 }, add: services => services.AddSingleton<HeldWriters>()
            .AddOptions<GrpcServiceOptions>().Configure(grpc => grpc.Interceptors.Add<HeldWriterInterceptor>()));
        var held = introspector.Process.Services.GetRequiredService<HeldWriters>();
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync());
        await watcher.UntilAsync(FrameCase.CaughtUp);

        // One frame is held up on its way while more happens than memory keeps.
        var stuck = held.Hold();
        await introspector.RevokeManyAsync(1);
        await stuck.WaitAsync(TimeSpan.FromSeconds(20));
        await introspector.RevokeManyAsync(100);
        await introspector.IntrospectAsync(introspector.Sign());
        held.Release();

        var behind = (await watcher.UntilAsync(FrameCase.FellBehind)).FellBehind;
        Assert.InRange(behind.ThroughRevocationSeq, 0, 92);         // a heartbeat may have been what was held up
        Assert.Equal(101, behind.HeadRevocationSeq);
        Assert.Equal(101, (await watcher.UntilAsync(f => f.FrameCase == FrameCase.CaughtUp)).CaughtUp.ThroughRevocationSeq);
        Assert.Equal(FeedChecks.Range(1, 101), watcher.Delivered.Select(r => r.RevocationSeq));
        await introspector.RevokeManyAsync(1);
        await watcher.UntilDeliveredAsync(102);
        Assert.Single(watcher.Frames, f => f.FrameCase == FrameCase.FellBehind);
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
    }

    [Theory]
    [InlineData(3, Reason.FeedCursorTooOld)]        // min - 2
    [InlineData(0, Reason.FeedCursorTooOld)]
    [InlineData(4, null)]                           // min - 1
    [InlineData(5, null)]
    [InlineData(10, null)]                          // head
    [InlineData(11, Reason.FeedCursorFuture)]
    [InlineData(long.MaxValue, Reason.FeedCursorFuture)]
    public async Task A_cursor_resumes_from_min_minus_one_to_the_head_and_is_reset_outside(long after, Reason? reset)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(10);
        await introspector.IntrospectAsync(introspector.Sign());
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations WHERE revocation_seq < 5");
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), after);
        if (reset is { } reason)
        {
            await RequireResetAsync(watcher, reason, await introspector.EpochAsync(), 5, 10);
        }
        else
        {
            Assert.Equal(5, (await watcher.UntilAsync(FrameCase.Hello)).Hello.MinRevocationSeq);
            await watcher.UntilAsync(FrameCase.CaughtUp);
            Assert.Equal(FeedChecks.Range(after + 1, 10), watcher.Delivered.Select(r => r.RevocationSeq));
        }
    }

    [Fact]
    public async Task Where_nothing_is_left_only_the_head_resumes()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(3);
        await introspector.IntrospectAsync(introspector.Sign());
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations");
        using var behind = await introspector.WatchAsync(await introspector.EpochAsync(), 2);
        await RequireResetAsync(behind, Reason.FeedCursorTooOld, await introspector.EpochAsync(), 4, 3);
        using var atHead = await introspector.WatchAsync(await introspector.EpochAsync(), 3);
        Assert.Equal(3, (await atHead.UntilAsync(FrameCase.CaughtUp)).CaughtUp.ThroughRevocationSeq);
    }

    [Fact]
    public async Task A_cursor_of_another_epoch_is_reset_whatever_its_number()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(2);
        foreach (long after in new long[] { 0, 2, 99 })
        {
            using var watcher = await introspector.WatchAsync(Guid.NewGuid().ToString(), after);
            await RequireResetAsync(watcher, Reason.FeedCursorForeignEpoch, await introspector.EpochAsync(), 1, 2);
        }
    }

    [Fact]
    public async Task Entries_that_are_removed_while_a_watcher_is_behind_reset_it()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { RingSize = 2 });
        await introspector.RevokeManyAsync(20);
        await introspector.IntrospectAsync(introspector.Sign());
        // What the start sees is there; what comes after is gone before it is read.
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations WHERE revocation_seq BETWEEN 2 AND 17");
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync());
        var reset = await watcher.UntilAsync(FrameCase.Reset);
        Assert.Equal(Wire.Reason.FeedCursorTooOld, reset.Reset.Reason);
        Assert.Null(await watcher.NextAsync());
        Assert.True(watcher.Delivered.All(r => r.RevocationSeq == 1));

        await introspector.ExecuteAsync("DELETE FROM ledger.revocations WHERE revocation_seq > 1");
        using var another = await introspector.WatchAsync(await introspector.EpochAsync(), 1);
        Assert.Equal(Wire.Reason.FeedCursorTooOld, (await another.UntilAsync(FrameCase.Reset)).Reset.Reason);
    }

    [Fact]
    public async Task What_is_no_start_is_refused()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        (string What, WatchRevocationsRequest Request)[] cases =
        [
            ("a renew", new WatchRevocationsRequest { Renew = new Renew { T0 = 1 } }),
            ("nothing", new WatchRevocationsRequest()),
            ("an epoch that is no UUID", new WatchRevocationsRequest { Start = new Start { Epoch = "epoch" } }),
            ("a number without epoch", new WatchRevocationsRequest { Start = new Start { AfterRevocationSeq = 1 } }),
            ("a negative number", new WatchRevocationsRequest { Start = new Start { Epoch = await introspector.EpochAsync(), AfterRevocationSeq = -1 } }),
            ("a negative frame", new WatchRevocationsRequest { Start = new Start { MaxFrameBytes = -1 } }),
            ("a follower that is no UUID", new WatchRevocationsRequest { Start = new Start { FollowerId = "me" } }),
        ];
        foreach (var (what, request) in cases)
        {
            using var watcher = new Watcher(introspector.Feed.WatchRevocations());
            await watcher.SendAsync(request);
            var refusal = await Assert.ThrowsAsync<Refusal>(watcher.NextAsync);
            Assert.Equal((what, Reason.InvalidRequest), (what, refusal.Reason));
        }
        using var silent = introspector.Feed.WatchRevocations();
        await silent.RequestStream.CompleteAsync();
        Assert.Equal(Reason.InvalidRequest, (await Assert.ThrowsAsync<Refusal>(() => silent.ResponseStream.MoveNext(CancellationToken.None))).Reason);
    }

    [Fact]
    public async Task A_renewal_is_echoed_after_everything_that_was_acknowledged_before_it()
    {
        // Nothing else makes this Introspector read: what is delivered in time, the renewal brought.
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), followerId: Guid.NewGuid().ToString());
        await watcher.UntilAsync(FrameCase.CaughtUp);
        for (long t0 = 100; t0 < 120; t0++)
        {
            var revoked = await introspector.RevokeAsync(introspector.Sign());
            await watcher.RenewAsync(t0);
            var lease = (await watcher.UntilAsync(FrameCase.LeaseRenewed)).LeaseRenewed;
            Assert.Equal((t0, revoked.RevocationSeq.Value, revoked.Seq.Value), (lease.T0, lease.ThroughRevocationSeq, lease.Revision.Seq));
            Assert.Equal(TimeSpan.FromSeconds(3), lease.Lease.ToTimeSpan());
            Assert.Equal(revoked.RevocationSeq.Value, watcher.Delivered.Last().RevocationSeq);
        }
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
    }

    [Fact]
    public async Task A_key_that_changed_is_announced_and_before_any_lease_that_was_asked_for_later()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        using var watcher = await introspector.WatchAsync();
        await watcher.UntilAsync(FrameCase.CaughtUp);
        var changed = await introspector.SetKeyAsync(KeyState.Retired);
        await watcher.RenewAsync(1);
        await watcher.UntilAsync(FrameCase.LeaseRenewed);
        Assert.Equal(changed.Seq.Value, Assert.Single(watcher.Frames, f => f.FrameCase == FrameCase.KeysChanged).KeysChanged.KeysSeq);
    }

    [Fact]
    public async Task A_key_that_changed_is_announced_to_a_watcher_that_asks_for_nothing()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        using var watcher = await introspector.WatchAsync();
        Assert.Equal(1, (await watcher.UntilAsync(FrameCase.Hello)).Hello.KeysSeq);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        var changed = await introspector.SetKeyAsync(KeyState.VerifyOnly, DateTimeOffset.UtcNow.AddHours(1));
        Assert.Equal(changed.Seq.Value, (await watcher.UntilAsync(FrameCase.KeysChanged)).KeysChanged.KeysSeq);
    }

    [Fact]
    public async Task One_watcher_more_than_allowed_is_refused_until_another_leaves()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_FEED_MAX_SUBSCRIBERS"] = "1" });
        using (var first = await introspector.WatchAsync())
        {
            await first.UntilAsync(FrameCase.CaughtUp);
            using var second = await introspector.WatchAsync();
            Assert.Equal(Reason.SubscriberLimitReached, (await Assert.ThrowsAsync<Refusal>(second.NextAsync)).Reason);
        }
        await Eventually.HoldsAsync("there is room again", async () =>
        {
            using var third = await introspector.WatchAsync();
            try
            {
                return (await third.NextAsync())!.FrameCase == FrameCase.Hello;
            }
            catch (Refusal refusal) when (refusal.Reason == Reason.SubscriberLimitReached)
            {
                return false;
            }
        });
    }

    [Fact]
    public async Task A_caller_who_shows_nothing_watches_nothing()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        using var call = new FeedService.FeedServiceClient(introspector.Process.Channel(adminKey: null).Calls).WatchRevocations();
        var refusal = await Assert.ThrowsAsync<Refusal>(() => call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal((Reason.Unauthorized, StatusCode.Unauthenticated), (refusal.Reason, ReasonCatalog.Of(refusal.Reason).GrpcCode));
    }

    /// <summary>By the process's own clock, which stands until the test moves it: no machine is too busy for it.</summary>
    /// <summary>Their frames leave together: gathered from the second watcher on, while others are on their way.</summary>
    [Fact]
    public async Task Many_watchers_on_one_connection_each_see_everything_once_and_in_order()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var connection = new FeedService.FeedServiceClient(introspector.Process.Channel().Calls);
        var fromTheStart = new Start { Epoch = await introspector.EpochAsync() };
        var watchers = new List<Watcher>();
        for (int i = 0; i < 60; i++)
        {
            watchers.Add(await Watcher.StartAsync(connection, fromTheStart));
            await introspector.RevokeManyAsync(5);
        }
        foreach (var watcher in watchers)
        {
            await watcher.UntilDeliveredAsync(300);
            Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
            watcher.Dispose();
        }
    }

    [Fact]
    public async Task A_frame_that_does_not_leave_within_the_bound_costs_its_watcher_the_stream_and_nobody_else_anything()
    {
        var clock = new TestClock();
        await using var introspector = await IntrospectorFixture.StartAsync(add: services => services.AddSingleton<HeldWriters>()
            .AddSingleton(s => new Watches(s.GetRequiredService<IntrospectorOptions>(), clock))
            .AddOptions<GrpcServiceOptions>().Configure(grpc => grpc.Interceptors.Add<HeldWriterInterceptor>()));
        var held = introspector.Process.Services.GetRequiredService<HeldWriters>();
        using var asleep = await introspector.WatchAsync();
        await asleep.UntilAsync(FrameCase.CaughtUp);
        var stuck = held.Hold();            // the next frame that anybody is sent; only this one watches
        await introspector.RevokeManyAsync(1);
        await stuck.WaitAsync(TimeSpan.FromSeconds(20));
        using var awake = await introspector.WatchAsync();
        await awake.UntilAsync(FrameCase.CaughtUp);

        clock.Advance(TimeSpan.FromSeconds(4));          // not yet
        await introspector.RevokeManyAsync(50);
        await awake.UntilDeliveredAsync(51);
        Assert.Equal(2, introspector.Process.Services.GetRequiredService<Watches>().Counted);
        clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(Reason.SubscriberTooSlow, (await Assert.ThrowsAsync<Refusal>(() => asleep.UntilAsync(_ => false))).Reason);
        await introspector.RevokeManyAsync(50);
        await awake.UntilDeliveredAsync(101);
        Assert.Empty(FeedChecks.FindViolations(asleep.Frames, 0));
        Assert.Empty(FeedChecks.FindViolations(awake.Frames, 1));
    }

    [Fact]
    public async Task A_watcher_that_does_not_read_delays_nobody_and_is_cut_off()
    {
        const int total = 20_000;
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { MostSendTime = TimeSpan.FromSeconds(1) });
        using var asleep = await introspector.WatchAsync();
        await asleep.UntilAsync(FrameCase.CaughtUp);
        using var awake = await introspector.WatchAsync();
        await awake.UntilAsync(FrameCase.CaughtUp);

        var reading = awake.UntilDeliveredAsync(total);
        await introspector.RevokeManyAsync(total);
        await reading;
        Assert.Equal(FeedChecks.Range(1, total), awake.Delivered.Select(r => r.RevocationSeq));

        // What the sleeper got before it was cut off is in order and incomplete; the stream does not end as if all were well.
        await Eventually.HoldsAsync("the sleeper is cut off", () => introspector.Process.Services.GetRequiredService<Watches>().Counted == 1);
        await Assert.ThrowsAsync<Refusal>(() => asleep.UntilAsync(_ => false));
        Assert.Empty(FeedChecks.FindViolations(asleep.Frames, 0));
        Assert.InRange(asleep.Delivered.Count(), 0, total - 1);
    }

    [Fact]
    public async Task A_process_that_stops_tells_its_watchers_why()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var second = await introspector.AddReplicaAsync();
        using var watcher = await introspector.WatchAsync(replica: second);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        var ended = Assert.ThrowsAsync<Refusal>(() => watcher.UntilAsync(_ => false));
        second.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        Assert.Equal(Reason.NotReady, (await ended).Reason);
    }

    private static async Task RequireResetAsync(Watcher watcher, Reason reason, string epoch, long min, long head)
    {
        var frame = await watcher.NextAsync();
        Assert.Equal(new Reset { Reason = (Wire.Reason)reason, Epoch = epoch, MinRevocationSeq = min, HeadRevocationSeq = head }, frame?.Reset);
        Assert.Null(await watcher.NextAsync());         // and the stream ends with OK
    }
}
