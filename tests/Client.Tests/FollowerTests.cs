using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client.Tests;

/// <summary>The feed is applied in order and whole, or given up; whatever it does, nothing is known less than before.</summary>
public sealed class FollowerTests
{
    [Fact]
    public async Task What_was_dead_before_it_began_is_dead()
    {
        var token = TokenHash.Of("before");
        await using var client = await ClientFixture.StartAsync(feed =>
        {
            for (int i = 0; i < 10; i++) feed.RevokeToken(TokenHash.Of($"token {i}"));
            feed.RevokeToken(token);
            feed.SetGroup(GroupKey.Of(RevocationKind.Mission, "", "m"), blocked: true);
            feed.SetGroup(GroupKey.Of(RevocationKind.Mission, "", "m"), blocked: false, cut: 7);
        });
        Assert.Equal(12, client.Revocations.Count);
        Assert.Equal(13, client.Feed.Starts.Single().AfterRevocationSeq);
        Assert.Equal(client.Feed.Epoch, client.Feed.Starts.Single().Epoch);
    }

    [Fact]
    public async Task Each_entry_is_applied_acknowledged_and_told_in_order()
    {
        await using var client = await ClientFixture.StartAsync();
        var told = new List<long>();
        client.Follower.Applied += entries => told.AddRange(entries.Select(entry => entry.RevocationSeq.Value));
        for (int i = 0; i < 200; i++) client.Feed.RevokeToken(TokenHash.Of($"token {i}"));
        await client.AppliedAsync(200);
        Assert.Equal(Enumerable.Range(1, 200).Select(i => (long)i), told);
        await Testing.Eventually.HoldsAsync("the last is acknowledged", () => client.Feed.Acknowledged.Contains(200));
        Assert.Equal(client.Feed.Acknowledged.Order(), client.Feed.Acknowledged);
    }

    [Fact]
    public async Task A_stream_that_ends_is_taken_up_where_it_was_and_nothing_is_forgotten()
    {
        await using var client = await ClientFixture.StartAsync();
        client.Feed.RevokeToken(TokenHash.Of("first"));
        await client.AppliedAsync(1);
        client.Feed.Cut();
        client.Feed.RevokeToken(TokenHash.Of("second"));
        await client.HoldsAsync("it is back", () => client.Feed.Starts.Count >= 2);
        await client.AppliedAsync(2);
        Assert.Equal(0, client.Feed.Starts.First().AfterRevocationSeq);
        Assert.All(client.Feed.Starts.Skip(1), start => Assert.InRange(start.AfterRevocationSeq, 1, 2));
        Assert.Single(client.Feed.Starts.Select(start => start.FollowerId).Distinct());
        Assert.Equal((2, 1), (client.Revocations.Count, client.Feed.Snapshots));
    }

