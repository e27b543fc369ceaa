using System.Collections.Concurrent;
using System.Threading.Channels;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client.Tests;

/// <summary>A feed that keeps what the real one promises, and breaks one promise at a time where a test says so.</summary>
public sealed class FakeFeed(TimeProvider time) : FeedService.FeedServiceBase
{
    private readonly Lock _lock = new();
    private readonly List<Revocation> _entries = [];            // locked
    private readonly List<ChannelWriter<WatchRevocationsResponse>> _streams = [];       // locked
    private long _keysSeq = 1;                                  // locked
    private volatile TaskCompletionSource? _held;

    public string Epoch { get; set; } = Guid.NewGuid().ToString();

    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>Renewals seen, by their t0.</summary>
    public ConcurrentQueue<long> Renewals { get; } = new();

    public ConcurrentQueue<long> Acknowledged { get; } = new();

    public ConcurrentQueue<Start> Starts { get; } = new();

    private int _snapshots;

    public int Snapshots => Volatile.Read(ref _snapshots);

    /// <summary>False: renewals are heard and not answered.</summary>
    public bool AnswersRenewals { get; set; } = true;

    /// <summary>False: nothing at all is sent, while the connection lives.</summary>
    public bool Speaks { get; set; } = true;

    /// <summary>Every call fails with this.</summary>
    public Refusal? Down { get; set; }

    /// <summary>The next stream is reset.</summary>
    public Reason? ResetNext { get; set; }

    /// <summary>Changes the frames of a snapshot before they are sent.</summary>
    public Func<List<GetSnapshotResponse>, IEnumerable<GetSnapshotResponse>>? Spoil { get; set; }

    public int Watchers
    {
        get { lock (_lock) return _streams.Count; }
    }

    public long Head
    {
        get { lock (_lock) return _entries.Count; }
    }

    public Revocation RevokeToken(TokenHash hash, DateTimeOffset? end = null) => Add(new Revocation
    {
        Token = new RevokedToken { TokenHash = ByteString.CopyFrom(hash.ToArray()), ExpiresAt = Timestamp.FromDateTimeOffset(end ?? time.GetUtcNow().AddHours(1)) },
    });

    public Revocation SetGroup(GroupKey group, bool blocked, long cut = 0) => Add(new Revocation
    {
        Group = new RevokedGroup { Kind = (Wire.GroupKind)group.Kind, Key = ByteString.CopyFrom(group.Hash), Blocked = blocked, Cut = cut > 0 ? new Timestamp { Seconds = cut } : null },
    });

    public Revocation Add(Revocation entry)
    {
        lock (_lock)
        {
            entry.RevocationSeq = _entries.Count + 1;
            entry.Seq = entry.RevocationSeq + 1;
            entry.RevokedAt = Timestamp.FromDateTimeOffset(time.GetUtcNow());
            _entries.Add(entry);
            Send(new WatchRevocationsResponse { Events = new Events { FirstRevocationSeq = entry.RevocationSeq, LastRevocationSeq = entry.RevocationSeq, Revocations = { entry } } });
        }
        return entry;
    }

    public void ChangeKeys()
    {
        lock (_lock) Send(new WatchRevocationsResponse { KeysChanged = new KeysChanged { KeysSeq = ++_keysSeq } });
    }

    public long KeysSeq
    {
        get { lock (_lock) return _keysSeq; }
    }

    public void Heartbeat()
    {
        lock (_lock) Send(new WatchRevocationsResponse { Heartbeat = new Heartbeat { ThroughRevocationSeq = _entries.Count, HeadRevocationSeq = _entries.Count } });
    }

    /// <summary>Sends a frame as it stands to every watcher.</summary>
    public void Send(WatchRevocationsResponse frame)
    {
        lock (_lock)
        {
            foreach (var stream in _streams) stream.TryWrite(frame);
        }
    }

