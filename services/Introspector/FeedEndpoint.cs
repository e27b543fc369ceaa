using System.Threading.Channels;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Calls;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector;

/// <summary>clawbureau.feed.v1 on the wire: one queue per watcher, so that what a heartbeat or a lease says through was delivered before it.</summary>
public sealed partial class FeedEndpoint(LedgerFollower follower, LedgerReader ledger, FeedRing ring, SnapshotTurns snapshots, FollowerReceipts receipts,
    IntrospectorOptions options, ProcessOptions process, TimeProvider time, ILogger<FeedEndpoint> log)
    : FeedService.FeedServiceBase
{
    private const int DefaultFrameBytes = 65_536;
    private const int BytesPerEntry = 128;          // what an entry takes on the wire, generously
    private static readonly string ServerId = Guid.NewGuid().ToString();

    public override async Task WatchRevocations(
        IAsyncStreamReader<WatchRevocationsRequest> requestStream, IServerStreamWriter<WatchRevocationsResponse> responseStream, ServerCallContext context)
    {
        if (!await requestStream.MoveNext(context.CancellationToken) || requestStream.Current.MessageCase != WatchRevocationsRequest.MessageOneofCase.Start)
            throw new Refusal(Reason.InvalidRequest, "the first message must be a start");
        var start = requestStream.Current.Start;
        if (start.MaxFrameBytes < 0 || start.AfterRevocationSeq < 0)
            throw new Refusal(Reason.InvalidRequest, "after_revocation_seq and max_frame_bytes must not be negative");
        var followerId = Guid.Empty;
        if (start.FollowerId.Length > 0 && !Guid.TryParse(start.FollowerId, out followerId))
            throw Refusal.OfField(Reason.InvalidRequest, "follower_id", "follower_id must be a UUID");

        using var counted = follower.CountWatcher();
        using var followed = followerId == Guid.Empty ? null : receipts.BeginWatch(followerId, context.GetCaller());
        // Fresh, so that a cursor of the future is told from one this replica has not caught up with.
        var reading = await follower.ReadIndexAsync(context.CancellationToken);
        var head = reading.Revision.RevocationSeq;
        var oldest = await follower.ReadOldestAsync(context.CancellationToken);
        var cursor = start.Epoch.Length == 0 && start.AfterRevocationSeq == 0 ? head : new RevocationSeq(start.AfterRevocationSeq);
        if (ReasonToReset(start, reading.Revision, oldest) is { } reason)
        {
            await responseStream.WriteAsync(ToReset(reason, reading.Revision, oldest), context.CancellationToken);
            return;
        }

        var renewals = Channel.CreateBounded<Renewal>(new BoundedChannelOptions(16) { SingleReader = true, FullMode = BoundedChannelFullMode.DropOldest });
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken);
        var listening = ListenAsync(requestStream, renewals.Writer, ended.Token);
        var stream = new PatientWriter<WatchRevocationsResponse>(responseStream, options, time, context.CancellationToken);
        long keysSeq = follower.KeysSeq;                // what hello says; whatever comes later is announced
        Log.Watching(log, start.FollowerId, cursor);
        try
        {
            await stream.SendAsync(new WatchRevocationsResponse
            {
                Hello = new Hello
                {
                    Epoch = reading.Revision.Epoch.ToString(),
                    HeadRevocationSeq = head.Value,
                    MinRevocationSeq = oldest.Value,
                    HeartbeatInterval = Mapping.ToDuration(options.Heartbeat),
                    Lease = Mapping.ToDuration(options.Lease),
                    ServerId = ServerId,
                    StreamId = Guid.NewGuid().ToString(),
                    KeysSeq = keysSeq,
                },
            });
            await DeliverAsync(stream, cursor, keysSeq, FrameEntries(start.MaxFrameBytes), followerId, renewals.Reader, context.CancellationToken);
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.FeedCursorTooOld)
        {
            // What came next left the ledger while the watcher was behind: the same answer as at the start.
            reading = await follower.ReadIndexAsync(context.CancellationToken);
            await stream.SendAsync(ToReset(refusal.Reason, reading.Revision, await follower.ReadOldestAsync(context.CancellationToken)));
        }
        finally
        {
            await ended.CancelAsync();
            await listening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static Reason? ReasonToReset(Start start, Revision now, RevocationSeq oldest) =>
        start.Epoch.Length == 0 ? (start.AfterRevocationSeq == 0 ? null : throw new Refusal(Reason.InvalidRequest, "a cursor is epoch and after_revocation_seq together"))
        : !Guid.TryParse(start.Epoch, out var epoch) ? throw new Refusal(Reason.InvalidRequest, "epoch must be a UUID")
        : epoch != now.Epoch ? Reason.FeedCursorForeignEpoch
        : start.AfterRevocationSeq > now.RevocationSeq.Value ? Reason.FeedCursorFuture
        : start.AfterRevocationSeq + 1 < oldest.Value ? Reason.FeedCursorTooOld
        : null;

    private async Task DeliverAsync(
        PatientWriter<WatchRevocationsResponse> stream, RevocationSeq cursor, long keysSeq, int frameEntries, Guid followerId, ChannelReader<Renewal> renewals, CancellationToken cancellationToken)
    {
        bool caughtUp = false;
        var renewal = renewals.WaitToReadAsync(cancellationToken).AsTask();
        while (true)
        {
            var moved = ring.Moved();                                       // taken before looking, so that nothing slips by
            if (follower.Ended is { } ended) throw ended;
            cursor = await SendBacklogAsync(stream, cursor, frameEntries, cancellationToken);
            if (!caughtUp)
            {
                await stream.SendAsync(new WatchRevocationsResponse { CaughtUp = new CaughtUp { ThroughRevocationSeq = cursor.Value } });
                caughtUp = true;
            }
            keysSeq = await SendKeysChangedAsync(stream, keysSeq);
            while (renewals.TryRead(out var asked))
            {
                // Before the read: whoever waits for a revocation and finds no lease here must have it covered by this read.
                if (followerId != Guid.Empty) receipts.GrantLease(followerId, asked.ArrivedAt);
                // The read must start after the renewal arrived, and everything it saw must be on the stream before the lease is.
                var reading = await follower.ReadIndexAsync(cancellationToken);
                cursor = await SendBacklogAsync(stream, cursor, frameEntries, cancellationToken);
                keysSeq = await SendKeysChangedAsync(stream, keysSeq);
                await stream.SendAsync(new WatchRevocationsResponse
                {
                    LeaseRenewed = new LeaseRenewed { T0 = asked.T0, Lease = Mapping.ToDuration(options.Lease), ThroughRevocationSeq = cursor.Value, Revision = Mapping.ToRevision(reading.Revision) },
                });
            }
            if (renewal.IsCompletedSuccessfully) renewal = renewals.WaitToReadAsync(cancellationToken).AsTask();

            var quiet = options.Heartbeat - time.GetElapsedTime(stream.SentAt);
            if (quiet <= TimeSpan.Zero)
            {
                // A backlog from the database may be ahead of the ring.
                long head = Math.Max(cursor.Value, ring.Head.Value);
                await stream.SendAsync(new WatchRevocationsResponse { Heartbeat = new Heartbeat { ThroughRevocationSeq = cursor.Value, HeadRevocationSeq = head } });
                continue;
            }
            using var alarm = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await Task.WhenAny(moved, renewal, Task.Delay(quiet, time, alarm.Token));
            await alarm.CancelAsync();
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Everything the ring has after the cursor, or what the database has where the ring does not reach back.</summary>
    /// <returns>The cursor after it.</returns>
    /// <exception cref="Refusal">FEED_CURSOR_TOO_OLD: what follows the cursor is not in the ledger any more.</exception>
    private async Task<RevocationSeq> SendBacklogAsync(PatientWriter<WatchRevocationsResponse> stream, RevocationSeq cursor, int frameEntries, CancellationToken cancellationToken)
    {
        var entries = new List<Revocation>();
        while (true)
        {
            entries.Clear();
            if (!ring.TryRead(cursor, frameEntries, entries))
            {
                var poll = await follower.ReadBacklogAsync(cursor, cancellationToken);
                entries.AddRange(poll.Rows.Select(Mapping.ToRevocation));
                if (entries.Count == 0 || entries[^1].RevocationSeq != cursor.Value + entries.Count) throw new Refusal(Reason.FeedCursorTooOld);
            }
            if (entries.Count == 0) return cursor;
            foreach (var frame in entries.Chunk(frameEntries))
            {
                await stream.SendAsync(new WatchRevocationsResponse
                {
                    Events = new Events { FirstRevocationSeq = frame[0].RevocationSeq, LastRevocationSeq = frame[^1].RevocationSeq, Revocations = { frame } },
                });
                cursor = new RevocationSeq(frame[^1].RevocationSeq);
            }
        }
    }

    /// <returns>The latest change that the watcher knows of now.</returns>
    private async Task<long> SendKeysChangedAsync(PatientWriter<WatchRevocationsResponse> stream, long known)
    {
        long now = follower.KeysSeq;
        if (now != known) await stream.SendAsync(new WatchRevocationsResponse { KeysChanged = new KeysChanged { KeysSeq = now } });
        return now;
    }

    private static WatchRevocationsResponse ToReset(Reason reason, Revision now, RevocationSeq oldest) => new()
    {
        Reset = new Reset { Reason = (Wire.Reason)reason, Epoch = now.Epoch.ToString(), MinRevocationSeq = oldest.Value, HeadRevocationSeq = now.RevocationSeq.Value },
    };

    private async Task ListenAsync(IAsyncStreamReader<WatchRevocationsRequest> requests, ChannelWriter<Renewal> renewals, CancellationToken cancellationToken)
    {
        try
        {
            while (await requests.MoveNext(cancellationToken))
            {
                if (requests.Current.MessageCase == WatchRevocationsRequest.MessageOneofCase.Renew) renewals.TryWrite(new Renewal(requests.Current.Renew.T0, time.GetTimestamp()));
            }
            // A client that has nothing more to say may go on listening: it gets heartbeats, and no lease.
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or RpcException)
        {
            // The call is over; its other half says so.
        }
    }

    private static int FrameEntries(int maxFrameBytes) => Math.Max(1, (maxFrameBytes == 0 ? DefaultFrameBytes : Math.Min(maxFrameBytes, DefaultFrameBytes)) / BytesPerEntry);

    /// <param name="T0">The follower's clock, echoed.</param>
    /// <param name="ArrivedAt">This process's monotonic clock.</param>
    private readonly record struct Renewal(long T0, long ArrivedAt);
}
