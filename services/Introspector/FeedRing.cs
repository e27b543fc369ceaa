using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// The latest revocations, each made into its wire form once and shared by all watchers. A watcher has a cursor and nothing
/// else here, so a slow one costs the others nothing. Written by <see cref="LedgerFollower"/> alone.
/// </summary>
public sealed class FeedRing(IntrospectorOptions options)
{
    private readonly Revocation[] _slots = new Revocation[options.RingSize];
    private readonly Lock _lock = new();
    private long _first = 1;                        // locked: oldest entry held
    private long _head;                             // locked: newest entry held
    private TaskCompletionSource _moved = NewSignal();      // locked

    /// <summary>The newest entry held.</summary>
    public RevocationSeq Head
    {
        get { lock (_lock) return new RevocationSeq(_head); }
    }

    /// <summary>Starts the ring behind this entry; nothing older is ever in it.</summary>
    public void Begin(RevocationSeq head)
    {
        lock (_lock) (_first, _head) = (head.Value + 1, head.Value);
    }

    /// <summary>Adds rows, which must follow the head without a gap.</summary>
    public void Append(IReadOnlyList<RevocationRow> rows)
    {
        TaskCompletionSource moved;
        lock (_lock)
        {
            foreach (var row in rows)
            {
                if (row.RevocationSeq.Value != _head + 1)
                    throw new InvalidOperationException($"the feed goes from {_head} to {row.RevocationSeq}: it must have no gap");
                _slots[row.RevocationSeq.Value % _slots.Length] = Mapping.ToRevocation(row);
                _head++;
                _first = Math.Max(_first, _head - _slots.Length + 1);
            }
            moved = _moved;
            _moved = NewSignal();
        }
        moved.SetResult();
    }

    /// <summary>Wakes every watcher without a new entry, so that it looks around.</summary>
    public void Nudge()
    {
        TaskCompletionSource moved;
        lock (_lock)
        {
            moved = _moved;
            _moved = NewSignal();
        }
        moved.SetResult();
    }

    /// <summary>A task that ends at the next change after this call.</summary>
    public Task Moved()
    {
        lock (_lock) return _moved.Task;
    }

    /// <summary>Up to <paramref name="most"/> entries after a cursor.</summary>
    /// <returns>False when the ring does not reach back that far: read them from the database.</returns>
    public bool TryRead(RevocationSeq after, int most, List<Revocation> into)
    {
        lock (_lock)
        {
            if (after.Value + 1 < _first) return false;
            for (long seq = after.Value + 1; seq <= _head && into.Count < most; seq++) into.Add(_slots[seq % _slots.Length]);
            return true;
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