    [Theory]
    [InlineData("a gap")]
    [InlineData("an entry twice")]
    [InlineData("a range that is not what it says")]
    [InlineData("a heartbeat about what did not come")]
    [InlineData("a lease nobody asked for")]
    [InlineData("a group of a kind nobody knows")]
    [InlineData("an entry about nothing")]
    public async Task A_stream_that_breaks_a_promise_is_given_up_before_anything_rests_on_it(string what)
    {
        await using var client = await ClientFixture.StartAsync();
        client.Feed.RevokeToken(TokenHash.Of("first"));
        await client.AppliedAsync(1);
        var entry = new Revocation
        {
            RevocationSeq = 2,
            RevokedAt = Timestamp.FromDateTimeOffset(client.Clock.GetUtcNow()),
            Token = new RevokedToken { TokenHash = ByteString.CopyFrom(TokenHash.Of("never").ToArray()) },
        };
        client.Feed.Send(what switch
        {
            "a gap" => Events(3, 3, new Revocation(entry) { RevocationSeq = 3 }),
            "an entry twice" => Events(1, 1, new Revocation(entry) { RevocationSeq = 1 }),
            "a range that is not what it says" => Events(2, 3, entry, new Revocation(entry) { RevocationSeq = 4 }),
            "a heartbeat about what did not come" => new() { Heartbeat = new Heartbeat { ThroughRevocationSeq = 9, HeadRevocationSeq = 9 } },
            "a lease nobody asked for" => new()
            {
                LeaseRenewed = new LeaseRenewed
                {
                    T0 = client.Clock.GetTimestamp() + 1_000_000_000,
                    Lease = Duration.FromTimeSpan(TimeSpan.FromHours(1)),
                    ThroughRevocationSeq = 1,
                    Revision = new Wire.Revision { Epoch = client.Feed.Epoch, RevocationSeq = 1 },
                },
            },
            "a group of a kind nobody knows" => Events(2, 2, new Revocation { RevocationSeq = 2, RevokedAt = entry.RevokedAt, Group = new RevokedGroup { Kind = (Wire.GroupKind)11, Key = ByteString.CopyFrom(new byte[32]) } }),
            _ => Events(2, 2, new Revocation { RevocationSeq = 2, RevokedAt = entry.RevokedAt }),
        });
        await client.HoldsAsync("it is given up and taken up anew", () => client.Feed.Starts.Count >= 2);
        Assert.Equal(1, client.Feed.Starts.Last().AfterRevocationSeq);
        Assert.Equal(1, client.Revocations.Count);
        Assert.True(client.Follower.LeaseLeft <= TimeSpan.FromSeconds(3));

        static WatchRevocationsResponse Events(long first, long last, params Revocation[] entries) =>
            new() { Events = new Events { FirstRevocationSeq = first, LastRevocationSeq = last, Revocations = { entries } } };
    }

    [Theory]
    [InlineData("no end")]
    [InlineData("an entry less")]
    [InlineData("another digest")]
    [InlineData("another order")]
    [InlineData("no beginning")]
    public async Task A_snapshot_that_is_not_whole_is_none(string what)
    {
        await using var client = await ClientFixture.StartAsync(feed =>
        {
            for (int i = 0; i < 7; i++) feed.RevokeToken(TokenHash.Of($"token {i}"));
            feed.Spoil = frames => what switch
            {
                "no end" => frames[..^1],
                "an entry less" => [.. frames[..1], .. frames[2..]],
                "another digest" => [.. frames[..^1], new() { End = new SnapshotEnd { Count = 7, Sha256 = ByteString.CopyFrom(new byte[32]) } }],
                "another order" => [frames[0], frames[2], frames[1], .. frames[3..]],
                _ => frames[1..],
            };
        }, waits: false);
        await client.HoldsAsync("it is tried again", () => client.Feed.Snapshots >= 3);
        Assert.Equal(0, client.Revocations.Count);
        Assert.Null(client.Follower.Lease);
        Assert.Empty(client.Feed.Starts);
        client.Feed.Spoil = null;
        await client.HoldsAsync("a whole one is taken", () => client.Revocations.Count == 7);
        await client.HasLeaseAsync();
    }

    [Fact]
    public async Task After_a_reset_the_old_state_holds_until_a_new_one_is_complete()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        client.Feed.RevokeToken(token.TokenHash);
        await client.AppliedAsync(1);
        client.Feed.Spoil = frames => frames[..1];
        client.Feed.ResetNext = Reason.FeedCursorForeignEpoch;
        client.Feed.Cut();
        await client.HoldsAsync("snapshots are tried", () => client.Feed.Snapshots >= 3);
        Assert.NotNull(client.Revocations.Find(token.TokenHash, token.Claims, client.Key.KeyId));
        Assert.True((await client.VerifyAsync(token.Compact)).IsRevoked);

