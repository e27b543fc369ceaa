using System.Collections.Concurrent;
using ClawBureau.Hosting.Callers;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>What one following process has applied, and until when it may decide by itself.</summary>
/// <param name="Epoch">Of the number; <see cref="Guid.Empty"/>: nothing was acknowledged yet.</param>
/// <param name="LeaseLeft">Zero: run out, or never granted.</param>
public sealed record Receipt(string FollowerId, string Identity, Guid Epoch, RevocationSeq Applied, TimeSpan LeaseLeft, TimeSpan? AcknowledgedAgo)
{
    /// <summary>A follower without a lease decides nothing, so nobody has to wait for it.</summary>
    public bool Lacks(Guid epoch, RevocationSeq revision) => LeaseLeft > TimeSpan.Zero && (Epoch != epoch || Applied < revision);
}

/// <summary>
/// Who follows this replica and how far it says it is (DESIGN "Revocation", 4). In memory: a follower tells the next replica
/// by itself, and whoever waits after this process was lost waits the full lease.
/// </summary>
public sealed class FollowerReceipts(IntrospectorOptions options, TimeProvider time)
{
    private static readonly TimeSpan KeptAfterLease = TimeSpan.FromMinutes(1);
    private readonly ConcurrentDictionary<Guid, Follower> _followers = new();
    private TaskCompletionSource _changed = NewSignal();        // replaced by Interlocked

    /// <summary>A follower that watches from here. Its entry stays while it does and a while after.</summary>
    /// <exception cref="Refusal">CALLER_NOT_ALLOWED: another caller follows under this id; SUBSCRIBER_LIMIT_REACHED.</exception>
    public IDisposable BeginWatch(Guid followerId, Caller caller)
    {
        var follower = Find(followerId, caller);
        Interlocked.Increment(ref follower.Streams);
        return new Watch(follower);
    }

    /// <summary>Before the read that a lease will rest on: nobody who asks from now on may take the follower for one that decides nothing.</summary>
    /// <param name="renewedAt">When its Renew arrived here, by this process's monotonic clock: the lease began earlier.</param>
    public void GrantLease(Guid followerId, long renewedAt)
    {
        if (_followers.TryGetValue(followerId, out var follower)) InterlockedMax(ref follower.LeaseFrom, renewedAt);
    }

    /// <returns>The largest number this replica has from the follower, in this epoch.</returns>
    /// <exception cref="Refusal">As of <see cref="BeginWatch"/>.</exception>
    public RevocationSeq Acknowledge(Guid followerId, Caller caller, Guid epoch, RevocationSeq applied)
    {
        var follower = Find(followerId, caller);
        RevocationSeq largest;
        lock (follower)
        {
            if (follower.Epoch != epoch) (follower.Epoch, follower.Applied) = (epoch, applied);
            else if (follower.Applied < applied) follower.Applied = applied;
            follower.AcknowledgedAt = time.GetTimestamp();
            largest = follower.Applied;
        }
        Interlocked.Exchange(ref _changed, NewSignal()).SetResult();
        return largest;
    }

    /// <summary>By follower id. Those that left long ago are forgotten here.</summary>
    public IReadOnlyList<Receipt> ReadAll()
    {
        var receipts = new List<Receipt>(_followers.Count);
        foreach (var (id, follower) in _followers)
        {
            if (IsGone(follower)) _followers.TryRemove(id, out _);
            else receipts.Add(ToReceipt(id, follower));
        }
        receipts.Sort((a, b) => string.CompareOrdinal(a.FollowerId, b.FollowerId));
        return receipts;
    }

    /// <summary>Waits until every follower with a lease has applied this, or has no lease any more, or the time is up.</summary>
    /// <returns>The receipts then; whether nobody lacks it.</returns>
    public async Task<(IReadOnlyList<Receipt> Receipts, bool AllApplied)> WaitAsync(Guid epoch, RevocationSeq revision, TimeSpan atMost, CancellationToken cancellationToken)
    {
        long began = time.GetTimestamp();
        while (true)
        {
            var changed = Volatile.Read(ref _changed).Task;         // taken before looking, so that nothing slips by
            var receipts = ReadAll();
            var lacking = receipts.Where(receipt => receipt.Lacks(epoch, revision)).ToList();
            var left = atMost - time.GetElapsedTime(began);
            if (lacking.Count == 0 || left <= TimeSpan.Zero) return (receipts, lacking.Count == 0);

            var firstEnd = lacking.Min(receipt => receipt.LeaseLeft) + TimeSpan.FromMilliseconds(1);
            using var alarm = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await Task.WhenAny(changed, Task.Delay(firstEnd < left ? firstEnd : left, time, alarm.Token));
            await alarm.CancelAsync();
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    private Follower Find(Guid followerId, Caller caller)
    {
        var identity = caller is Caller.Service service ? service.SpiffeId : caller.Name;
        if (!_followers.TryGetValue(followerId, out var follower))
        {
            if (_followers.Count >= options.MostSubscribers && ReadAll().Count >= options.MostSubscribers) throw new Refusal(Reason.SubscriberLimitReached);
            follower = _followers.GetOrAdd(followerId, new Follower(identity, time.GetTimestamp()));
        }
        return follower.Identity == identity ? follower : throw new Refusal(Reason.CallerNotAllowed, "Another caller follows under this follower_id");
    }

    private bool IsGone(Follower follower)
    {
        if (Volatile.Read(ref follower.Streams) > 0) return false;
        lock (follower)
        {
            return time.GetElapsedTime(Math.Max(Math.Max(follower.SeenAt, Volatile.Read(ref follower.LeaseFrom)), follower.AcknowledgedAt)) > options.Lease + KeptAfterLease;
        }
    }

    private Receipt ToReceipt(Guid id, Follower follower)
    {
        lock (follower)
        {
            long from = Volatile.Read(ref follower.LeaseFrom);
            var left = from == 0 ? TimeSpan.Zero : options.Lease - time.GetElapsedTime(from);
            return new Receipt(
                id.ToString(), follower.Identity, follower.Epoch, follower.Applied, left > TimeSpan.Zero ? left : TimeSpan.Zero,
                follower.AcknowledgedAt == 0 ? null : time.GetElapsedTime(follower.AcknowledgedAt));
        }
    }

    private static void InterlockedMax(ref long target, long value)
    {
        long seen = Volatile.Read(ref target);
        while (seen < value && Interlocked.CompareExchange(ref target, value, seen) is var now && now != seen) seen = now;
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed class Follower(string identity, long seenAt)
    {
        public string Identity => identity;
        public long SeenAt { get; } = seenAt;
        public int Streams;                     // by Interlocked
        public long LeaseFrom;                  // by Interlocked; 0: no lease was granted yet
        public Guid Epoch;                      // locked by the follower itself, as the next two
        public RevocationSeq Applied;
        public long AcknowledgedAt;
    }

    private sealed class Watch(Follower follower) : IDisposable
    {
        private int _disposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0) Interlocked.Decrement(ref follower.Streams);
        }
    }
}
