using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>
/// The time tokens are issued at. It never goes backwards within the process, and nothing is signed while it is more than
/// 2 s off the database's (DESIGN "Revocation"): cuts are taken from the database's clock.
/// </summary>
public sealed class DatabaseClock(TimeProvider time)
{
    private static readonly TimeSpan MostSkew = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan MostAge = TimeSpan.FromSeconds(5);
    private readonly Lock _lock = new();
    private DateTimeOffset _last;               // locked: the latest time given out
    private TimeSpan _skew;                     // locked: how far off we are at least, as last measured
    private long _measuredAt;                   // locked: monotonic; 0: never

    /// <summary>Now, for signing.</summary>
    /// <exception cref="Refusal">CLOCK_SKEWED; LEDGER_UNAVAILABLE when the database has not been heard of for 5 s.</exception>
    public DateTimeOffset NowForSigning()
    {
        lock (_lock)
        {
            if (_measuredAt == 0 || time.GetElapsedTime(_measuredAt) > MostAge) throw new Refusal(Reason.LedgerUnavailable);
            if (_skew > MostSkew)
                throw new Refusal(Reason.ClockSkewed, metadata: new Dictionary<string, string> { ["skew_ms"] = $"{_skew.TotalMilliseconds:0}" });
            return _last = Later(_last, time.GetUtcNow());
        }
    }

    /// <summary>Now, for everything else.</summary>
    public DateTimeOffset Now()
    {
        lock (_lock) return _last = Later(_last, time.GetUtcNow());
    }

    /// <summary>Compares the clocks: the database said <paramref name="database"/> at some moment after <paramref name="asked"/>.</summary>
    /// <param name="asked">Our wall clock when the question left.</param>
    /// <param name="askedAt">Our monotonic clock at that moment.</param>
    public void Compare(DateTimeOffset database, DateTimeOffset asked, long askedAt)
    {
        var roundTrip = time.GetElapsedTime(askedAt);
        var early = asked - database;                   // positive: we are ahead by at least this much
        var late = database - (asked + roundTrip);      // positive: we are behind by at least this much
        lock (_lock)
        {
            _skew = early > late ? early : late;
            _measuredAt = time.GetTimestamp();
        }
    }

    private static DateTimeOffset Later(DateTimeOffset a, DateTimeOffset b) => a > b ? a : b;
}