    /// <summary>Frames wait from now on, in order, until <see cref="Release"/>: a buffer somewhere on the way.</summary>
    public void Hold() => _held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Lets through the one frame that waits in front; those behind it go on waiting.</summary>
    public void ReleaseOne()
    {
        var first = _held;
        Hold();
        first?.TrySetResult();
    }

    public void Release()
    {
        _held?.TrySetResult();
        _held = null;
    }

    /// <summary>Ends every stream.</summary>
    public void Cut()
    {
        lock (_lock)
        {
            foreach (var stream in _streams) stream.TryComplete();
        }
    }

    public override async Task GetSnapshot(GetSnapshotRequest request, IServerStreamWriter<GetSnapshotResponse> responseStream, ServerCallContext context)
    {
        Interlocked.Increment(ref _snapshots);
        RequireUp();
        List<GetSnapshotResponse> frames;
        lock (_lock)
        {
            var live = _entries.GroupBy(e => e.Group is { } group ? group.Key : ByteString.CopyFrom(BitConverter.GetBytes(e.RevocationSeq))).Select(same => same.Last()).OrderBy(e => e.RevocationSeq).ToList();
            using var digest = new SnapshotDigest();
            foreach (var entry in live) digest.Add(Client.Feed.FeedEntries.ToEntry(entry));
            frames =
            [
                new() { Begin = new SnapshotBegin { Revision = Revision(), Count = live.Count, KeysSeq = _keysSeq } },
                .. live.Chunk(3).Select(some => new GetSnapshotResponse { Chunk = new SnapshotChunk { Revocations = { some } } }),
                new() { End = new SnapshotEnd { Count = live.Count, Sha256 = ByteString.CopyFrom(digest.Compute()) } },
            ];
        }
        foreach (var frame in Spoil?.Invoke(frames) ?? frames) await responseStream.WriteAsync(frame, context.CancellationToken);
    }

    public override async Task WatchRevocations(
        IAsyncStreamReader<WatchRevocationsRequest> requestStream, IServerStreamWriter<WatchRevocationsResponse> responseStream, ServerCallContext context)
    {
        RequireUp();
        await requestStream.MoveNext(context.CancellationToken);
        var start = requestStream.Current.Start;
        Starts.Enqueue(start);
        if (ResetNext is { } reason)
        {
            ResetNext = null;
            await responseStream.WriteAsync(new WatchRevocationsResponse { Reset = new Reset { Reason = (Wire.Reason)reason, Epoch = Epoch } });
            return;
        }
        var frames = Channel.CreateUnbounded<WatchRevocationsResponse>();
        lock (_lock)
        {
            frames.Writer.TryWrite(new WatchRevocationsResponse
            {
                Hello = new Hello
                {
                    Epoch = Epoch,
                    HeadRevocationSeq = _entries.Count,
                    MinRevocationSeq = 1,
                    HeartbeatInterval = Duration.FromTimeSpan(TimeSpan.FromSeconds(1)),
                    Lease = Duration.FromTimeSpan(Lease),
                    ServerId = Guid.NewGuid().ToString(),
                    StreamId = Guid.NewGuid().ToString(),
                    KeysSeq = _keysSeq,
                },
            });
            var backlog = _entries.Skip((int)start.AfterRevocationSeq).ToList();
            if (backlog.Count > 0)
                frames.Writer.TryWrite(new WatchRevocationsResponse { Events = new Events { FirstRevocationSeq = backlog[0].RevocationSeq, LastRevocationSeq = backlog[^1].RevocationSeq, Revocations = { backlog } } });
            frames.Writer.TryWrite(new WatchRevocationsResponse { CaughtUp = new CaughtUp { ThroughRevocationSeq = _entries.Count } });
            _streams.Add(frames.Writer);
        }
        var listening = ListenAsync(requestStream, frames.Writer, context.CancellationToken);
        try
        {
            await foreach (var frame in frames.Reader.ReadAllAsync(context.CancellationToken))
            {
                if (_held is { } held) await held.Task.WaitAsync(context.CancellationToken);
                if (Speaks) await responseStream.WriteAsync(frame, context.CancellationToken);
            }
        }
        finally
        {
            lock (_lock) _streams.Remove(frames.Writer);
            _ = listening;
        }
    }

