using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// Everybody who watches. One signal and one timer for all of them: woken when the feed moves, in time for a heartbeat when it does
/// not, and cut off when a frame does not leave.
/// </summary>
public sealed class Watches(IntrospectorOptions options, TimeProvider time) : IDisposable
{
    // Watchers that are woken one after the other, before others have their turn of the thread: some hundred microseconds of work.
    private const int WokenTogether = 100;

    private readonly Lock _lock = new();
    private readonly HashSet<WatchStream> _streams = [];        // locked
    private WatchStream[]? _all = [];                           // locked: a copy, who are on one connection beside each other; null when it has to be made again
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
    internal WatchStream Open(string connection, IServerStreamWriter<WatchFrame> writer, Func<WatchFrame> asideHeartbeat, CancellationToken ended) =>
        new(connection, writer, time, ended) { Aside = SendsHeartbeatsAside ? (asideHeartbeat, new SemaphoreSlim(1)) : null };

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

    /// <summary>Wakes everybody, on other threads: whoever moved the feed has others to answer. What comes together wakes once.</summary>
    public void WakeAll()
    {
        if (Interlocked.Exchange(ref _isWaking, 1) == 1) return;
        ThreadPool.UnsafeQueueUserWorkItem(static watches =>
        {
            Volatile.Write(ref watches._isWaking, 0);           // before looking: what moves from now on wakes once more
            new Waking(watches.Copy()).Begin();
        }, this, preferLocal: false);
    }

    public void Dispose()
    {
        lock (_lock) _timer?.Dispose();
    }

    private void LookAfterAll()
    {
        var due = new List<WatchStream>();
        foreach (var stream in Copy())
        {
            if (stream.Sending > options.MostSendTime) stream.CutOff();
            else if (stream.Quiet < MostQuiet) continue;
            else if (SendsHeartbeatsAside) stream.SendAside();
            else due.Add(stream);
        }
        new Waking(due).Begin();
    }

    private WatchStream[] Copy()
    {
        lock (_lock) return _all ??= [.. _streams.OrderBy(stream => stream.Connection, StringComparer.Ordinal)];
    }

    /// <summary>
    /// Wakes some watchers, as many together as there are processors, and each a few one after the other: a thread that looks after one
    /// costs less than a turn of the thread pool for each. In between it queues up again, so that what they made leaves and others are answered.
    /// </summary>
    private sealed class Waking(IReadOnlyList<WatchStream> streams) : IThreadPoolWorkItem
    {
        private int _next;                                      // by Interlocked

        public void Begin()
        {
            int turns = Math.Min(Environment.ProcessorCount, (streams.Count + WokenTogether - 1) / WokenTogether);
            for (int i = 0; i < turns; i++) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        void IThreadPoolWorkItem.Execute()
        {
            int end = Interlocked.Add(ref _next, WokenTogether);
            for (int i = end - WokenTogether; i < Math.Min(end, streams.Count); i++) streams[i].WakeHere();
            if (Volatile.Read(ref _next) < streams.Count) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
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
