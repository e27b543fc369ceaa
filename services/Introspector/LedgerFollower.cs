using ClawBureau.Hosting.Health;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Introspector;

/// <summary>What an answer rests on: a revision whose every revocation is applied, and when its read began.</summary>
public readonly record struct Reading(Revision Revision, long StartedAt);

/// <summary>
/// Keeps the live set, the keys and the feed at the ledger's head. A request that must see everything acknowledged before it
/// joins the next read that starts after it arrived; at most one read is under way, so their number does not depend on the
/// request rate (DESIGN "Revocation", 1).
/// </summary>
public sealed class LedgerFollower(
    LedgerReader ledger, LiveSet live, FeedRing ring, IntrospectorOptions options, Readiness readiness, TimeProvider time, ILogger<LedgerFollower> log)
    : BackgroundService
{
    private const string Condition = "ledger";
    private static readonly TimeSpan DropEvery = TimeSpan.FromMinutes(1);
    private readonly Lock _lock = new();
    private TaskCompletionSource<Reading>? _next;           // locked: what those wait for who arrived since the last read began
    private bool _reading;                                  // locked: a read is under way
    private volatile bool _loaded;
    private int _watchers;

    // Touched by the one read under way only.
    private Guid _epoch;
    private Seq _seq;
    private long _beat = -1;
    private long _beatMovedAt;

    private volatile VerificationKeySet _keys = VerificationKeySet.Empty;
    private long _keysSeq;
    private long _polls;
    private Reading _latest;                                // locked

    /// <summary>The keys as of the latest read.</summary>
    public VerificationKeySet Keys => _keys;

    /// <summary>Seq of the latest change of a key that is applied.</summary>
    public long KeysSeq => Volatile.Read(ref _keysSeq);

    /// <summary>Reads of the ledger since the start.</summary>
    public long Polls => Volatile.Read(ref _polls);

    /// <summary>The latest read; its revision is applied.</summary>
    public Reading Latest
    {
        get { lock (_lock) return _latest; }
    }

    /// <summary>The head of the ledger as of a moment after this call, applied.</summary>
    /// <exception cref="Refusal">NOT_READY; LEDGER_UNAVAILABLE; LEDGER_EPOCH_MISMATCH; LEDGER_NEEDS_RECOVERY.</exception>
    public Task<Reading> ReadIndexAsync(CancellationToken cancellationToken)
    {
        if (!_loaded) throw new Refusal(Reason.NotReady, "The revocations are still being loaded; try again in a moment.");
        Task<Reading> answer;
        lock (_lock)
        {
            _next ??= new TaskCompletionSource<Reading>(TaskCreationOptions.RunContinuationsAsynchronously);
            answer = _next.Task;
            if (!_reading)
            {
                _reading = true;
                _ = ReadWhileAskedAsync();
            }
        }
        return answer.WaitAsync(cancellationToken);
    }

    /// <summary>While any watcher is counted, the ledger is read every few milliseconds.</summary>
    public IDisposable CountWatcher()
    {
        if (Interlocked.Increment(ref _watchers) > options.MostSubscribers)
        {
            Interlocked.Decrement(ref _watchers);
            throw new Refusal(Reason.SubscriberLimitReached);
        }
        return new Watcher(this);
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        readiness.SetNotReady(Condition, "loading revocations");
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        bool away = false;
        long dropAt = time.GetTimestamp();
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (!_loaded) await LoadAsync(stoppingToken);
                await ReadIndexAsync(stoppingToken);
                if (away) Log.LedgerBack(log);
                away = false;
                readiness.SetReady(Condition);
                if (time.GetElapsedTime(dropAt) > DropEvery)
                {
                    live.DropExpired(time.GetUtcNow());
                    dropAt = time.GetTimestamp();
                }
            }
            catch (Exception e) when (e is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
            {
                readiness.SetNotReady(Condition, e is Refusal or InvalidOperationException ? e.Message : "the ledger database cannot be reached");
                if (!away) Log.LedgerAway(log, e.Message);
                away = true;
            }
            catch (OperationCanceledException)
            {
                return;
            }
            var pause = Volatile.Read(ref _watchers) > 0 && !away ? options.WatchPause : options.IdlePause;
            await Task.Delay(pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        await ledger.RequireCurrentAsync(cancellationToken);
        var snapshot = await ledger.ReadSnapshotAsync(cancellationToken);
        foreach (var row in snapshot.Rows) live.Apply(row);
        ring.Begin(snapshot.Revision.RevocationSeq);
        TakeKeys(snapshot.Keys);
        (_epoch, _seq) = (snapshot.Revision.Epoch, snapshot.Revision.Seq);
        _loaded = true;
        Log.Loaded(log, live.Count, snapshot.Revision.Epoch, snapshot.Revision.Seq);
    }

    private async Task ReadWhileAskedAsync()
    {
        while (true)
        {
            TaskCompletionSource<Reading> asked;
            lock (_lock)
            {
                if (_next is null)
                {
                    _reading = false;
                    return;
                }
                (asked, _next) = (_next, null);
            }
            try
            {
                asked.SetResult(await ReadAsync());
            }
            catch (Exception e)
            {
                asked.SetException(e is Refusal ? e : e is NpgsqlException or TimeoutException or OperationCanceledException
                    ? new Refusal(Reason.LedgerUnavailable, inner: e)
                    : e);
                _ = asked.Task.Exception;       // nobody may be waiting any more
            }
        }
    }

    /// <summary>One read: rows up to the head are applied, keys too, before anybody is answered.</summary>
    private async Task<Reading> ReadAsync()
    {
        using var deadline = new CancellationTokenSource(options.PollDeadline, time);
        long startedAt = time.GetTimestamp();
        Interlocked.Increment(ref _polls);
        if (_beat < 0 || time.GetElapsedTime(_beatMovedAt) > options.PollDeadline) await ledger.AdvanceBeatAsync(deadline.Token);

        LedgerPoll poll;
        do
        {
            poll = await ledger.PollAsync(ring.Head, deadline.Token);
            RequireSound(poll);
            foreach (var row in poll.Rows) live.Apply(row);
            if (poll.Rows.Count > 0) ring.Append(poll.Rows);
        }
        while (ring.Head < poll.Revision.RevocationSeq);

        if (poll.KeysSeq != KeysSeq)
        {
            TakeKeys(await ledger.ReadKeysAsync(deadline.Token));
            ring.Nudge();
        }
        var reading = new Reading(poll.Revision, startedAt);
        lock (_lock) _latest = reading;
        return reading;
    }

    /// <summary>A standby, a primary that cannot write any more, another epoch, a number that went back: no answer rests on those.</summary>
    private void RequireSound(LedgerPoll poll)
    {
        if (poll.InRecovery) throw new Refusal(Reason.LedgerUnavailable, "The database is a standby; only the primary knows what is revoked.");
        if (poll.Revision.Epoch != _epoch) throw new Refusal(Reason.LedgerEpochMismatch);
        if (poll.Revision.Seq < _seq || poll.Revision.RevocationSeq < ring.Head) throw new Refusal(Reason.LedgerNeedsRecovery);
        _seq = poll.Revision.Seq;
        if (poll.Beat != _beat) (_beat, _beatMovedAt) = (poll.Beat, time.GetTimestamp());
        else if (time.GetElapsedTime(_beatMovedAt) > options.MostSilence)
            throw new Refusal(Reason.LedgerUnavailable, "The primary's beat stands still: it cannot be written to, so it may not be the primary any more.");
    }

    private void TakeKeys(IReadOnlyList<KeyRow> rows)
    {
        _keys = VerificationKeySet.From(rows.Select(r => (r.KeyId, r.PublicKey, r.State, r.NotAfter, r.IsForeign)));
        Volatile.Write(ref _keysSeq, rows.Count == 0 ? 0 : rows.Max(r => r.Seq.Value));
    }

    private sealed class Watcher(LedgerFollower follower) : IDisposable
    {
        private int _disposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0) Interlocked.Decrement(ref follower._watchers);
        }
    }
}
