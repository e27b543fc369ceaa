using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// Everybody who watches. One signal and one timer for all of them: woken when the feed moves, in time for a heartbeat when it does
/// not, and cut off when a frame does not leave.
/// </summary>
public sealed class Watches(IntrospectorOptions options, TimeProvider time) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly HashSet<WatchStream> _streams = [];        // locked
    private WatchStream[]? _all = [];                           // locked: a copy; null when it has to be made again
    private ITimer? _timer;                                     // locked
    private int _isWaking;                                      // by Interlocked
    private int _counted;                                       // by Interlocked

    /// <summary>Watchers admitted now, also those that are not at their stream yet.</summary>
    public int Counted => Volatile.Read(ref _counted);

    /// <summary>True only in the negative control of I31, which this service's tests must see fail: heartbeats then leave when they are due, not in their turn.</summary>
    internal bool SendsHeartbeatsAside { get; init; }

    /// <summary>How quiet a stream may be before it is woken for a heartbeat: early enough that one leaves within the interval.</summary>
    internal TimeSpan MostQuiet => options.Heartbeat * 0.7;

    /// <summary>Admits a watcher until what is returned is disposed.</summary>
    /// <exception cref="Refusal">SUBSCRIBER_LIMIT_REACHED.</exception>
    public IDisposable Count()
    {
        if (Interlocked.Increment(ref _counted) <= options.MostSubscribers) return new Admitted(this);
        Interlocked.Decrement(ref _counted);
        throw new Refusal(Reason.SubscriberLimitReached);
    }

    /// <summary>A watcher's end of the feed, by the clock that all of them are looked after by. It is one of them once it is added.</summary>
    /// <param name="asideHeartbeat">Only for the negative control of I31.</param>
    internal WatchStream Open(IServerStreamWriter<WatchFrame> writer, Func<WatchFrame> asideHeartbeat, CancellationToken ended) =>
        new(writer, time, ended) { Aside = SendsHeartbeatsAside ? (asideHeartbeat, new SemaphoreSlim(1)) : null };

    internal void Add(WatchStream stream)
    {
        lock (_lock)
        {
            _streams.Add(stream);
            _all = null;
            if (_timer is not null) return;
            var period = TimeSpan.FromTicks(Math.Max(TimeSpan.TicksPerMillisecond * 10, Math.Min(options.Heartbeat.Ticks, options.MostSendTime.Ticks) / 8));
            _timer = time.CreateTimer(static watches => ((Watches)watches!).LookAfterAll(), this, period, period);
        }
    }

    internal void Remove(WatchStream stream)
    {
        lock (_lock)
        {
            _streams.Remove(stream);
            _all = null;
        }
    }

    /// <summary>Wakes everybody, on another thread: whoever moved the feed has others to answer. What comes together wakes once.</summary>
    public void WakeAll()
    {
        if (Interlocked.Exchange(ref _isWaking, 1) == 1) return;
        ThreadPool.UnsafeQueueUserWorkItem(static watches =>
        {
            Volatile.Write(ref watches._isWaking, 0);           // before looking: what moves from now on wakes once more
            foreach (var stream in watches.Copy()) stream.Wake();
        }, this, preferLocal: false);
    }

    public void Dispose()
    {
        lock (_lock) _timer?.Dispose();
    }

    private void LookAfterAll()
    {
        foreach (var stream in Copy())
        {
            if (stream.Sending > options.MostSendTime) stream.CutOff();
            else if (stream.Quiet < MostQuiet) continue;
            else if (SendsHeartbeatsAside) stream.SendAside();
            else stream.Wake();
        }
    }

    private WatchStream[] Copy()
    {
        lock (_lock) return _all ??= [.. _streams];
    }

    private sealed class Admitted(Watches watches) : IDisposable
    {
        private int _disposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0) Interlocked.Decrement(ref watches._counted);
        }
    }
}
