using System.Threading.Tasks.Sources;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// One watcher's end of the feed: what wakes it, and its frames on their way. Nothing is queued for it here; while one frame has
/// not left, the next is not made. Waiting and sending allocate nothing and start no timer: <see cref="Watches"/> looks after all.
/// </summary>
internal sealed class WatchStream : IValueTaskSource, IDisposable
{
    private const int Looking = 0, Woken = 1, Waiting = 2;

    private readonly IServerStreamWriter<WatchFrame> _writer;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _cut;
    private readonly CancellationTokenRegistration _ended;
    private ManualResetValueTaskSourceCore<bool> _signal;
    private int _state;                     // by Interlocked
    private long _sentAt;
    private long _sendingSince;             // 0: nothing is on its way
    private volatile bool _isTooSlow;

    /// <param name="connection">Which the watcher is on, maybe with others.</param>
    public WatchStream(string connection, IServerStreamWriter<WatchFrame> writer, TimeProvider time, CancellationToken ended)
    {
        (Connection, _writer, _time, _sentAt) = (connection, writer, time, time.GetTimestamp());
        _cut = CancellationTokenSource.CreateLinkedTokenSource(ended);
        _ended = ended.UnsafeRegister(static stream => ((WatchStream)stream!).Wake(), this);
    }

    /// <summary>What it is on is the same for who are on one connection; whose frames are made together leave together.</summary>
    public string Connection { get; }

    /// <summary>Only in the negative control of I31: what <see cref="SendAside"/> sends. The framework takes one frame at a time, so there is a pen to wait for.</summary>
    internal (Func<WatchFrame> Make, SemaphoreSlim Pen)? Aside { get; init; }

    /// <summary>Since the last frame had left, by the monotonic clock.</summary>
    public TimeSpan Quiet => _time.GetElapsedTime(Volatile.Read(ref _sentAt));

    /// <summary>How long the frame under way has been so; zero while there is none.</summary>
    public TimeSpan Sending => Volatile.Read(ref _sendingSince) is var since && since == 0 ? TimeSpan.Zero : _time.GetElapsedTime(since);

    /// <summary>Makes the watcher look around, on another thread: now if it waits, else once it would wait.</summary>
    public void Wake() => Wake(here: false);

    /// <summary>The same on this thread, which goes on when the watcher waits again: for its next turn, or for a frame that does not leave.</summary>
    public void WakeHere() => Wake(here: true);

    /// <summary>Ends when it is woken, or has been since the last time. One waiter.</summary>
    public ValueTask WaitAsync()
    {
        if (Interlocked.CompareExchange(ref _state, Waiting, Looking) == Looking) return new ValueTask(this, _signal.Version);
        Volatile.Write(ref _state, Looking);
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc cref="SendAsync(WatchFrame)"/>
    public ValueTask SendAsync(WatchRevocationsResponse frame) => SendAsync(WatchFrame.Of(frame));

    /// <exception cref="Refusal">SUBSCRIBER_TOO_SLOW: the frame did not leave in time.</exception>
    public async ValueTask SendAsync(WatchFrame frame)
    {
        if (Aside is { } waiting) await waiting.Pen.WaitAsync(_cut.Token);
        Volatile.Write(ref _sendingSince, _time.GetTimestamp());
        try
        {
            await _writer.WriteAsync(frame, _cut.Token);
        }
        catch (OperationCanceledException) when (_isTooSlow)
        {
            throw new Refusal(Reason.SubscriberTooSlow);
        }
        finally
        {
            Volatile.Write(ref _sendingSince, 0);
            Aside?.Pen.Release();
        }
        Volatile.Write(ref _sentAt, _time.GetTimestamp());
    }

    /// <summary>Only in the negative control of I31.</summary>
    internal void SendAside()
    {
        if (Aside is { } aside) _ = SendAsync(aside.Make()).AsTask();
    }

    /// <summary>Gives up on the frame under way, and with it on the watcher.</summary>
    public void CutOff()
    {
        _isTooSlow = true;
        try
        {
            _cut.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It ended by itself in this moment.
        }
    }

    public void Dispose()
    {
        _ended.Unregister();
        _cut.Dispose();
    }

    private void Wake(bool here)
    {
        if (Interlocked.Exchange(ref _state, Woken) != Waiting) return;
        _signal.RunContinuationsAsynchronously = !here;         // nobody else is here: only one finds it waiting
        _signal.SetResult(true);
    }

    void IValueTaskSource.GetResult(short token)
    {
        _signal.GetResult(token);
        _signal.Reset();
        // What wakes it before this line is seen anyway: looking comes after.
        Volatile.Write(ref _state, Looking);
    }

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _signal.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _signal.OnCompleted(continuation, state, token, flags);
}
