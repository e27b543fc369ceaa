using ClawBureau.Tokens;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Client.Keys;

/// <summary>The keys this process verifies with.</summary>
/// <param name="FetchedAt">When their fetch began, by the monotonic clock.</param>
/// <param name="AsOf">How many changes had been announced by then; internal bookkeeping of <see cref="KeyCache"/>.</param>
public sealed record HeldKeys(VerificationKeySet Keys, string Epoch, long Seq, long FetchedAt, long AsOf)
{
    internal static readonly HeldKeys None = new(VerificationKeySet.Empty, "", 0, 0, -1);

    /// <summary>True until the first fetch succeeded.</summary>
    public bool IsNone => AsOf < 0;
}

/// <summary>
/// Holds the public keys, and fetches them when the feed says that they changed, when they are old, and when a token names a key
/// that is not among them. The last of these anybody can provoke, so it happens once per cool-down however many such tokens come;
/// which keys are unknown is not remembered at all.
/// </summary>
public sealed class KeyCache(IKeySource source, ClientOptions options, TimeProvider time, ILogger<KeyCache> log)
{
    // Without any keys nothing can be decided; whoever has them is being started, as this process is.
    private static readonly TimeSpan MostPauseAtFirst = TimeSpan.FromMilliseconds(500);

    private readonly Lock _lock = new();
    private volatile HeldKeys _held = HeldKeys.None;
    private long _announced;                // written under the lock: changes announced so far
    private string _announcedEpoch = "";    // locked
    private long _announcedSeq;             // locked
    private TaskCompletionSource _wake = NewSignal();       // locked
    private Task<HeldKeys>? _underWay;      // locked
    private bool _missed;                   // locked
    private long _missFetchedAt;            // locked: when a missed key last caused a fetch
    private long _fetches;
    private readonly TaskCompletionSource _loaded = NewSignal();

    /// <summary>Ends when keys were fetched for the first time.</summary>
    public Task Loaded => _loaded.Task;

    /// <summary>The keys as last fetched; <see cref="HeldKeys.IsNone"/> before the first time.</summary>
    public HeldKeys Held => _held;

    /// <summary>Fetches begun.</summary>
    public long Fetches => Volatile.Read(ref _fetches);

    /// <summary>True while a change is announced that the held keys may not have.</summary>
    public bool IsBehind => Volatile.Read(ref _announced) > _held.AsOf;

    /// <summary>Since when the held keys have been held.</summary>
    public TimeSpan Age => _held is { IsNone: false } held ? time.GetElapsedTime(held.FetchedAt) : TimeSpan.Zero;

    /// <summary>Tells the latest change of a key, from the feed. One that the held keys have is no news.</summary>
    public void Announce(string epoch, long seq)
    {
        TaskCompletionSource wake;
        lock (_lock)
        {
            if (epoch == _announcedEpoch && seq <= _announcedSeq) return;
            (_announcedEpoch, _announcedSeq) = (epoch, seq);
            if (_held is { IsNone: false } held && held.Epoch == epoch && held.Seq >= seq) return;
            Volatile.Write(ref _announced, _announced + 1);
            wake = _wake;
        }
        wake.TrySetResult();
    }

    /// <summary>The keys after a token named one that is not among them: fetched anew, unless that happened within the cool-down.</summary>
    /// <returns>The keys as they are then; the same ones where they were not, or could not be, fetched.</returns>
    public async ValueTask<HeldKeys> AfterMissAsync(CancellationToken cancellationToken)
    {
        Task<HeldKeys> fetch;
        lock (_lock)
        {
            if (_underWay is { } underWay)
            {
                fetch = underWay;
            }
            else
            {
                if (_missed && time.GetElapsedTime(_missFetchedAt) < options.KeyCoolDown) return _held;
                (_missed, _missFetchedAt) = (true, time.GetTimestamp());
                fetch = Begin();
            }
        }
        try
        {
            return await fetch.WaitAsync(cancellationToken);
        }
        catch (Refusal)
        {
            return _held;           // logged by the fetch; the key stays unknown
        }
    }

    /// <summary>Fetches the keys now, whatever is held.</summary>
    /// <exception cref="Refusal">They cannot be had.</exception>
    public async Task<HeldKeys> RefreshAsync(CancellationToken cancellationToken)
    {
        Task<HeldKeys>? underWay;
        lock (_lock) underWay = _underWay;
        // One that began earlier may have read before what the caller knows of.
        if (underWay is not null) await ((Task)underWay).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        Task<HeldKeys> fetch;
        lock (_lock) fetch = _underWay ?? Begin();
        return await fetch.WaitAsync(cancellationToken);
    }

    /// <summary>Keeps the keys current until it is cancelled. It is cancelled, nothing else ends it.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var backoff = new Backoff(options);
        while (!cancellationToken.IsCancellationRequested)
        {
            Task woken;
            lock (_lock)
            {
                if (_wake.Task.IsCompleted) _wake = NewSignal();
                woken = _wake.Task;
            }
            var pause = options.KeyMaxAge - Age;
            if (_held.IsNone || IsBehind || pause <= TimeSpan.Zero)
            {
                try
                {
                    await RefreshAsync(cancellationToken);
                    backoff.Reset();
                    continue;
                }
                catch (Refusal)
                {
                    // Logged by the fetch. What is held stays; while a change is announced, nothing is decided by it alone.
                    pause = backoff.Next(_held.IsNone ? MostPauseAtFirst : null);
                    woken = NewSignal().Task;       // news does not shorten the pause
                }
                catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
                {
                    return;
                }
            }
            using var alarm = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await Task.WhenAny(woken, Task.Delay(pause, time, alarm.Token));
            await alarm.CancelAsync();
        }
    }

    /// <summary>Under the lock.</summary>
    private Task<HeldKeys> Begin()
    {
        Interlocked.Increment(ref _fetches);
        long asOf = _announced;
        long startedAt = time.GetTimestamp();
        return _underWay = Task.Run(() => FetchAsync(asOf, startedAt));
    }

    // Not cancelled by whoever asked first: others wait for the same keys. The source has its own timeout.
    private async Task<HeldKeys> FetchAsync(long asOf, long startedAt)
    {
        try
        {
            var reading = await source.ReadAsync(CancellationToken.None);
            HeldKeys held;
            lock (_lock)
            {
                // What was announced since the fetch began may be in it all the same.
                if (reading.Epoch == _announcedEpoch && reading.Seq >= _announcedSeq) asOf = _announced;
                _held = held = new HeldKeys(reading.Keys, reading.Epoch, reading.Seq, startedAt, asOf);
            }
            _loaded.TrySetResult();
            Log.KeysFetched(log, reading.Keys.Keys.Count, reading.Seq);
            return held;
        }
        catch (Refusal refusal)
        {
            Log.KeysNotFetched(log, refusal.Reason, refusal.Message);
            throw;
        }
        finally
        {
            lock (_lock) _underWay = null;
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
