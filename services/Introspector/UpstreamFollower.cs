using ClawBureau.Client;
using ClawBureau.Client.Feed;
using ClawBureau.Client.Keys;
using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// A relay: the live set and the feed come from another Introspector, the keys from the Issuer; there is no database here.
/// 1. Cursors, epochs and revisions are upstream's, so a follower may move from there to here and back.
/// 2. A read is a renewal upstream answered: one that comes while one is under way shares the next, never that one. A renewal of a
///    follower here is answered after it, so its lease holds what was acknowledged before it was sent, however many hops there are.
/// 3. A lease given here is never longer than upstream's own, and began earlier: when upstream counts this process's lease as run out,
///    every lease that rests on it has.
/// 4. What is applied is acknowledged upstream when everybody behind this process has applied it too, or decides nothing any more.
/// </summary>
public sealed class UpstreamFollower(
    UpstreamPeers peers, RevocationSet live, KeyCache keys, FeedRing ring, FollowerReceipts receipts, IntrospectorOptions options, ClientOptions client,
    Readiness readiness, IntrospectorClock clock, TimeProvider time, ILogger<UpstreamFollower> log, ILogger<RevocationFollower> followerLog)
    : BackgroundService, IFeedSource, IFeedCompanion
{
    private const string Condition = "upstream";
    private const int MostPage = 1000;

    private readonly FeedService.FeedServiceClient _feed = new(peers.Introspector);
    private readonly Lock _lock = new();
    private volatile RevocationFollower? _follower;
    private volatile Refusal? _ended;           // set and cleared by the follower's loop
    private volatile Refusal? _away;            // why upstream is not followed, where it said why
    private volatile TaskCompletionSource? _connecting;         // from a snapshot until it is known whether a stream goes on from it
    private volatile bool _loaded;
    private volatile bool _followsClock;        // this follower's snapshot is read after the clock was set back
    private int _epochs;
    private long _keysSeq;
    private long _oldest = 1;                   // by Interlocked
    private Guid _epoch;                        // locked
    private TimeSpan _lease = options.Lease;    // locked

    public VerificationKeySet Keys => keys.Held.Keys;

    public long KeysSeq => Volatile.Read(ref _keysSeq);

    public Refusal? Ended => _ended;

    public int Epochs => Volatile.Read(ref _epochs);

    public TimeSpan Lease
    {
        get { lock (_lock) return _lease; }
    }

    public Reading Latest
    {
        get
        {
            if (_ended is not null || keys.IsBehind || clock.HasJumpedBack || _follower?.Lease is not { } lease) return default;
            lock (_lock) return lease.Revision.Epoch == _epoch ? new Reading(lease.Revision, lease.T0) : default;
        }
    }

    public async Task<Reading> ReadIndexAsync(CancellationToken cancellationToken)
    {
        if (_ended is { } ended) throw ended;
        if (!_loaded) throw _away ?? new Refusal(Reason.NotReady, "The revocations are still being loaded; try again in a moment.");
        if (clock.HasJumpedBack) throw new Refusal(Reason.NotReady, "The clock was set back, and the revocations are being loaded anew; try again in a moment.");
        try
        {
            if (_connecting is { } connecting) await connecting.Task.WaitAsync(options.UpstreamDeadline, time, cancellationToken);
            var lease = await _follower!.CatchUpAsync(cancellationToken).WaitAsync(options.UpstreamDeadline, time, cancellationToken);
            return new Reading(lease.Revision, lease.T0);
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.LeaseLost)
        {
            throw _ended ?? _away ?? new Refusal(Reason.PeerUnavailable, "The Introspector upstream cannot be followed now");
        }
        catch (TimeoutException)
        {
            throw new Refusal(Reason.PeerUnavailable, "No answer from the Introspector upstream in time");
        }
    }

    public async Task<Reading> JoinNextRead()
    {
        var reading = await ReadIndexAsync(CancellationToken.None);
        // What changed among the keys before that read is announced by now.
        if (!keys.IsBehind) return reading;
        try
        {
            await keys.RefreshAsync(CancellationToken.None).WaitAsync(options.UpstreamDeadline, time);
        }
        catch (TimeoutException)
        {
            throw new Refusal(Reason.PeerUnavailable, "The keys have changed, and the Issuer does not tell them in time");
        }
        return keys.IsBehind ? throw new Refusal(Reason.PeerUnavailable, "The keys have changed, and the Issuer does not tell the change yet") : reading;
    }

    public async Task<IReadOnlyList<Revocation>> ReadBacklogAsync(RevocationSeq after, CancellationToken cancellationToken)
    {
        Guid epoch;
        lock (_lock) epoch = _epoch;
        try
        {
            return (await _feed.ListRevocationsAsync(
                new ListRevocationsRequest { AfterRevocationSeq = after.Value, Epoch = epoch.ToString(), PageSize = MostPage }, cancellationToken: cancellationToken)).Revocations;
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.FeedCursorTooOld)
        {
            AtLeast(ref _oldest, after.Value + 2);
            throw;
        }
    }

    public Task<RevocationSeq> ReadOldestAsync(CancellationToken cancellationToken) => Task.FromResult(new RevocationSeq(Volatile.Read(ref _oldest)));

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        readiness.SetNotReady(Condition, "loading revocations and keys");
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var holdingKeys = keys.RunAsync(stoppingToken);
        while (!stoppingToken.IsCancellationRequested)
        {
            using var turn = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
            // A new one has forgotten nothing by a clock that stood ahead.
            _followsClock = clock.HasJumpedBack;
            var follower = new RevocationFollower(peers.Introspector, live, keys, new TokenWatches(live), client, new SteadyClock(time), time, followerLog, this);
            _follower = follower;
            var following = follower.RunAsync(turn.Token);
            await WatchAsync(stoppingToken);
            await turn.CancelAsync();
            await following;
        }
        await holdingKeys;
    }

    /// <summary>Says whether this process is ready, until the clock is set back.</summary>
    private async Task WatchAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested && (_followsClock || !clock.HasJumpedBack))
        {
            try
            {
                await JoinNextRead();
                readiness.SetReady(Condition);
            }
            catch (Refusal refusal)
            {
                readiness.SetNotReady(Condition, refusal.Sentence ?? ReasonCatalog.Of(refusal.Reason).Sentence);
            }
            await Task.Delay(options.IdlePause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    void IFeedCompanion.Beginning(Revision revision)
    {
        lock (_lock)
        {
            if (_epoch == revision.Epoch && revision.RevocationSeq < ring.Head) throw new Refusal(Reason.LedgerNeedsRecovery);
            // Before anything of another epoch can be seen.
            if (_epoch != revision.Epoch) Interlocked.Increment(ref _epochs);
            _epoch = revision.Epoch;
        }
        _connecting ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    void IFeedCompanion.Began(Revision revision, long keysSeq)
    {
        ring.Begin(revision.RevocationSeq);
        Volatile.Write(ref _keysSeq, keysSeq);
        if (_followsClock)
        {
            clock.FollowWallClock();
            _followsClock = false;
            Log.ClockSetBack(log, live.Count, revision.RevocationSeq);
        }
        _ended = null;
        _loaded = true;
        Log.Loaded(log, live.Count, revision.Epoch, revision.Seq);
        ring.Nudge();
    }

    void IFeedCompanion.Greeted(Hello hello)
    {
        var granted = hello.Lease?.ToTimeSpan() ?? TimeSpan.Zero;
        lock (_lock) _lease = granted < options.Lease ? granted : options.Lease;
        Volatile.Write(ref _oldest, hello.MinRevocationSeq);
        (_ended, _away) = (null, null);
        ((IFeedCompanion)this).KeysChanged(hello.KeysSeq);
        Connected();
    }

    void IFeedCompanion.Applied(Events events) => ring.Append(events.Revocations);

    void IFeedCompanion.KeysChanged(long keysSeq)
    {
        if (Interlocked.Exchange(ref _keysSeq, keysSeq) != keysSeq) ring.Nudge();
    }

    void IFeedCompanion.Lost(Exception why)
    {
        // What upstream says of the ledger holds here too; of anything else it is enough that it cannot be followed.
        var said = why is Refusal { Reason: Reason.LedgerUnavailable or Reason.LedgerNeedsRecovery or Reason.LedgerEpochMismatch } refusal ? new Refusal(refusal.Reason, refusal.Sentence, inner: why) : null;
        _away = said;
        Connected();
        if (said?.Reason is not (Reason.LedgerNeedsRecovery or Reason.LedgerEpochMismatch)) return;
        _ended = said;
        ring.Nudge();
    }

    Task IFeedCompanion.WaitUntilAppliedAsync(Guid epoch, RevocationSeq through, CancellationToken cancellationToken) =>
        receipts.WaitAsync(epoch, through, TimeSpan.MaxValue, cancellationToken);

    private void Connected()
    {
        var connecting = _connecting;
        _connecting = null;
        connecting?.SetResult();
    }

    private static void AtLeast(ref long target, long value)
    {
        long seen = Volatile.Read(ref target);
        while (seen < value && Interlocked.CompareExchange(ref target, value, seen) is var now && now != seen) seen = now;
    }
}
