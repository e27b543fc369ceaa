using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Client.Feed;

/// <summary>
/// The asking half of one stream: sends renewals, at regular intervals and whenever somebody waits, one at a time. Whoever comes
/// while one is under way shares the next.
/// </summary>
internal sealed class FeedStream(IClientStreamWriter<WatchRevocationsRequest> requests, TimeSpan every, TimeProvider time, bool joinsUnderWay = false)
{
    private readonly Lock _lock = new();
    private TaskCompletionSource<Lease>? _next;             // locked: what those wait for who came since the last renewal was sent
    private (long T0, TaskCompletionSource<Lease>? Waiting)? _underWay;     // locked
    private TaskCompletionSource _changed = NewSignal();    // locked
    private bool _failed;                                   // locked

    /// <exception cref="Refusal">LEASE_LOST: the stream ended.</exception>
    public Task<Lease> CatchUpAsync(CancellationToken cancellationToken)
    {
        Task<Lease> answer;
        lock (_lock)
        {
            if (_failed) throw new Refusal(Reason.LeaseLost);
            if (joinsUnderWay && _underWay is { } underWay)
            {
                var waiting = underWay.Waiting ?? new TaskCompletionSource<Lease>(TaskCreationOptions.RunContinuationsAsynchronously);
                _underWay = (underWay.T0, waiting);
                return waiting.Task;
            }
            answer = (_next ??= new TaskCompletionSource<Lease>(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            if (_underWay is null) _changed.TrySetResult();
        }
        return answer.WaitAsync(cancellationToken);
    }

    /// <summary>Sends renewals until the stream ends.</summary>
    public async Task RunAsync(CancellationToken ended)
    {
        while (true)
        {
            long? t0 = null;
            Task changed;
            lock (_lock)
            {
                if (_changed.Task.IsCompleted) _changed = NewSignal();
                changed = _changed.Task;
                if (_underWay is null)
                {
                    // Taken before it is sent, and after those who wait came: that is what makes the answer theirs.
                    t0 = time.GetTimestamp();
                    (_underWay, _next) = ((t0.Value, _next), null);
                }
            }
            if (t0 is { } sent) await requests.WriteAsync(new WatchRevocationsRequest { Renew = new Renew { T0 = sent } }, ended);
            await changed.WaitAsync(ended);
            if (IsWanted()) continue;
            using var alarm = CancellationTokenSource.CreateLinkedTokenSource(ended);
            Task wanted;
            lock (_lock)
            {
                if (_changed.Task.IsCompleted) _changed = NewSignal();
                wanted = _next is null ? _changed.Task : Task.CompletedTask;
            }
            await Task.WhenAny(wanted, Task.Delay(every, time, alarm.Token));
            await alarm.CancelAsync();
            ended.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Whether this is the answer to what is under way.</summary>
    public bool IsAnswer(long t0)
    {
        lock (_lock) return _underWay is { } underWay && underWay.T0 == t0;
    }

    public void Answer(Lease lease)
    {
        TaskCompletionSource<Lease>? waiting;
        lock (_lock)
        {
            waiting = _underWay?.Waiting;
            _underWay = null;
            _changed.TrySetResult();
        }
        waiting?.TrySetResult(lease);
    }

    /// <exception cref="FeedBroken">Heartbeats come, but a renewal is not answered: nothing rests on such a stream.</exception>
    public void RequireAnswers()
    {
        lock (_lock)
        {
            if (_underWay is { } underWay && time.GetElapsedTime(underWay.T0) > every * 8) throw new FeedBroken("a renewal is not answered");
        }
    }

    /// <summary>Tells all who wait that no answer comes.</summary>
    public void Fail()
    {
        TaskCompletionSource<Lease>?[] waiting;
        lock (_lock)
        {
            _failed = true;
            waiting = [_underWay?.Waiting, _next];
            (_underWay, _next) = (null, null);
        }
        foreach (var one in waiting)
        {
            if (one is null) continue;
            one.TrySetException(new Refusal(Reason.LeaseLost));
            _ = one.Task.Exception;         // nobody may be waiting any more
        }
    }

    private bool IsWanted()
    {
        lock (_lock) return _next is not null;
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
