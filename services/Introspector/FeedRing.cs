using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// The latest revocations, each made into its wire form once and shared by all watchers, as are the frames they make up. A watcher
/// has a cursor and nothing else here, so a slow one costs the others nothing. Written by the one <see cref="IFeedSource"/> alone.
/// </summary>
public sealed class FeedRing(IntrospectorOptions options, Watches watches)
{
    private const int FramesKept = 8;
    private readonly Revocation[] _slots = new Revocation[options.RingSize];
    private readonly Lock _lock = new();
    private readonly WatchRevocationsResponse?[] _frames = new WatchRevocationsResponse?[FramesKept];      // locked: the last ones made, which nobody changes
    private int _nextFrame;                         // locked
    private long _first = 1;                        // locked: oldest entry held
    private long _head;                             // locked: newest entry held

    /// <summary>True only in the negative control of dense numbers, which this service's tests must see fail.</summary>
    internal bool PassesOverGaps { get; init; }

    /// <summary>The newest entry held.</summary>
    public RevocationSeq Head
    {
        get { lock (_lock) return new RevocationSeq(_head); }
    }

    /// <summary>Starts the ring behind this entry; nothing older is ever in it.</summary>
    public void Begin(RevocationSeq head)
    {
        lock (_lock)
        {
            (_first, _head) = (head.Value + 1, head.Value);
            Array.Clear(_frames);           // of another epoch their numbers mean something else
        }
    }

    /// <summary>Adds entries, which must follow the head without a gap. Nobody changes them any more.</summary>
    public void Append(IReadOnlyList<Revocation> entries)
    {
        lock (_lock)
        {
            foreach (var entry in entries)
            {
                if (entry.RevocationSeq != _head + 1 && !PassesOverGaps)
                    throw new InvalidOperationException($"the feed goes from {_head} to {entry.RevocationSeq}: it must have no gap");
                _slots[entry.RevocationSeq % _slots.Length] = entry;
                _head = entry.RevocationSeq;
                _first = Math.Max(_first, _head - _slots.Length + 1);
            }
        }
        watches.WakeAll();
    }

    /// <summary>Wakes every watcher without a new entry, so that it looks around.</summary>
    public void Nudge() => watches.WakeAll();

    /// <summary>The frame of up to <paramref name="most"/> entries after a cursor: everything there is, coalesced.</summary>
    /// <param name="frame">Null when there is nothing after the cursor. Shared: not to be changed.</param>
    /// <returns>False when the ring does not reach back that far: read them from the database.</returns>
    public bool TryRead(RevocationSeq after, int most, out WatchRevocationsResponse? frame)
    {
        lock (_lock)
        {
            frame = null;
            if (after.Value + 1 < _first) return false;
            long first = after.Value + 1, last = Math.Min(_head, after.Value + most);
            if (last < first) return true;
            frame = Array.Find(_frames, kept => kept is not null && kept.Events.FirstRevocationSeq == first && kept.Events.LastRevocationSeq == last) ?? Make(first, last);
            return true;
        }
    }

    private WatchRevocationsResponse Make(long first, long last)
    {
        var events = new Events { FirstRevocationSeq = first, LastRevocationSeq = last };
        events.Revocations.Capacity = (int)(last - first + 1);
        for (long seq = first; seq <= last; seq++) events.Revocations.Add(_slots[seq % _slots.Length]);
        return _frames[_nextFrame++ % FramesKept] = new WatchRevocationsResponse { Events = events };
    }
}
