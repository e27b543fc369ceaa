using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace ClawBureau.Introspector.Tests;

/// <summary>A source whose backlog comes when the test says so.</summary>
internal sealed class HeldBacklog(IFeedSource source) : IFeedSource
{
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously), _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when somebody waits for a backlog.</summary>
    public Task Asked => _asked.Task;

    public VerificationKeySet Keys => source.Keys;
    public long KeysSeq => source.KeysSeq;
    public Refusal? Ended => source.Ended;
    public int Epochs => source.Epochs;
    public Reading Latest => source.Latest;
    public TimeSpan Lease => source.Lease;

    public void Release() => _gate.SetResult();

    public Task<Reading> ReadIndexAsync(CancellationToken cancellationToken) => source.ReadIndexAsync(cancellationToken);

    public Task<Reading> JoinNextRead() => source.JoinNextRead();

    public async Task<IReadOnlyList<Revocation>> ReadBacklogAsync(RevocationSeq after, CancellationToken cancellationToken)
    {
        _asked.TrySetResult();
        await _gate.Task.WaitAsync(cancellationToken);
        return await source.ReadBacklogAsync(after, cancellationToken);
    }

    public Task<RevocationSeq> ReadOldestAsync(CancellationToken cancellationToken) => source.ReadOldestAsync(cancellationToken);
}

/// <summary>Frames on their way to watchers, of which a test can hold the next one up, as a subscriber that does not read would.</summary>
internal sealed class HeldWriters
{
    private readonly Lock _lock = new();
    private TaskCompletionSource? _stuck;           // locked: told when a frame is held
    private TaskCompletionSource? _gate;            // locked

    /// <returns>Ends when a frame is held up.</returns>
    public Task Hold()
    {
        lock (_lock)
        {
            _gate = NewSignal();
            return (_stuck = NewSignal()).Task;
        }
    }

    public void Release()
    {
        lock (_lock) _gate?.TrySetResult();
    }

    /// <summary>Of the one frame that is held, the way on.</summary>
    public Task PassAsync(CancellationToken cancellationToken)
    {
        TaskCompletionSource? stuck, gate;
        lock (_lock) (stuck, gate, _stuck) = (_stuck, _gate, null);
        if (stuck is null) return Task.CompletedTask;
        stuck.SetResult();
        return gate!.Task.WaitAsync(cancellationToken);
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

internal sealed class HeldWriterInterceptor(HeldWriters held) : Interceptor
{
    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        continuation(requestStream, new Writer<TResponse>(responseStream, held), context);

    private sealed class Writer<T>(IServerStreamWriter<T> inner, HeldWriters held) : IServerStreamWriter<T>
    {
        public WriteOptions? WriteOptions
        {
            get => inner.WriteOptions;
            set => inner.WriteOptions = value;
        }

        public Task WriteAsync(T message) => WriteAsync(message, CancellationToken.None);

        public async Task WriteAsync(T message, CancellationToken cancellationToken)
        {
            await held.PassAsync(cancellationToken);
            await inner.WriteAsync(message, cancellationToken);
        }
    }
}