        client.Feed.Spoil = null;
        client.Feed.Epoch = Guid.NewGuid().ToString();
        await client.HoldsAsync("it follows the new epoch", () => client.Follower.Lease?.Revision.Epoch.ToString() == client.Feed.Epoch);
        Assert.True((await client.VerifyAsync(token.Compact)).IsRevoked);
    }

    [Fact]
    public async Task A_feed_that_goes_back_within_its_epoch_is_not_followed_and_nothing_is_forgotten_for_it()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        client.Feed.RevokeToken(token.TokenHash);
        client.Feed.RevokeToken(TokenHash.Of("another"));
        await client.AppliedAsync(2);
        int snapshots = client.Feed.Snapshots;
        client.Feed.Spoil = frames =>
        {
            using var digest = new SnapshotDigest();
            frames[0].Begin.Count = 0;
            frames[0].Begin.Revision.RevocationSeq = 1;
            return [frames[0], new() { End = new SnapshotEnd { Sha256 = ByteString.CopyFrom(digest.Compute()) } }];
        };
        client.Feed.ResetNext = Reason.FeedCursorFuture;
        client.Feed.Cut();
        await client.HoldsAsync("it is tried again", () => client.Feed.Snapshots >= snapshots + 2);
        await client.HoldsAsync("the lease has run out", () => client.Follower.LeaseLeft == TimeSpan.Zero);
        Assert.Equal(2, client.Revocations.Count);
        Assert.True((await client.VerifyAsync(token.Compact)).IsRevoked);
        Assert.False(client.Verifier.TryVerify(client.Sign().Compact, TokenRequirements.None, out _));
    }

    [Fact]
    public async Task A_stream_that_falls_silent_while_its_connection_lives_is_given_up_and_its_lease_runs_out()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign().Compact;
        client.Feed.Speaks = false;
        var left = client.Follower.LeaseLeft;
        client.Clock.Advance(left);
        Assert.False(client.Verifier.TryVerify(token, TokenRequirements.None, out _));
        await client.HoldsAsync("another stream is tried", () => client.Feed.Starts.Count >= 2);
        client.Feed.Speaks = true;
        await client.HoldsAsync("there is a lease again", () => client.Verifier.TryVerify(token, TokenRequirements.None, out _));
    }

    [Fact]
    public async Task Heartbeats_alone_renew_no_lease_and_a_stream_that_has_nothing_else_is_given_up()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign().Compact;
        client.Feed.AnswersRenewals = false;
        await client.HoldsAsync("the lease has run out", () =>
        {
            client.Feed.Heartbeat();
            return client.Follower.LeaseLeft == TimeSpan.Zero;
        });
        Assert.False(client.Verifier.TryVerify(token, TokenRequirements.None, out _));
        await client.HoldsAsync("it is given up", () =>
        {
            client.Feed.Heartbeat();
            return client.Feed.Starts.Count >= 2;
        });
    }

    [Fact]
    public async Task A_feed_that_comes_and_goes_never_makes_a_stale_yes()
    {
        await using var client = await ClientFixture.StartAsync();
        client.Introspection.Answer = _ => throw new Refusal(Reason.NotReady);
        var random = new Random(20_261_125);
        var live = new Dictionary<string, long>();          // token → when its revocation was acknowledged, monotonic
        var tokens = Enumerable.Range(0, 400).Select(_ => client.Sign(claims => claims with { ExpiresAt = claims.IssuedAt + 86_400 })).ToList();
        int answered = 0;
        foreach (var token in tokens)
        {
            switch (random.Next(12))
            {
                case 0: client.Feed.Cut(); break;
                case 1: client.Feed.Down = new Refusal(Reason.NotReady); client.Feed.Cut(); break;
                case 2: client.Feed.Hold(); break;
                case 3: client.Feed.AnswersRenewals = false; break;
                case 4: client.Feed.Speaks = false; break;
                case 5: client.Clock.StepWallClock(TimeSpan.FromSeconds(random.Next(-3000, 30))); break;
                case 6: client.Clock.Advance(TimeSpan.FromSeconds(5)); break;
                default:
                    client.Feed.Down = null;
                    client.Feed.Release();
                    (client.Feed.AnswersRenewals, client.Feed.Speaks) = (true, true);
                    break;
            }
            client.Feed.RevokeToken(token.TokenHash);
            live[token.Compact] = client.Clock.GetTimestamp();
            for (int i = 0; i < 4; i++)
            {
                client.Clock.Advance(TimeSpan.FromMilliseconds(random.Next(0, 800)));
                for (int turns = 0; turns < 20; turns++) await Task.Yield();        // the other side gets to run; nothing waits for it
                foreach (var (compact, acknowledgedAt) in live)
                {
                    long judgedAt = client.Clock.GetTimestamp();
                    if (!client.Verifier.TryVerify(compact, TokenRequirements.None, out var verification)) continue;
                    answered++;
                    if (!verification.IsValid) continue;
                    // A yes about a revoked token: within the bound, or the bound is broken.
                    Assert.InRange(client.Clock.GetElapsedTime(acknowledgedAt, judgedAt), TimeSpan.Zero, client.Options.MaxStaleness);
                    Assert.True(verification.Confidence.RevocationAge <= client.Options.MaxStaleness);
                }
                if (live.Count > 30) live.Remove(live.Keys.First());
            }
        }
        Assert.True(answered > 100, "it answered at all");
    }

    [Fact]
    public async Task Who_holds_something_open_under_a_token_is_told_when_it_dies_and_only_then()
    {
        await using var client = await ClientFixture.StartAsync();
        var (one, other, third) = (client.Sign(), client.Sign(claims => claims with { MissionId = "another" }), client.Sign());
        var told = new System.Collections.Concurrent.ConcurrentQueue<string>();
        foreach (var (name, token) in new[] { ("one", one), ("other", other), ("third", third) })
            client.Watches.Add(token.TokenHash, token.Claims, client.Key.KeyId, death => told.Enqueue($"{name} {death.Group}"));
        client.Feed.RevokeToken(TokenHash.Of("nobody's"));
        client.Feed.RevokeToken(one.TokenHash);
        await Testing.Eventually.HoldsAsync("one is told", () => told.Contains("one "));
        client.Feed.SetGroup(GroupKey.Of(RevocationKind.Mission, "", "another"), blocked: true);
        await Testing.Eventually.HoldsAsync("the other is told", () => told.Contains("other Mission"));
        Assert.Equal((2, 1), (told.Count, client.Watches.Count));

        // Dead already when it is asked for; and not told any more once it is closed.
        client.Watches.Add(one.TokenHash, one.Claims, client.Key.KeyId, _ => told.Enqueue("late"));
        await Testing.Eventually.HoldsAsync("it is told at once", () => told.Contains("late"));
        var closed = client.Watches.Add(third.TokenHash, third.Claims, client.Key.KeyId, _ => told.Enqueue("closed"));
        closed.Dispose();
        client.Feed.RevokeToken(third.TokenHash);
        await Testing.Eventually.HoldsAsync("the third is told", () => told.Contains("third "));
        Assert.DoesNotContain("closed", told);
    }

    /// <summary>A connection that is closed in the moment in which its token dies: its place may be somebody else's by then.</summary>
    [Fact]
    public async Task Who_has_closed_what_he_held_open_is_not_told_any_more_nor_still_is()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        client.Feed.RevokeToken(token.TokenHash);
        await client.AppliedAsync(1);
        int late = 0;
        for (int i = 0; i < 5000; i++)
        {
            int isClosed = 0;
            var watch = client.Watches.Add(token.TokenHash, token.Claims, client.Key.KeyId, _ =>
            {
                for (int turns = 0; turns < 3; turns++)
                {
                    late += Volatile.Read(ref isClosed);
                    Thread.Yield();
                }
            });
            if (i % 2 == 0) Thread.Yield();
            watch.Dispose();
            Volatile.Write(ref isClosed, 1);
        }
        Assert.Equal(0, Volatile.Read(ref late));
        Assert.Equal(0, client.Watches.Count);
    }

    [Fact]
    public async Task A_revocation_that_a_new_snapshot_brings_is_told_too()
    {
        await using var client = await ClientFixture.StartAsync();
        var token = client.Sign();
        var told = new TaskCompletionSource();
        client.Watches.Add(token.TokenHash, token.Claims, client.Key.KeyId, _ => told.SetResult());
        client.Feed.ResetNext = Reason.FeedCursorTooOld;
        client.Feed.Hold();
        client.Feed.RevokeToken(token.TokenHash);
        client.Feed.Cut();
        client.Feed.Release();
        await client.HoldsAsync("it is told", () => told.Task.IsCompleted);
    }
}
