namespace ClawBureau.Ledger;

/// <summary>
/// What waits for the next batch. Mints have one bound, everything else a reserved one of its own and goes first, so that
/// overload sheds issuance and never a revocation (DESIGN "The ledger", rule 4). Holders of tokens may fill three quarters of the
/// reserved one: the rest stays open to operators, whoever storms it. Not thread-safe: its owner locks.
/// </summary>
internal sealed class ActQueue(int mintCapacity, int reservedCapacity)
{
    private readonly LinkedList<PendingAct> _mints = new();
    private readonly LinkedList<PendingAct> _first = new();

    public int Count => _mints.Count + _first.Count;

    /// <returns>False when the act's own queue is full.</returns>
    public bool TryAdd(PendingAct pending)
    {
        var (queue, capacity) = pending.Act.IsMint ? (_mints, mintCapacity) : (_first, reservedCapacity);
        if (pending.Act is { IsMint: false, CallerToken: not null }) capacity -= capacity / 4;
        if (queue.Count >= capacity) return false;
        queue.AddLast(pending);
        return true;
    }

    /// <summary>Up to <paramref name="most"/> acts, at most one per conflict key; what conflicts keeps its place for the next batch.</summary>
    public List<PendingAct> Take(int most)
    {
        var batch = new List<PendingAct>(Math.Min(most, Count));
        var keys = new HashSet<string>(StringComparer.Ordinal);
        var read = new HashSet<string>(StringComparer.Ordinal);
        foreach (var queue in (ReadOnlySpan<LinkedList<PendingAct>>)[_first, _mints])
        {
            for (var node = queue.First; node is not null && batch.Count < most;)
            {
                var next = node.Next;
                var (wanted, reads) = (node.Value.Act.ConflictKeys, node.Value.Act.ReadKeys);
                // Keys of a passed-over act are taken too: a later act under the same key must not overtake it.
                var free = wanted.All(k => !keys.Contains(k) && !read.Contains(k)) && reads.All(k => !keys.Contains(k));
                keys.UnionWith(wanted);
                read.UnionWith(reads);
                if (free)
                {
                    batch.Add(node.Value);
                    queue.Remove(node);
                }
                node = next;
            }
        }
        return batch;
    }
}
