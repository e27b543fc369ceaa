using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

/// <summary>Where the head is and who has applied what (DESIGN "Revocation", 4).</summary>
public sealed class ReceiptTests
{
    private static readonly Duration Long = Duration.FromTimeSpan(TimeSpan.FromMinutes(5));

    [Fact]
    public async Task The_index_is_the_head_as_of_after_the_call()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var before = await introspector.Feed.ReadIndexAsync(new());
        var revoked = await introspector.RevokeAsync(introspector.Sign());
        var after = await introspector.Feed.ReadIndexAsync(new());
        Assert.Equal((0, revoked.RevocationSeq.Value, revoked.Seq.Value), (before.Revision.RevocationSeq, after.Revision.RevocationSeq, after.Revision.Seq));
        Assert.Equal((before.ServerId, 0, false), (after.ServerId, after.Followers.Count, after.AllApplied));
    }

    [Fact]
    public async Task A_revocation_is_waited_for_until_the_follower_with_a_lease_has_it()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_FEED_LEASE_SECONDS"] = "60" });
        var id = Guid.NewGuid().ToString();
        using var watcher = await introspector.WatchAsync(followerId: id);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        await introspector.RevokeAsync(introspector.Sign());
        var wanted = (await introspector.Feed.ReadIndexAsync(new())).Revision;

        // Without a lease it decides nothing, so nobody waits for it.
        var free = await introspector.Feed.ReadIndexAsync(new() { AwaitApplied = wanted });
        Assert.True(free.AllApplied);
        Assert.Equal((id, "", 0, TimeSpan.Zero), (free.Followers[0].FollowerId, free.Followers[0].Epoch, free.Followers[0].AppliedRevocationSeq, free.Followers[0].LeaseLeft.ToTimeSpan()));

        await watcher.RenewAsync(7);
        await watcher.UntilAsync(FrameCase.LeaseRenewed);
        var lacking = await introspector.Feed.ReadIndexAsync(new() { AwaitApplied = wanted, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(50)) });
        Assert.False(lacking.AllApplied);
        Assert.InRange(lacking.Followers[0].LeaseLeft.ToTimeSpan(), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(60));

        var waiting = introspector.Feed.ReadIndexAsync(new() { AwaitApplied = wanted, WaitAtMost = Long }, deadline: DateTime.UtcNow.AddMinutes(1)).ResponseAsync;
        Assert.Equal(1, (await AckAsync(introspector, id, wanted)).AppliedRevocationSeq);
        var done = await waiting;
        Assert.Equal((true, id, wanted.Epoch, 1), (done.AllApplied, done.Followers[0].FollowerId, done.Followers[0].Epoch, done.Followers[0].AppliedRevocationSeq));
        Assert.Single((await introspector.Feed.ReadIndexAsync(new() { IncludeFollowers = true })).Followers);
    }

    [Fact]
    public async Task A_follower_whose_lease_has_run_out_is_waited_for_no_longer()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_FEED_LEASE_SECONDS"] = "1" });
        var id = Guid.NewGuid().ToString();
        using var watcher = await introspector.WatchAsync(followerId: id);
        await watcher.RenewAsync(7);
        await watcher.UntilAsync(FrameCase.LeaseRenewed);
        watcher.Dispose();      // it is gone, its lease is not
        await introspector.RevokeAsync(introspector.Sign());
        var wanted = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        var done = await introspector.Feed.ReadIndexAsync(new() { AwaitApplied = wanted, WaitAtMost = Long }, deadline: DateTime.UtcNow.AddMinutes(1));
        Assert.Equal((true, 0, TimeSpan.Zero), (done.AllApplied, done.Followers[0].AppliedRevocationSeq, done.Followers[0].LeaseLeft.ToTimeSpan()));
    }

    [Fact]
    public async Task A_smaller_number_than_before_changes_nothing()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(5);
        var head = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        var id = Guid.NewGuid().ToString();
        Assert.Equal(5, (await AckAsync(introspector, id, head)).AppliedRevocationSeq);
        Assert.Equal(5, (await AckAsync(introspector, id, new Wire.Revision { Epoch = head.Epoch, RevocationSeq = 3 })).AppliedRevocationSeq);
    }

    [Fact]
    public async Task What_cannot_be_an_acknowledgement_is_refused()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(2);
        var head = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        var id = Guid.NewGuid().ToString();
        Assert.Equal(Reason.FeedCursorFuture, await RefusedAsync(id, new Wire.Revision { Epoch = head.Epoch, RevocationSeq = 3 }));
        Assert.Equal(Reason.LedgerEpochMismatch, await RefusedAsync(id, new Wire.Revision { Epoch = Guid.NewGuid().ToString(), RevocationSeq = 1 }));
        Assert.Equal(Reason.InvalidRequest, await RefusedAsync(id, new Wire.Revision { Epoch = "", RevocationSeq = 1 }));
        Assert.Equal(Reason.InvalidRequest, await RefusedAsync(id, null));
        Assert.Equal(Reason.InvalidRequest, await RefusedAsync("me", head));
        Assert.Equal(Reason.InvalidRequest, await RefusedAsync(id, new Wire.Revision { Epoch = head.Epoch, RevocationSeq = -1 }));

        async Task<Reason> RefusedAsync(string followerId, Wire.Revision? applied) => (await Assert.ThrowsAsync<Refusal>(() => AckAsync(introspector, followerId, applied))).Reason;
    }

    [Fact]
    public async Task Nobody_speaks_for_anothers_follower()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(1);
        var head = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        var id = Guid.NewGuid().ToString();
        var verifier = new FeedService.FeedServiceClient(introspector.Process.ServiceChannel("verifier").Calls);
        await verifier.AckAppliedAsync(new() { FollowerId = id, Applied = head });
        Assert.Equal("spiffe://claw.local/verifier", (await introspector.Feed.ReadIndexAsync(new() { IncludeFollowers = true })).Followers[0].Identity);
        Assert.Equal(Reason.CallerNotAllowed, (await Assert.ThrowsAsync<Refusal>(() => AckAsync(introspector, id, head))).Reason);
        using var watcher = await introspector.WatchAsync(followerId: id);
        Assert.Equal(Reason.CallerNotAllowed, (await Assert.ThrowsAsync<Refusal>(() => watcher.NextAsync())).Reason);
    }

    [Fact]
    public async Task What_the_ledger_has_not_reached_is_not_waited_for()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var head = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        Assert.Equal(Reason.RevisionNotReached, await RefusedAsync(new() { AwaitApplied = new() { Epoch = head.Epoch, RevocationSeq = 1 } }));
        Assert.Equal(Reason.LedgerEpochMismatch, await RefusedAsync(new() { AwaitApplied = new() { Epoch = Guid.NewGuid().ToString() } }));
        Assert.Equal(Reason.InvalidRequest, await RefusedAsync(new() { AwaitApplied = head, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromSeconds(-1)) }));

        async Task<Reason> RefusedAsync(ReadIndexRequest request) => (await Assert.ThrowsAsync<Refusal>(async () => await introspector.Feed.ReadIndexAsync(request))).Reason;
    }

    private static async Task<AckAppliedResponse> AckAsync(IntrospectorFixture introspector, string followerId, Wire.Revision? applied) =>
        await introspector.Feed.AckAppliedAsync(new() { FollowerId = followerId, Applied = applied });
}
