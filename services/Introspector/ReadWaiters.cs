namespace ClawBureau.Introspector;

/// <summary>
/// Those who wait for one read. They are told in groups, each on a thread of its own: one hop to the thread pool for each of
/// them would cost about as much as the answer itself, and one for all would leave the other processors idle.
/// </summary>
internal sealed class ReadWaiters
{
    private const int GroupSize = 16;
    private readonly List<TaskCompletionSource<Reading>> _groups = [];
    private int _inLast = GroupSize;

    /// <summary>Adds one; not after <see cref="Answer"/> or <see cref="Fail"/>. Callers hold the lock that says which read is next.</summary>
    public Task<Reading> Join()
    {
        if (_inLast == GroupSize)
        {
            _groups.Add(new TaskCompletionSource<Reading>());
            _inLast = 0;
        }
        _inLast++;
        return _groups[^1].Task;
    }

    public void Answer(Reading reading)
    {
        foreach (var group in _groups)
            ThreadPool.UnsafeQueueUserWorkItem(static told => told.Group.SetResult(told.Reading), (Group: group, Reading: reading), preferLocal: false);
    }

    public void Fail(Exception why)
    {
        foreach (var group in _groups)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static told =>
            {
                told.Group.SetException(told.Why);
                _ = told.Group.Task.Exception;      // nobody may be waiting any more
            }, (Group: group, Why: why), preferLocal: false);
        }
    }
}
