namespace ClawBureau.Introspector;

/// <summary>
/// The time tokens are judged by. It never goes back: what has expired stays so, and what was forgotten because its token expired
/// long ago is not missed. Where the wall clock was set back, it stands ahead until the live set was rebuilt from a snapshot.
/// </summary>
public sealed class IntrospectorClock(TimeProvider time)
{
    // Less than this is a clock being corrected, which waiting mends.
    private static readonly TimeSpan Jump = TimeSpan.FromSeconds(5);
    private long _latest;                   // UTC ticks, by Interlocked

    public DateTimeOffset UtcNow
    {
        get
        {
            long now = time.GetUtcNow().UtcTicks, latest = Volatile.Read(ref _latest);
            while (now > latest)
            {
                long seen = Interlocked.CompareExchange(ref _latest, now, latest);
                if (seen == latest) return new DateTimeOffset(now, TimeSpan.Zero);
                latest = seen;
            }
            return new DateTimeOffset(latest, TimeSpan.Zero);
        }
    }

    /// <summary>The wall clock stands well before what it said earlier.</summary>
    public bool HasJumpedBack => new DateTimeOffset(Volatile.Read(ref _latest), TimeSpan.Zero) - time.GetUtcNow() > Jump;

    /// <summary>Follows the wall clock again, also back. Only with a live set that was read after the jump.</summary>
    public void FollowWallClock() => Volatile.Write(ref _latest, time.GetUtcNow().UtcTicks);
}
