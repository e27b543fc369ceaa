using ClawBureau.Client;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Health;
using ClawBureau.Ledger.Recovery;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.AspNetCore.Server;
using Microsoft.Extensions.DependencyInjection;
using Frame = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;
using Reason = ClawBureau.Tokens.Reason;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector.Tests;

/// <summary>An Introspector that follows another one: what it promises is what the first one does, however many there are in between.</summary>
public sealed class RelayTests
{
    /// <summary>A stream that is held for a while is not a silent one.</summary>
    private static readonly Dictionary<string, string?> Patient = new() { ["CLAW_FEED_HEARTBEAT_SECONDS"] = "20", ["CLAW_FEED_LEASE_SECONDS"] = "60" };

    [Fact]
    public async Task A_relay_of_a_relay_answers_as_its_origin_does()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var dead = await introspector.MintAsync();
        await introspector.RevokeAsync(dead);
        await introspector.BlockAsync(GroupKey.Of(RevocationKind.Subject, "", "did:key:zBlocked"));
        var far = await introspector.AddRelayAsync(await introspector.AddRelayAsync());

        var late = await introspector.MintAsync();
        await introspector.RevokeAsync(late);
        string[] tokens =
        [
            (await introspector.MintAsync()).Compact, dead.Compact, late.Compact, introspector.Sign(IntrospectorFixture.Claims("did:key:zBlocked")).Compact,
            "no.token", introspector.Sign("""{"alg":"EdDSA","kid":"0123456789abcdef"}""", System.Text.Encoding.UTF8.GetString(IntrospectorFixture.Claims().ToPayload())),
        ];
        foreach (var token in tokens)
        {
            var (there, here) = (await introspector.IntrospectAsync(token), await IntrospectAsync(far, token));
            Assert.InRange(here.Age.ToTimeSpan(), TimeSpan.Zero, TimeSpan.FromSeconds(10));
            (there.Age, here.Age) = (null, null);
            Assert.Equal(there, here);
        }
        var batch = await Introspection(far).BatchIntrospectTokensAsync(new() { Tokens = { tokens } });
        Assert.Equal([true, false, false, false, false, false], batch.Results.Select(result => result.Answer.Active));
        var matrix = await Introspection(far).GetTransitionMatrixAsync(new() { Token = tokens[0] });
        Assert.Equal((true, 4), (matrix.Active, matrix.Matrix.Count));
        Assert.Equal((await introspector.Feed.ReadIndexAsync(new())).Revision, (await Feed(far).ReadIndexAsync(new())).Revision);
    }

    [Fact]
    public async Task No_introspection_that_starts_after_a_revoke_was_answered_says_active_through_any_number_of_relays()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var near = await introspector.AddRelayAsync();
        var far = await introspector.AddRelayAsync(near);

        var log = await FreshnessLoad.RunAsync(introspector, [introspector.Introspection, Introspection(near), Introspection(far)], tokens: 200, askers: 24, asked: 120);

        Assert.Empty(log.FindViolations());
        Assert.True(log.AnswersAfterRevoke > 500, $"only {log.AnswersAfterRevoke} answers prove anything");
        Assert.True(log.ActiveAnswers > 100, $"only {log.ActiveAnswers} answers were active");
    }

    /// <summary>
    /// A renewal is under way upstream, which has seen the ledger; a revocation is answered; an introspection arrives at the relay: it
    /// must wait for another renewal. The relay that joins the one under way is the negative control: the check must see it fail.
    /// </summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public async Task A_read_through_a_relay_never_rests_on_a_renewal_that_was_sent_before_it(bool joinsRenewalUnderWay, int violations)
    {
        await using var wire = new LateWire();
        var arrivals = new Arrivals();
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked, Patient, wire.Through);
        var relay = await introspector.AddRelayAsync(tuning: new Tuning { IdlePause = TimeSpan.FromHours(1), UpstreamDeadline = TimeSpan.FromSeconds(30) }, settings: Patient, waits: false, add: services =>
        {
            services.AddSingleton(arrivals);
            services.AddOptions<GrpcServiceOptions>().Configure(grpc => grpc.Interceptors.Add<ArrivalInterceptor>());
            services.AddSingleton(new ClientOptions { JoinsRenewalUnderWay = joinsRenewalUnderWay, CallTimeout = TimeSpan.FromSeconds(30) });
        });
        var token = introspector.Sign();
        var log = new FreshnessLog();
        await ServedAsync(relay, token.Compact);

        var held = wire.Held.Hold();
        var early = IntrospectAsync(relay, introspector.Sign().Compact);
        await held.WaitAsync(TimeSpan.FromSeconds(20));
        await introspector.RevokeAsync(token);
        log.Revoked(0);
        var arrived = arrivals.Next();
        long started = FreshnessLog.Now();
        var late = IntrospectAsync(relay, token.Compact);
        await arrived.WaitAsync(TimeSpan.FromSeconds(20));
        wire.Held.Release();
        log.Answered(0, started, (await late).Active);

        Assert.True((await early).Active);
        Assert.Equal(violations, log.FindViolations().Count);
        Assert.Equal(1, log.AnswersAfterRevoke);
    }

    [Fact]
    public async Task A_renewal_behind_two_relays_is_echoed_after_everything_that_was_acknowledged_before_it()
    {
        // Nothing else makes the origin read: what is delivered in time, the renewal brought.
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked, Patient);
        var far = await introspector.AddRelayAsync(await introspector.AddRelayAsync(settings: Patient), settings: Patient);
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), followerId: Guid.NewGuid().ToString(), replica: far);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        for (long t0 = 100; t0 < 120; t0++)
        {
            var revoked = await introspector.RevokeAsync(introspector.Sign());
            await watcher.RenewAsync(t0);
            var lease = (await watcher.UntilAsync(FrameCase.LeaseRenewed)).LeaseRenewed;
            Assert.Equal((t0, revoked.RevocationSeq.Value, revoked.Seq.Value), (lease.T0, lease.ThroughRevocationSeq, lease.Revision.Seq));
            Assert.Equal(revoked.RevocationSeq.Value, watcher.Delivered.Last().RevocationSeq);
        }
        Assert.Empty(FeedChecks.FindViolations(watcher.Frames, 0));
    }

    [Fact]
    public async Task A_lease_from_a_relay_is_never_longer_than_the_one_it_rests_on()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_FEED_LEASE_SECONDS"] = "7" });
        var longer = await introspector.AddRelayAsync(settings: new Dictionary<string, string?> { ["CLAW_FEED_LEASE_SECONDS"] = "60" });
        var shorter = await introspector.AddRelayAsync(longer, settings: new Dictionary<string, string?> { ["CLAW_FEED_LEASE_SECONDS"] = "5" });
        foreach (var (relay, seconds) in new[] { (longer, 7), (shorter, 5) })
        {
            using var watcher = await introspector.WatchAsync(replica: relay);
            Assert.Equal(seconds, (await watcher.UntilAsync(FrameCase.Hello)).Hello.Lease.Seconds);
            await watcher.RenewAsync(1);
            Assert.Equal(seconds, (await watcher.UntilAsync(FrameCase.LeaseRenewed)).LeaseRenewed.Lease.Seconds);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData(16)]
    public async Task A_follower_that_moves_between_relays_and_origin_gets_each_entry_once_and_in_order(int? ringSize)
    {
        const int total = 1_000;
        var settings = new Dictionary<string, string?> { ["CLAW_FEED_HEARTBEAT_SECONDS"] = "0.1" };
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { RingSize = ringSize });
        await introspector.RevokeManyAsync(50);         // what the relays' memory never reaches
        var near = await introspector.AddRelayAsync(tuning: new Tuning { RingSize = ringSize }, settings: settings);
        var far = await introspector.AddRelayAsync(near, new Tuning { RingSize = ringSize }, settings);
        TestProcess[] replicas = [introspector.Process, near, far];
        var epoch = await introspector.EpochAsync();
        var writing = Task.Run(async () =>
        {
            for (int i = 50; i < total; i += 10) await introspector.RevokeManyAsync(10);
        });
        var watching = Enumerable.Range(0, 4).Select(number => Task.Run(async () =>
        {
            var random = new Random(number);
            var streams = new List<(long, IReadOnlyList<Frame>)>();
            for (long delivered = 0; delivered < total;)
            {
                using var watcher = await introspector.WatchAsync(epoch, delivered, maxFrameBytes: random.Next(1, 8_000), replica: replicas[random.Next(3)]);
                int frames = random.Next(1, 40);
                do await watcher.NextAsync();
                while (watcher.Frames.Count < frames && delivered + watcher.Delivered.Count() < total);
                streams.Add((delivered, watcher.Frames));
                delivered += watcher.Delivered.Count();
            }
            return streams;
        })).ToList();
        await writing;

        var table = await TableAsync(introspector);
        Assert.Equal(total, table.Count);
        foreach (var streams in await Task.WhenAll(watching)) Assert.Empty(FeedChecks.FindViolations(streams, table));
    }

    [Theory]
    [InlineData(3, Reason.FeedCursorTooOld)]        // min - 2
    [InlineData(4, null)]                           // min - 1
    [InlineData(10, null)]                          // head
    [InlineData(11, Reason.FeedCursorFuture)]
    public async Task A_cursor_is_reset_by_a_relay_where_its_origin_resets_it(long after, Reason? reset)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(10);
        await introspector.IntrospectAsync(introspector.Sign());
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations WHERE revocation_seq < 5");
        var relay = await introspector.AddRelayAsync();
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), after, replica: relay);
        if (reset is { } reason)
        {
            var frame = await watcher.NextAsync();
            Assert.Equal(new Reset { Reason = (Wire.Reason)reason, Epoch = await introspector.EpochAsync(), MinRevocationSeq = 5, HeadRevocationSeq = 10 }, frame?.Reset);
            Assert.Null(await watcher.NextAsync());
        }
        else
        {
            await watcher.UntilAsync(FrameCase.CaughtUp);
            Assert.Equal(FeedChecks.Range(after + 1, 10), watcher.Delivered.Select(r => r.RevocationSeq));
        }
        using var foreign = await introspector.WatchAsync(Guid.NewGuid().ToString(), after, replica: relay);
        Assert.Equal(Wire.Reason.FeedCursorForeignEpoch, (await foreign.NextAsync())?.Reset?.Reason);
    }

    [Fact]
    public async Task What_left_the_ledger_while_a_relay_was_up_resets_who_still_needs_it()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(20);
        var relay = await introspector.AddRelayAsync();
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations WHERE revocation_seq < 15");
        using var watcher = await introspector.WatchAsync(await introspector.EpochAsync(), 3, replica: relay);
        var reset = (await watcher.UntilAsync(FrameCase.Reset)).Reset;
        Assert.Equal((Wire.Reason.FeedCursorTooOld, 20), (reset.Reason, reset.HeadRevocationSeq));
        Assert.InRange(reset.MinRevocationSeq, 5, 15);
        Assert.Empty(watcher.Delivered);
    }

    [Fact]
    public async Task A_new_epoch_reaches_whoever_is_behind_the_relay_as_a_reset_and_nothing_is_forgotten()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { IdlePause = TimeSpan.FromMilliseconds(20) });
        introspector.Process.ExpectsErrors = true;
        var token = introspector.Sign();
        await introspector.RevokeAsync(token);
        var relay = await introspector.AddRelayAsync();
        var before = await introspector.EpochAsync();
        using var watcher = await introspector.WatchAsync(before, replica: relay);
        await watcher.UntilAsync(FrameCase.CaughtUp);

        var recovery = new LedgerRecovery(introspector.Admin);
        await recovery.BeginAsync(CancellationToken.None);
        await Eventually.HoldsAsync("the relay says so", async () => (await TryAsync(relay, token.Compact))?.Reason == Reason.LedgerNeedsRecovery);
        Assert.Equal(Reason.LedgerNeedsRecovery, (await Assert.ThrowsAsync<Refusal>(() => watcher.UntilAsync(_ => false))).Reason);
        await recovery.RevokeAllAsync(audited: null, CancellationToken.None);
        await ServedAsync(relay, token.Compact);

        Assert.True((await IntrospectAsync(relay, token.Compact)).Revoked);
        using var old = await introspector.WatchAsync(before, 1, replica: relay);
        var reset = (await old.NextAsync())!.Reset;
        Assert.Equal((Wire.Reason.FeedCursorForeignEpoch, await introspector.EpochAsync()), (reset.Reason, reset.Epoch));
        Assert.NotEqual(before, reset.Epoch);
    }

    [Fact]
    public async Task A_key_that_stops_being_accepted_is_not_accepted_at_the_next_introspection_and_is_announced_before_a_lease()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var relay = await introspector.AddRelayAsync();
        var token = introspector.Sign().Compact;
        Assert.True((await IntrospectAsync(relay, token)).Active);
        using var watcher = await introspector.WatchAsync(replica: relay);
        await watcher.UntilAsync(FrameCase.CaughtUp);
        for (int i = 0; i < 5; i++)
        {
            await introspector.SetKeyAsync(KeyState.VerifyOnly, DateTimeOffset.UtcNow.AddSeconds(-2));
            Assert.Equal(Wire.Reason.TokenKidExpired, (await IntrospectAsync(relay, token)).InactiveReason);
            var changed = await introspector.SetKeyAsync(KeyState.VerifyOnly);
            Assert.True((await IntrospectAsync(relay, token)).Active);
            await watcher.RenewAsync(i);
            await watcher.UntilAsync(FrameCase.LeaseRenewed);
            Assert.Equal(changed.Seq.Value, watcher.Frames.Last(f => f.FrameCase == FrameCase.KeysChanged).KeysChanged.KeysSeq);
        }
    }

    [Fact]
    public async Task A_relay_acknowledges_what_everybody_behind_it_has_and_decides_by_itself_no_longer_than_that()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: Patient);
        var far = await introspector.AddRelayAsync(await introspector.AddRelayAsync(settings: Patient), settings: Patient);
        var id = Guid.NewGuid().ToString();
        using var watcher = await introspector.WatchAsync(followerId: id, replica: far);
        await watcher.RenewAsync(1);
        await watcher.UntilAsync(FrameCase.LeaseRenewed);

        await introspector.RevokeAsync(introspector.Sign());
        var wanted = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        await watcher.UntilDeliveredAsync(wanted.RevocationSeq);
        var lacking = await introspector.Feed.ReadIndexAsync(new() { AwaitApplied = wanted, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(200)) });
        Assert.False(lacking.AllApplied);
        Assert.Equal("spiffe://claw.local/introspector", Assert.Single(lacking.Followers).Identity);
        Assert.Equal(id, Assert.Single((await Feed(far).ReadIndexAsync(new() { IncludeFollowers = true })).Followers).FollowerId);

        await Feed(far).AckAppliedAsync(new() { FollowerId = id, Applied = wanted });
        Assert.True((await introspector.Feed.ReadIndexAsync(
            new() { AwaitApplied = wanted, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromSeconds(30)) }, deadline: DateTime.UtcNow.AddMinutes(1))).AllApplied);
    }

    [Fact]
    public async Task A_follower_behind_a_relay_that_went_away_is_waited_for_until_its_lease_has_run_out()
    {
        var leases = new Dictionary<string, string?> { ["CLAW_FEED_LEASE_SECONDS"] = "1" };
        await using var introspector = await IntrospectorFixture.StartAsync(settings: leases);
        var relay = await introspector.AddRelayAsync(settings: leases);
        using var watcher = await introspector.WatchAsync(followerId: Guid.NewGuid().ToString(), replica: relay);
        await watcher.RenewAsync(1);
        await watcher.UntilAsync(FrameCase.LeaseRenewed);
        watcher.Dispose();
        await introspector.RevokeAsync(introspector.Sign());
        var wanted = (await introspector.Feed.ReadIndexAsync(new())).Revision;
        var done = await introspector.Feed.ReadIndexAsync(
            new() { AwaitApplied = wanted, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromSeconds(30)) }, deadline: DateTime.UtcNow.AddMinutes(1));
        Assert.Equal((true, wanted.RevocationSeq), (done.AllApplied, Assert.Single(done.Followers).AppliedRevocationSeq));
    }

    /// <summary>`claw revoke --wait`, with services behind two relays: once it returns, none of them says yes any more.</summary>
    [Fact]
    public async Task Once_the_origin_says_that_all_have_it_nobody_behind_relays_says_yes()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(settings: Patient);
        var near = await introspector.AddRelayAsync(settings: Patient);
        var far = await introspector.AddRelayAsync(near, settings: Patient);
        await using var first = await FollowingService.StartAsync(introspector, near);
        await using var second = await FollowingService.StartAsync(introspector, far);
        for (int i = 0; i < 50; i++)
        {
            var token = introspector.Sign();
            foreach (var service in new[] { first, second }) Assert.True(service.SaysYes(token.Compact));
            var revoked = await introspector.RevokeAsync(token);
            var wanted = new Wire.Revision { Epoch = revoked.Epoch.ToString(), RevocationSeq = revoked.RevocationSeq.Value };
            var done = await introspector.Feed.ReadIndexAsync(
                new() { AwaitApplied = wanted, WaitAtMost = Duration.FromTimeSpan(TimeSpan.FromSeconds(30)) }, deadline: DateTime.UtcNow.AddMinutes(1));
            Assert.True(done.AllApplied);
            foreach (var service in new[] { first, second }) Assert.False(service.SaysYes(token.Compact));
        }
    }

    [Fact]
    public async Task While_upstream_is_away_nothing_is_answered_and_it_says_why_and_goes_on_by_itself()
    {
        await using var proxy = new LateProxy();
        await using var introspector = await IntrospectorFixture.StartAsync(new Tuning { IdlePause = TimeSpan.FromMilliseconds(20) }, through: proxy.Through);
        var relay = await introspector.AddRelayAsync(tuning: new Tuning { IdlePause = TimeSpan.FromMilliseconds(20), UpstreamDeadline = TimeSpan.FromSeconds(2) });
        var readiness = relay.Services.GetRequiredService<Readiness>();
        var token = introspector.Sign();
        await ServedAsync(relay, token.Compact);

        await proxy.Wire.CutAsync();
        await Eventually.HoldsAsync("it says that the ledger is away", async () => (await TryAsync(relay, token.Compact))?.Reason == Reason.LedgerUnavailable);
        await Eventually.HoldsAsync("it is not ready", () => readiness.NotReady.ContainsKey("upstream"));
        using (var watcher = await introspector.WatchAsync(replica: relay)) Assert.Equal(Reason.LedgerUnavailable, (await Assert.ThrowsAsync<Refusal>(watcher.NextAsync)).Reason);

        proxy.Wire.Mend();
        await introspector.WaitUntilServedAsync(token);
        await introspector.RevokeAsync(token);
        await ServedAsync(relay, token.Compact);
        await IntrospectorFixture.WaitUntilReadyAsync(relay);
        Assert.True((await IntrospectAsync(relay, token.Compact)).Revoked);
    }

    [Fact]
    public async Task Until_it_has_everything_a_relay_is_not_ready_and_answers_nothing()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var nobody = new Dictionary<string, string?> { ["CLAW_UPSTREAM"] = "https://127.0.0.1:1" };
        var relay = await introspector.AddRelayAsync(settings: nobody, waits: false);
        Assert.False(relay.Services.GetRequiredService<Readiness>().IsReady);
        Assert.Equal(Reason.NotReady, (await TryAsync(relay, introspector.Sign().Compact))?.Reason);
        Assert.Equal(Reason.NotReady, (await Assert.ThrowsAsync<Refusal>(async () => await Feed(relay).ReadIndexAsync(new()))).Reason);
        using var watcher = await introspector.WatchAsync(replica: relay);
        Assert.Equal(Reason.NotReady, (await Assert.ThrowsAsync<Refusal>(watcher.NextAsync)).Reason);
    }

    [Fact]
    public async Task Keys_that_cannot_be_had_leave_introspection_unanswered_and_the_feed_as_it_is()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var keys = new BreakableKeys(new LedgerKeys(new Ledger.Reading.LedgerReader(introspector.Admin)));
        var relay = await introspector.AddRelayAsync(add: services => services.AddSingleton<Client.Keys.IKeySource>(keys));
        var token = introspector.Sign().Compact;
        Assert.True((await IntrospectAsync(relay, token)).Active);
        keys.IsBroken = true;
        await introspector.SetKeyAsync(KeyState.VerifyOnly);
        Assert.Equal(Reason.PeerUnavailable, (await TryAsync(relay, token))?.Reason);
        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(async () => await Introspection(relay).IntrospectTokenAsync(
            new() { Token = token, Consistency = new() { Bounded = Duration.FromTimeSpan(TimeSpan.FromHours(1)) } }))).Reason);
        await Feed(relay).ReadIndexAsync(new());
        keys.IsBroken = false;
        Assert.True((await IntrospectAsync(relay, token)).Active);
    }

    [Fact]
    public async Task Lists_are_upstreams_and_so_is_the_judgment_of_who_asks()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        await introspector.RevokeManyAsync(5);
        var relay = await introspector.AddRelayAsync(await introspector.AddRelayAsync());
        await introspector.RevokeManyAsync(1);

        var first = await Feed(relay).ListRevocationsAsync(new() { PageSize = 4 });
        Assert.Equal([6L, 5, 4, 3], first.Revocations.Select(r => r.RevocationSeq));
        Assert.All(first.Revocations, r => Assert.Equal(("test", "admin:test"), (r.Reason, r.RevokedBy)));
        Assert.Equal([2L, 1], (await Feed(relay).ListRevocationsAsync(new() { PageSize = 4, PageToken = first.NextPageToken })).Revocations.Select(r => r.RevocationSeq));
        var service = new FeedService.FeedServiceClient(relay.ServiceChannel("verifier").Calls);
        Assert.All((await service.ListRevocationsAsync(new())).Revocations, r => Assert.Equal("", r.RevokedBy));
        Assert.Equal(Reason.FeedCursorFuture, (await Assert.ThrowsAsync<Refusal>(async () => await service.ListRevocationsAsync(new() { Epoch = await introspector.EpochAsync(), AfterRevocationSeq = 9 }))).Reason);
        var stranger = new FeedService.FeedServiceClient(relay.Channel(adminKey: null).Calls);
        Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(async () => await stranger.ListRevocationsAsync(new()))).Reason);
    }

    [Theory]
    [InlineData("CLAW_UPSTREAM", "http://127.0.0.1:1")]
    [InlineData("CLAW_ISSUER", null)]
    [InlineData("CLAW_DATABASE_INTROSPECTOR", "Host=localhost")]
    public async Task A_setting_that_cannot_be_used_stops_the_start_with_a_sentence_that_names_it(string name, string? value)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var refused = await Assert.ThrowsAsync<StartRefused>(() => introspector.AddRelayAsync(settings: new Dictionary<string, string?> { [name] = value }));
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }

    private static IntrospectionService.IntrospectionServiceClient Introspection(TestProcess process) => new(process.Channel().Calls);

    private static FeedService.FeedServiceClient Feed(TestProcess process) => new(process.Channel().Calls);

    private static async Task<IntrospectTokenResponse> IntrospectAsync(TestProcess process, string token) => await Introspection(process).IntrospectTokenAsync(new IntrospectTokenRequest { Token = token });

    private static async Task<Refusal?> TryAsync(TestProcess process, string token)
    {
        try
        {
            await IntrospectAsync(process, token);
            return null;
        }
        catch (Refusal refusal)
        {
            return refusal;
        }
    }

    private static Task ServedAsync(TestProcess process, string token) => Eventually.HoldsAsync("the relay answers", async () => await TryAsync(process, token) is null);

    private static async Task<List<string>> TableAsync(IntrospectorFixture introspector)
    {
        var table = new List<string>();
        await using var command = introspector.Admin.CreateCommand("SELECT revocation_seq, seq, encode(token_hash, 'hex') FROM ledger.revocations ORDER BY revocation_seq");
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync()) table.Add($"{reader.GetInt64(0)} {reader.GetInt64(1)} {reader.GetString(2)}");
        return table;
    }

    private sealed class BreakableKeys(Client.Keys.IKeySource keys) : Client.Keys.IKeySource
    {
        public bool IsBroken { get; set; }

        public Task<Client.Keys.KeyReading> ReadAsync(CancellationToken cancellationToken) =>
            IsBroken ? throw new Refusal(Reason.PeerUnavailable, "The Issuer is down") : keys.ReadAsync(cancellationToken);
    }
}
