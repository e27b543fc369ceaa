namespace ClawBureau.Testing;

/// <summary>
/// A monotonic clock and a wall clock that move when a test says so, together or the wall clock alone, with the timers that hang on
/// the monotonic one.
/// </summary>
public sealed class TestClock(DateTimeOffset start) : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<Timer> _timers = [];      // locked
    private TimeSpan _elapsed = TimeSpan.FromHours(1);      // locked
    private TimeSpan _stepped;                      // locked

    public TestClock() : this(DateTimeOffset.UtcNow)
    {
    }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock) return start + _elapsed - TimeSpan.FromHours(1) + _stepped;
    }

    public override long GetTimestamp()
    {
        lock (_lock) return _elapsed.Ticks;
    }

    /// <summary>Time passes; timers that are due fire, in no order that matters.</summary>
    public void Advance(TimeSpan by)
    {
        Timer[] due;
        lock (_lock)
        {
            _elapsed += by;
            due = [.. _timers.Where(timer => timer.Due <= _elapsed)];
        }
        foreach (var timer in due) timer.Fire();
    }

    /// <summary>Somebody sets the wall clock; no time passes.</summary>
    public void StepWallClock(TimeSpan by)
    {
        lock (_lock) _stepped += by;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(this, () => callback(state));
        lock (_lock) _timers.Add(timer);
        timer.Change(dueTime, period);
        return timer;
    }

    private sealed class Timer(TestClock clock, Action callback) : ITimer
    {
        private TimeSpan _period = Timeout.InfiniteTimeSpan;

        public TimeSpan? Due { get; private set; }      // locked by the clock

        public void Fire()
        {
            Change(_period, _period);
            callback();
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock._lock)
            {
                _period = period;
                Due = dueTime == Timeout.InfiniteTimeSpan ? null : clock._elapsed + dueTime;
            }
            // At once, as the system's timers do, but never inside the call that sets it.
            if (dueTime == TimeSpan.Zero) ThreadPool.QueueUserWorkItem(_ => Fire());
            return true;
        }

        public void Dispose()
        {
            lock (clock._lock) clock._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