    public override Task<AckAppliedResponse> AckApplied(AckAppliedRequest request, ServerCallContext context)
    {
        Acknowledged.Enqueue(request.Applied.RevocationSeq);
        return Task.FromResult(new AckAppliedResponse { AppliedRevocationSeq = request.Applied.RevocationSeq });
    }

    private async Task ListenAsync(IAsyncStreamReader<WatchRevocationsRequest> requests, ChannelWriter<WatchRevocationsResponse> frames, CancellationToken cancellationToken)
    {
        try
        {
            while (await requests.MoveNext(cancellationToken))
            {
                long t0 = requests.Current.Renew.T0;
                lock (_lock)
                {
                    if (AnswersRenewals) frames.TryWrite(new WatchRevocationsResponse
                    {
                        LeaseRenewed = new LeaseRenewed { T0 = t0, Lease = Duration.FromTimeSpan(Lease), ThroughRevocationSeq = _entries.Count, Revision = Revision() },
                    });
                }
                Renewals.Enqueue(t0);           // last, so that who sees it knows that its answer is on the way
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or RpcException or InvalidOperationException)
        {
            // The call is over.
        }
    }

    private Wire.Revision Revision() => new() { Epoch = Epoch, Seq = _entries.Count + 1, RevocationSeq = _entries.Count };

    private void RequireUp()
    {
        if (Down is { } refusal) throw RefusalStatus.ToRpcException(refusal);
    }
}

/// <summary>An introspection that answers what the test says.</summary>
public sealed class FakeIntrospection : IntrospectionService.IntrospectionServiceBase
{
    private int _calls;

    /// <summary>Calls of either kind.</summary>
    public int Calls => Volatile.Read(ref _calls);

    /// <summary>How many tokens each batch had.</summary>
    public ConcurrentQueue<int> Batches { get; } = new();

    /// <summary>May throw a <see cref="Refusal"/>; null: it hangs until the caller gives up.</summary>
    public Func<IntrospectTokenRequest, IntrospectTokenResponse>? Answer { get; set; } = _ => throw new Refusal(Reason.NotReady);

    public override Task<IntrospectTokenResponse> IntrospectToken(IntrospectTokenRequest request, ServerCallContext context) =>
        AnsweredAsync(() => Answer!(request), context);

    public override Task<BatchIntrospectTokensResponse> BatchIntrospectTokens(BatchIntrospectTokensRequest request, ServerCallContext context)
    {
        Batches.Enqueue(request.Tokens.Count);
        return AnsweredAsync(() =>
        {
            var response = new BatchIntrospectTokensResponse();
            foreach (var token in request.Tokens)
            {
                var answer = Answer!(new IntrospectTokenRequest { Token = token, Consistency = request.Consistency });
                (response.Revision, response.Age, answer.Revision, answer.Age) = (answer.Revision, answer.Age, null, null);
                response.Results.Add(new BatchIntrospectTokensResult { Answer = answer });
            }
            return response;
        }, context);
    }

    private async Task<T> AnsweredAsync<T>(Func<T> answer, ServerCallContext context)
    {
        Interlocked.Increment(ref _calls);
        if (Answer is null) await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        try
        {
            return answer();
        }
        catch (Refusal refusal)
        {
            throw RefusalStatus.ToRpcException(refusal);
        }
    }

    public static IntrospectTokenResponse Active(string token, KeyId keyId) => new()
    {
        Active = true,
        TokenHash = TokenHash.Of(token).ToString(),
        Kid = keyId.ToString(),
        KidSource = Wire.KidSource.Header,
        Revision = new Wire.Revision { Epoch = Guid.NewGuid().ToString() },
        Age = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(1)),
    };
}
