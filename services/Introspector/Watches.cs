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

    /// <summary>How quiet a stream may be before it is woken for a heartbeat: early enough that one leaves within the interval.</summary>
    internal TimeSpan MostQuiet => options.Heartbeat * 0.7;

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
            else if (stream.Quiet >= MostQuiet) stream.Wake();
        }
    }

    private WatchStream[] Copy()
    {
        lock (_lock) return _all ??= [.. _streams];
    }
}
