using ClawBureau.Client.Keys;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client.Feed;

/// <summary>
/// Follows the revocation feed (DESIGN "Revocation", 3):
/// 1. a snapshot, which replaces what was known only once it is complete;
/// 2. a stream from there on, applied in order and without a gap, or given up;
/// 3. a lease, renewed only by echo: what is sent is this process's monotonic time, and the answer comes in the queue of events;
/// 4. a receipt for what was applied;
/// 5. after a failure again, with jittered pauses; what is known stays, and the lease runs out by itself.
/// </summary>
public sealed class RevocationFollower(
    CallInvoker introspector, RevocationSet revocations, KeyCache keys, TokenWatches watches, ClientOptions options, SteadyClock clock, TimeProvider time, ILogger<RevocationFollower> log,
    IFeedCompanion? companion = null)
{
    private static readonly TimeSpan LeastSilence = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan DropEvery = TimeSpan.FromMinutes(1);

    private readonly FeedService.FeedServiceClient _feed = new(introspector);
    private readonly string _followerId = Guid.NewGuid().ToString();
    private readonly Lock _lock = new();
    private volatile Lease? _lease;
    private readonly TaskCompletionSource _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private FeedStream? _stream;            // locked: the one that is up

    // The loop's own.
    private Guid _epoch;
    private RevocationSeq _applied;
    private bool _needsSnapshot = true;
    private bool _wentBack;                 // the ledger lost something: nothing more of this epoch is followed
    private long _droppedAt = time.GetTimestamp();
    private long _leases;

    /// <summary>Everything that is known to be dead.</summary>
    public RevocationSet Revocations => revocations;

    /// <summary>
    /// The latest lease; null until there is one. Read it before <see cref="Revocations"/> and the clock after: only then is what it
    /// promises applied, and a pause in between counts.
    /// </summary>
    public Lease? Lease => _lease;

    /// <summary>Ends when a snapshot was complete for the first time.</summary>
    public Task Loaded => _loaded.Task;

    /// <summary>A stream is up on which a lease can be asked for.</summary>
    public bool IsConnected
    {
        get { lock (_lock) return _stream is not null; }
    }

    /// <summary>Told after entries were applied, in order. It must return quickly: the feed waits.</summary>
    public event Action<IReadOnlyList<RevocationEntry>>? Applied;

    /// <summary>What is left of the lease; zero when there is none.</summary>
    public TimeSpan LeaseLeft => _lease is { } lease && lease.Length - time.GetElapsedTime(lease.T0) is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    /// <summary>
    /// Waits until everything that was acknowledged before this call is applied. Calls that come while an echo is under way share
    /// the next one.
    /// </summary>
    /// <returns>A lease that was asked for after this call; one of its number or a later one is fresh enough for whoever called.</returns>
    /// <exception cref="Refusal">LEASE_LOST: there is no stream, or it ended before it answered.</exception>
    public Task<Lease> CatchUpAsync(CancellationToken cancellationToken)
    {
        FeedStream? stream;
        lock (_lock) stream = _stream;
        return stream is null ? Task.FromException<Lease>(new Refusal(Reason.LeaseLost)) : stream.CatchUpAsync(cancellationToken);
    }

    /// <summary>Follows until it is cancelled. It is cancelled, nothing else ends it.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var backoff = new Backoff(options);
        while (!cancellationToken.IsCancellationRequested)
        {
            bool wasHeard = false;
            try
            {
                if (_needsSnapshot) await TakeSnapshotAsync(cancellationToken);
                await FollowAsync(() => wasHeard = true, cancellationToken);
            }
            catch (Exception e)
            {
                // All of them: whatever ends the stream, the lease runs out by itself and the next try begins from what is applied.
                if (cancellationToken.IsCancellationRequested) return;
                Log.FeedLost(log, e is Refusal refusal ? refusal.Reason.ToString() : e.GetType().Name, e.Message);
                companion?.Lost(e);
            }
            if (wasHeard) backoff.Reset();
            await Task.Delay(backoff.Next(), time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task TakeSnapshotAsync(CancellationToken cancellationToken)
    {
        using var silence = new Silence(TimeSpan.FromSeconds(10), time, cancellationToken);
        using var call = _feed.GetSnapshot(new GetSnapshotRequest(), cancellationToken: silence.Token);
        var begin = await NextAsync() is { FrameCase: GetSnapshotResponse.FrameOneofCase.Begin } first ? first.Begin : throw new FeedBroken("a snapshot begins with something else");
        var revision = ToRevision(begin.Revision);
        var entries = new List<RevocationEntry>();
        using var digest = new SnapshotDigest();
        while (true)
        {
            var frame = await NextAsync();
            if (frame.FrameCase == GetSnapshotResponse.FrameOneofCase.End)
            {
                if (frame.End.Count != entries.Count || begin.Count != entries.Count) throw new FeedBroken($"a snapshot of {begin.Count} entries brought {entries.Count}");
                if (!frame.End.Sha256.Span.SequenceEqual(digest.Compute())) throw new FeedBroken("a snapshot's digest is another one");
                break;
            }
            if (frame.FrameCase != GetSnapshotResponse.FrameOneofCase.Chunk) throw new FeedBroken("a snapshot goes on with something else");
            foreach (var wire in frame.Chunk.Revocations)
            {
                var entry = FeedEntries.ToEntry(wire);
                if (entries.Count > 0 && entry.RevocationSeq <= entries[^1].RevocationSeq || entry.RevocationSeq > revision.RevocationSeq || entries.Count == begin.Count)
                    throw new FeedBroken($"entry {wire.RevocationSeq} has no place in a snapshot of {begin.Count} as of {revision.RevocationSeq}");
                digest.Add(entry);
                entries.Add(entry);
            }
        }

        // A number that goes back within an epoch is a ledger that lost something: nothing is answered by it, and nothing is forgotten for
        // it, also once it has counted up again to where it was: by then its numbers mean something else.
        _wentBack = revision.Epoch == _epoch && (_wentBack || revision.RevocationSeq < _applied);
        if (_wentBack) throw new Refusal(Reason.LedgerNeedsRecovery, $"The feed went back within its epoch, from {_applied}; now it is at {revision.RevocationSeq}");
        // Only now, and at once: a snapshot without its end is none, and until there is one nothing may be forgotten.
        companion?.Beginning(revision);
        revocations.Replace(entries);
        (_epoch, _applied, _needsSnapshot) = (revision.Epoch, revision.RevocationSeq, false);
        keys.Announce(begin.Revision.Epoch, begin.KeysSeq);
        companion?.Began(revision, begin.KeysSeq);
        _loaded.TrySetResult();
        watches.CheckAll(revocations);
        Log.SnapshotTaken(log, entries.Count, revision.RevocationSeq);

        async Task<GetSnapshotResponse> NextAsync()
        {
            silence.Begin();
            return await call.ResponseStream.MoveNext(silence.Token) ? call.ResponseStream.Current : throw new FeedBroken("a snapshot ended before its end");
        }
    }

    private async Task FollowAsync(Action heard, CancellationToken cancellationToken)
    {
        using var silence = new Silence(options.CallTimeout + LeastSilence, time, cancellationToken);
        using var call = _feed.WatchRevocations(cancellationToken: silence.Token);
        silence.Begin();
        await call.RequestStream.WriteAsync(
            new WatchRevocationsRequest { Start = new Start { Epoch = _epoch.ToString(), AfterRevocationSeq = _applied.Value, FollowerId = _followerId } }, silence.Token);
        var first = await NextAsync();
        if (first?.FrameCase == WatchRevocationsResponse.FrameOneofCase.Reset)
        {
            StartOver(first.Reset);
            return;
        }
        if (first?.FrameCase != WatchRevocationsResponse.FrameOneofCase.Hello) throw new FeedBroken("a stream begins with something else");
        var hello = first.Hello;
        if (!Guid.TryParse(hello.Epoch, out var epoch) || epoch != _epoch)
        {
            _needsSnapshot = true;
            throw new FeedBroken("a stream of another epoch");
        }
        keys.Announce(hello.Epoch, hello.KeysSeq);
        // A frame comes at least once per heartbeat; thrice that, and the stream is dead, whatever TCP says.
        var heartbeat = hello.HeartbeatInterval?.ToTimeSpan() ?? TimeSpan.Zero;
        silence.Limit = heartbeat * 3 > LeastSilence ? heartbeat * 3 : LeastSilence;

        using var ended = CancellationTokenSource.CreateLinkedTokenSource(silence.Token);
        var stream = new FeedStream(call.RequestStream, RenewEvery(hello), time, options.JoinsRenewalUnderWay);
        lock (_lock) _stream = stream;
        companion?.Greeted(hello);
        var renewing = stream.RunAsync(ended.Token);
        var acknowledging = new Receipts(_feed, _followerId, hello.StreamId, companion, options, time, log);
        var receipts = acknowledging.RunAsync(ended.Token);
        Log.FeedFollowed(log, hello.ServerId, _applied);
        heard();
        try
        {
            await ApplyAsync(NextAsync, stream, acknowledging, hello.Epoch);
        }
        finally
        {
            lock (_lock) _stream = null;
            await ended.CancelAsync();
            await renewing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            stream.Fail();
            await receipts.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        async Task<WatchRevocationsResponse?> NextAsync()
        {
            silence.Begin();
            try
            {
                return await call.ResponseStream.MoveNext(silence.Token) ? call.ResponseStream.Current : null;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw new FeedBroken($"no frame for {silence.Limit.TotalSeconds:0.#} s");
            }
        }
    }

    private async Task ApplyAsync(Func<Task<WatchRevocationsResponse?>> nextAsync, FeedStream stream, Receipts receipts, string epoch)
    {
        bool isLive = false;
        while (await nextAsync() is { } frame)
        {
            switch (frame.FrameCase)
            {
                case WatchRevocationsResponse.FrameOneofCase.Events:
                    Apply(frame.Events, isLive);
                    receipts.Applied(_epoch, _applied);
                    break;
                case WatchRevocationsResponse.FrameOneofCase.LeaseRenewed:
                    Renew(frame.LeaseRenewed, stream);
                    break;
                case WatchRevocationsResponse.FrameOneofCase.Heartbeat:
                    RequireDelivered(frame.Heartbeat.ThroughRevocationSeq);
                    stream.RequireAnswers();
                    break;
                case WatchRevocationsResponse.FrameOneofCase.CaughtUp:
                    RequireDelivered(frame.CaughtUp.ThroughRevocationSeq);
                    isLive = true;
                    receipts.Applied(_epoch, _applied);
                    break;
                case WatchRevocationsResponse.FrameOneofCase.FellBehind:
                    RequireDelivered(frame.FellBehind.ThroughRevocationSeq);
                    isLive = false;
                    break;
                case WatchRevocationsResponse.FrameOneofCase.KeysChanged:
                    keys.Announce(epoch, frame.KeysChanged.KeysSeq);
                    companion?.KeysChanged(frame.KeysChanged.KeysSeq);
                    break;
                case WatchRevocationsResponse.FrameOneofCase.Reset:
                    StartOver(frame.Reset);
                    return;
                default:
                    // A later version may say more; what it says beside events changes nothing that is known.
                    break;
            }
            DropExpired();
        }
    }

    private void Apply(Events events, bool isLive)
    {
        if (events.FirstRevocationSeq != _applied.Value + 1 || events.LastRevocationSeq != _applied.Value + events.Revocations.Count)
            throw new FeedBroken($"entries {events.FirstRevocationSeq} to {events.LastRevocationSeq} follow {_applied}");
        var entries = new List<RevocationEntry>(events.Revocations.Count);
        foreach (var wire in events.Revocations)
        {
            if (wire.RevocationSeq != events.FirstRevocationSeq + entries.Count) throw new FeedBroken($"entry {wire.RevocationSeq} stands where {events.FirstRevocationSeq + entries.Count} belongs");
            entries.Add(FeedEntries.ToEntry(wire));
        }
        foreach (var entry in entries)
        {
            revocations.Apply(entry);
            _applied = entry.RevocationSeq;
        }
        companion?.Applied(events);
        watches.Check(entries, revocations);
        if (isLive)
        {
            var now = clock.UtcNow;
            foreach (var entry in entries) ClientMetrics.RevocationPropagation.Record(Math.Max(0, (now - entry.RevokedAt).TotalSeconds));
        }
        Applied?.Invoke(entries);
    }

    private void Renew(LeaseRenewed renewed, FeedStream stream)
    {
        RequireDelivered(renewed.ThroughRevocationSeq);
        var revision = ToRevision(renewed.Revision);
        if (revision.Epoch != _epoch || revision.RevocationSeq > _applied) throw new FeedBroken("a lease rests on what was not delivered");
        var length = renewed.Lease?.ToTimeSpan() ?? TimeSpan.Zero;
        var lease = new Lease(++_leases, options.LeasesFromReceipt ? time.GetTimestamp() : renewed.T0, length, revision);
        if (!stream.IsAnswer(renewed.T0)) throw new FeedBroken("a lease that was not asked for on this stream");
        // Answers may not overtake each other, so T0 never goes back within a stream; nor may it with the next one.
        if (_lease is null || renewed.T0 >= _lease.T0) _lease = lease;
        stream.Answer(lease);
    }

    private void StartOver(Reset reset)
    {
        _needsSnapshot = true;
        // Every cursor of ours was once delivered: a head that lies before it went back.
        if ((Reason)reset.Reason == Reason.FeedCursorFuture && Guid.TryParse(reset.Epoch, out var epoch) && epoch == _epoch) _wentBack = true;
        Log.FeedReset(log, (Reason)reset.Reason, reset.Epoch);
    }

    private void RequireDelivered(long through)
    {
        if (through != _applied.Value) throw new FeedBroken($"everything through {through} is said to be delivered, {_applied} was");
    }

    private void DropExpired()
    {
        if (time.GetElapsedTime(_droppedAt) < DropEvery) return;
        _droppedAt = time.GetTimestamp();
        revocations.DropExpired(clock.UtcNow);
    }

    /// <summary>Often enough that half of what may be stale is never used up while all is well.</summary>
    private TimeSpan RenewEvery(Hello hello)
    {
        var lease = hello.Lease?.ToTimeSpan() ?? TimeSpan.Zero;
        var shortest = lease < options.MaxStaleness ? lease : options.MaxStaleness;
        return shortest / 4 > TimeSpan.FromMilliseconds(20) ? shortest / 4 : TimeSpan.FromMilliseconds(20);
    }

    private static Revision ToRevision(Wire.Revision? revision) => revision is not null && Guid.TryParse(revision.Epoch, out var epoch)
        ? new Revision(epoch, new Seq(revision.Seq), new RevocationSeq(revision.RevocationSeq))
        : throw new FeedBroken("a revision without an epoch");

    /// <summary>Fires when the peer says nothing for too long, or the caller cancels.</summary>
    private sealed class Silence : IDisposable
    {
        private readonly CancellationTokenSource _timer;
        private readonly CancellationTokenSource _linked;

        public Silence(TimeSpan limit, TimeProvider time, CancellationToken cancellationToken)
        {
            Limit = limit;
            _timer = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
            _linked = CancellationTokenSource.CreateLinkedTokenSource(_timer.Token, cancellationToken);
        }

        public TimeSpan Limit { get; set; }

        public CancellationToken Token => _linked.Token;

        public void Begin() => _timer.CancelAfter(Limit);

        public void Dispose()
        {
            _linked.Dispose();
            _timer.Dispose();
        }
    }
}
