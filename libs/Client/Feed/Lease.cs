using ClawBureau.Tokens;

namespace ClawBureau.Client.Feed;

/// <summary>
/// The right to decide without asking. Everything that was acknowledged before <paramref name="T0"/> is applied: the follower sent
/// T0, and the server answered it in the queue of events after a read that started later.
/// </summary>
/// <param name="T0">By this process's monotonic clock; freshness is counted from it, never from when the answer came.</param>
/// <param name="Number">Grows from lease to lease: two of them compare even where the clock is too coarse for that.</param>
/// <param name="Length">As the server grants it.</param>
/// <param name="Revision">The read that it rests on.</param>
public sealed record Lease(long Number, long T0, TimeSpan Length, Revision Revision);
