using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// The latest revocations, each encoded once and shared by all watchers, as are the frames they make up. A watcher has a cursor and
/// nothing else here, so a slow one costs the others nothing. Written by the one <see cref="IFeedSource"/> alone.
/// </summary>
public sealed class FeedRing(IntrospectorOptions options, Watches watches)
{
    private const int FramesKept = 8;
    private readonly byte[][] _slots = new byte[options.RingSize][];        // locked: entries as WatchFrame.Encode makes them
    private readonly Lock _lock = new();
    private readonly WatchFrame?[] _frames = new WatchFrame?[FramesKept];   // locked: the last ones made
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

    /// <summary>Adds entries, which must follow the head without a gap.</summary>
    public void Append(IReadOnlyList<Revocation> entries)
    {
        // Before the lock: watchers wait for it.
        var encoded = new byte[entries.Count][];
        for (int i = 0; i < encoded.Length; i++) encoded[i] = WatchFrame.Encode(entries[i]);
        lock (_lock)
        {
            for (int i = 0; i < encoded.Length; i++)
            {
                long seq = entries[i].RevocationSeq;
                if (seq != _head + 1 && !PassesOverGaps) throw new InvalidOperationException($"the feed goes from {_head} to {seq}: it must have no gap");
                _slots[seq % _slots.Length] = encoded[i];
                _head = seq;
                _first = Math.Max(_first, _head - _slots.Length + 1);
            }
        }
        watches.WakeAll();
    }

    /// <summary>Wakes every watcher without a new entry, so that it looks around.</summary>
    public void Nudge() => watches.WakeAll();

    /// <summary>The frame of entries after a cursor: as many as there are and fit, and one in any case.</summary>
    /// <param name="mostBytes">Of the entries in it.</param>
    /// <param name="frame">Null when there is nothing after the cursor.</param>
    /// <returns>False when the ring does not reach back that far: read them from the source.</returns>
    public bool TryRead(RevocationSeq after, int mostBytes, out WatchFrame? frame)
    {
        lock (_lock)
        {
            frame = null;
            long first = after.Value + 1;
            if (first < _first) return false;
            if (first > _head) return true;
            long last = first;
            for (int bytes = At(first).Length; last < _head && (bytes += At(last + 1).Length) <= mostBytes; last++)
            {
                // One more fits.
            }
            frame = Array.Find(_frames, kept => kept is not null && kept.First == first && kept.Last == last) ?? Make(first, last);
            return true;
        }
    }

    private byte[] At(long seq) => _slots[seq % _slots.Length];

    private WatchFrame Make(long first, long last)
    {
        var entries = new byte[last - first + 1][];
        for (int i = 0; i < entries.Length; i++) entries[i] = At(first + i);
        return _frames[_nextFrame++ % FramesKept] = WatchFrame.Of(first, entries);
    }
}
