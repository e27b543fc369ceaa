using System.Runtime.InteropServices;
using System.Threading.Channels;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Calls;
using ClawBureau.Hosting.Tls;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Introspector;

/// <summary>clawbureau.feed.v1 on the wire: one queue per watcher, so that what a heartbeat or a lease says through was delivered before it.</summary>
public sealed partial class FeedEndpoint(IFeedSource source, IRevocationLists lists, RevocationSet live, FeedRing ring, Watches watches, SnapshotTurns snapshots, FollowerReceipts receipts,
    IntrospectorOptions options, ProcessOptions process, TimeProvider time, ILogger<FeedEndpoint> log)
    : FeedRpcs
{
    private const int DefaultFrameBytes = 65_536;
    private const int BytesAround = 32;             // what a frame takes beside its entries, at most
    private static readonly string ServerId = Guid.NewGuid().ToString();

    public override async Task WatchRevocations(
        IAsyncStreamReader<WatchRevocationsRequest> requestStream, IServerStreamWriter<WatchFrame> responseStream, ServerCallContext context)
    {
        if (!await requestStream.MoveNext(context.CancellationToken) || requestStream.Current.MessageCase != WatchRevocationsRequest.MessageOneofCase.Start)
            throw new Refusal(Reason.InvalidRequest, "the first message must be a start");
        var start = requestStream.Current.Start;
        if (start.MaxFrameBytes < 0 || start.AfterRevocationSeq < 0)
            throw new Refusal(Reason.InvalidRequest, "after_revocation_seq and max_frame_bytes must not be negative");
        var followerId = Guid.Empty;
        if (start.FollowerId.Length > 0 && !Guid.TryParse(start.FollowerId, out followerId))
            throw Refusal.OfField(Reason.InvalidRequest, "follower_id", "follower_id must be a UUID");

        using var counted = watches.Count();
        using var followed = followerId == Guid.Empty ? null : receipts.BeginWatch(followerId, context.GetCaller());
        int epochs = source.Epochs;
        // Fresh, so that a cursor of the future is told from one this replica has not caught up with.
        var reading = await source.ReadIndexAsync(context.CancellationToken);
        var head = reading.Revision.RevocationSeq;
        var oldest = await source.ReadOldestAsync(context.CancellationToken);
        var cursor = start.Epoch.Length == 0 && start.AfterRevocationSeq == 0 ? head : new RevocationSeq(start.AfterRevocationSeq);
        if (ReasonToReset(start, reading.Revision, oldest) is { } reason)
        {
            await responseStream.WriteAsync(WatchFrame.Of(ToReset(reason, reading.Revision, oldest)), context.CancellationToken);
            return;
        }

        var renewals = Channel.CreateBounded<Renewal>(new BoundedChannelOptions(16) { SingleReader = true, FullMode = BoundedChannelFullMode.DropOldest });
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken);
        var http = context.GetHttpContext();
        http.Features.Get<GatheredOutput>()?.Join();
        using var stream = watches.Open(http.Connection.Id, responseStream, () => WatchFrame.Of(ToHeartbeat(ring.Head.Value, ring.Head.Value)), context.CancellationToken);
        var listening = ListenAsync(requestStream, renewals.Writer, stream, ended.Token);
        var place = new Place(epochs, cursor, source.KeysSeq);        // what hello says; whatever comes later is announced
        watches.Add(stream);
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
                    Lease = Mapping.ToDuration(source.Lease),
                    ServerId = ServerId,
                    StreamId = Guid.NewGuid().ToString(),
                    KeysSeq = place.KeysSeq,
                },
            });
            await DeliverAsync(stream, place, FrameBytes(start.MaxFrameBytes), followerId, renewals.Reader, context.CancellationToken);
        }
        catch (Refusal refusal) when (refusal.Reason is Reason.FeedCursorTooOld or Reason.FeedCursorForeignEpoch)
        {
            // What came next left the ledger while the watcher was behind, or another epoch began: the same answer as at the start.
            reading = await source.ReadIndexAsync(context.CancellationToken);
            await stream.SendAsync(ToReset(refusal.Reason, reading.Revision, await source.ReadOldestAsync(context.CancellationToken)));
        }
        finally
        {
            watches.Remove(stream);
            await ended.CancelAsync();
            await listening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    public override Task<ListRevocationsResponse> ListRevocations(ListRevocationsRequest request, ServerCallContext context) => lists.ListAsync(request, context);

    private static Reason? ReasonToReset(Start start, Revision now, RevocationSeq oldest) =>
        start.Epoch.Length == 0 ? (start.AfterRevocationSeq == 0 ? null : throw new Refusal(Reason.InvalidRequest, "a cursor is epoch and after_revocation_seq together"))
        : !Guid.TryParse(start.Epoch, out var epoch) ? throw new Refusal(Reason.InvalidRequest, "epoch must be a UUID")
        : epoch != now.Epoch ? Reason.FeedCursorForeignEpoch
        : start.AfterRevocationSeq > now.RevocationSeq.Value ? Reason.FeedCursorFuture
        : start.AfterRevocationSeq + 1 < oldest.Value ? Reason.FeedCursorTooOld
        : null;

    private async Task DeliverAsync(
        WatchStream stream, Place place, int frameBytes, Guid followerId, ChannelReader<Renewal> renewals, CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (source.Ended is { } ended) throw ended;
            await SendBacklogAsync(stream, place, frameBytes, cancellationToken);
            await SendKeysChangedAsync(stream, place);
            while (renewals.TryRead(out var asked))
            {
                // Before the read: whoever waits for a revocation and finds no lease here must have it covered by this read.
                if (followerId != Guid.Empty) receipts.GrantLease(followerId, asked.ArrivedAt);
                // The read must start after the renewal arrived, and everything it saw must be on the stream before the lease is.
                var reading = await source.ReadIndexAsync(cancellationToken);
                await SendBacklogAsync(stream, place, frameBytes, cancellationToken);
                await SendKeysChangedAsync(stream, place);
                await stream.SendAsync(new WatchRevocationsResponse
                {
                    LeaseRenewed = new LeaseRenewed { T0 = asked.T0, Lease = Mapping.ToDuration(source.Lease), ThroughRevocationSeq = place.Cursor, Revision = Mapping.ToRevision(reading.Revision) },
                });
            }
            if (stream.Quiet >= watches.MostQuiet)
            {
                // A backlog from the source may be ahead of the ring.
                long head = Math.Max(place.Cursor, ring.Head.Value);
                await stream.SendAsync(ToHeartbeat(place.Cursor, head));
            }
            await stream.WaitAsync();           // whatever moved since it was looked at ends this at once
        }
    }

    /// <summary>
    /// Everything the ring has after the cursor, or what the source has where the ring does not reach back; then that the watcher
    /// has caught up, where it had not.
    /// </summary>
    /// <exception cref="Refusal">FEED_CURSOR_TOO_OLD: what follows the cursor is not in the ledger any more. FEED_CURSOR_FOREIGN_EPOCH:
    /// another epoch is followed by now.</exception>
    private async Task SendBacklogAsync(WatchStream stream, Place place, int frameBytes, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (ring.TryRead(new RevocationSeq(place.Cursor), frameBytes, out var frame))
            {
                if (frame is null) break;
                await SendAsync(frame);
                continue;
            }
            if (place.IsCaughtUp)
            {
                place.IsCaughtUp = false;
                await stream.SendAsync(new WatchRevocationsResponse { FellBehind = new FellBehind { ThroughRevocationSeq = place.Cursor, HeadRevocationSeq = ring.Head.Value } });
            }
            var backlog = await source.ReadBacklogAsync(new RevocationSeq(place.Cursor), cancellationToken);
            if (backlog.Count == 0 || backlog[^1].RevocationSeq != place.Cursor + backlog.Count) throw new Refusal(Reason.FeedCursorTooOld);
            for (int sent = 0; sent < backlog.Count;)
            {
                var some = new List<byte[]> { WatchFrame.Encode(backlog[sent]) };
                for (int bytes = some[0].Length; sent + some.Count < backlog.Count;)
                {
                    var next = WatchFrame.Encode(backlog[sent + some.Count]);
                    if ((bytes += next.Length) > frameBytes) break;
                    some.Add(next);
                }
                sent += some.Count;
                await SendAsync(WatchFrame.Of(place.Cursor + 1, CollectionsMarshal.AsSpan(some)));
            }
        }
        RequireSameEpoch();
        if (place.IsCaughtUp) return;
        place.IsCaughtUp = true;
        await stream.SendAsync(new WatchRevocationsResponse { CaughtUp = new CaughtUp { ThroughRevocationSeq = place.Cursor } });

        // After reading and before sending: nothing of another epoch is told under the numbers of this one.
        void RequireSameEpoch()
        {
            if (source.Epochs != place.Epochs) throw new Refusal(Reason.FeedCursorForeignEpoch);
        }

        async ValueTask SendAsync(WatchFrame events)
        {
            RequireSameEpoch();
            await stream.SendAsync(events);
            place.Cursor = events.Last;
        }
    }

    private async ValueTask SendKeysChangedAsync(WatchStream stream, Place place)
    {
        long now = source.KeysSeq;
        if (now == place.KeysSeq) return;
        place.KeysSeq = now;
        await stream.SendAsync(new WatchRevocationsResponse { KeysChanged = new KeysChanged { KeysSeq = now } });
    }

    private static WatchRevocationsResponse ToHeartbeat(long through, long head) =>
        new() { Heartbeat = new Heartbeat { ThroughRevocationSeq = through, HeadRevocationSeq = head } };

    private static WatchRevocationsResponse ToReset(Reason reason, Revision now, RevocationSeq oldest) => new()
    {
        Reset = new Reset { Reason = (Wire.Reason)reason, Epoch = now.Epoch.ToString(), MinRevocationSeq = oldest.Value, HeadRevocationSeq = now.RevocationSeq.Value },
    };

    private async Task ListenAsync(IAsyncStreamReader<WatchRevocationsRequest> requests, ChannelWriter<Renewal> renewals, WatchStream stream, CancellationToken cancellationToken)
    {
        try
        {
            while (await requests.MoveNext(cancellationToken))
            {
                if (requests.Current.MessageCase != WatchRevocationsRequest.MessageOneofCase.Renew) continue;
                renewals.TryWrite(new Renewal(requests.Current.Renew.T0, time.GetTimestamp()));
                stream.Wake();
            }
            // A client that has nothing more to say may go on listening: it gets heartbeats, and no lease.
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or RpcException)
        {
            // The call is over; its other half says so.
        }
    }

    private static int FrameBytes(int maxFrameBytes) => (maxFrameBytes == 0 ? DefaultFrameBytes : Math.Min(maxFrameBytes, DefaultFrameBytes)) - BytesAround;

    /// <summary>Where a watcher stands: everything up to there was delivered.</summary>
    /// <param name="epochs">Of the follower, when the stream began.</param>
    private sealed class Place(int epochs, RevocationSeq cursor, long keysSeq)
    {
        public int Epochs { get; } = epochs;
        public long Cursor { get; set; } = cursor.Value;
        public long KeysSeq { get; set; } = keysSeq;
        public bool IsCaughtUp { get; set; }
    }

    /// <param name="T0">The follower's clock, echoed.</param>
    /// <param name="ArrivedAt">This process's monotonic clock.</param>
    private readonly record struct Renewal(long T0, long ArrivedAt);
}
