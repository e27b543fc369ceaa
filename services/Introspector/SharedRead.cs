namespace ClawBureau.Introspector;

/// <summary>
/// One question to the database for all who ask it at one time, however many they are: who asks while it is under way shares the next,
/// which begins after he asked.
/// </summary>
internal sealed class SharedRead<T>(Func<Task<T>> readAsync)
{
    private readonly Lock _lock = new();
    private TaskCompletionSource<T>? _next;         // locked
    private bool _isReading;                        // locked

    public Task<T> JoinAsync()
    {
        Task<T> answer;
        bool begins;
        lock (_lock)
        {
            answer = (_next ??= new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            (begins, _isReading) = (!_isReading, true);
        }
        if (begins) _ = ReadWhileAskedAsync();
        return answer;
    }

    private async Task ReadWhileAskedAsync()
    {
        while (true)
        {
            TaskCompletionSource<T> asked;
            lock (_lock)
            {
                if (_next is null)
                {
                    _isReading = false;
                    return;
                }
                (asked, _next) = (_next, null);
            }
            try
            {
                asked.SetResult(await readAsync());
            }
            catch (Exception e)
            {
                asked.SetException(e);
                _ = asked.Task.Exception;           // nobody may be waiting any more
            }
        }
    }
}
