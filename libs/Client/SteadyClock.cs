namespace ClawBureau.Client;

/// <summary>
/// The wall clock, but for this process it never goes back: a token that was expired stays so when somebody sets the clock back. It
/// then goes on at the pace of the monotonic clock. Reading it takes no lock and allocates nothing.
/// </summary>
public sealed class SteadyClock(TimeProvider time)
{
    private long _ahead = long.MinValue;        // most ticks that the wall clock was ever seen ahead of the monotonic one

    public DateTimeOffset UtcNow
    {
        get
        {
            long elapsed = time.GetElapsedTime(0, time.GetTimestamp()).Ticks;
            long ahead = time.GetUtcNow().UtcTicks - elapsed;
            long most = Volatile.Read(ref _ahead);
            while (ahead > most)
            {
                long seen = Interlocked.CompareExchange(ref _ahead, ahead, most);
                if (seen == most) most = ahead;
                else most = seen;
            }
            return new DateTimeOffset(elapsed + most, TimeSpan.Zero);
        }
    }
}
