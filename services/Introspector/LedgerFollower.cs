using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Ledger.Reading;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// Keeps the live set, the keys and the feed at the ledger's head. A request that must see everything acknowledged before it
/// joins the next read that starts after it arrived; at most one read is under way, so their number does not depend on the
/// request rate (DESIGN "Revocation", 1).
/// </summary>
public sealed class LedgerFollower(
    LedgerReader ledger, RevocationSet live, FeedRing ring, Watches watches, IntrospectorOptions options, Readiness readiness, IntrospectorClock clock, TimeProvider time, ILogger<LedgerFollower> log)
    : BackgroundService, IFeedSource
{
    private const string Condition = "ledger";
    private static readonly TimeSpan SnapshotDeadline = TimeSpan.FromSeconds(60);      // each page of it has a shorter one
    private static readonly TimeSpan DropEvery = TimeSpan.FromMinutes(1);

    // Where one revocation came others follow: for so long after it the pause while somebody watches is that much shorter.
    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(1);
    private const int SoonerInBurst = 5;
    private const int RememberedAtOnce = 4096;
    private readonly Lock _lock = new();
    private ReadWaiters? _underWay;         // locked: whom the read under way answers; null while there is none
    private ReadWaiters? _next;             // locked: those who arrived since it began
    private bool _isReading;                // locked: somebody sees to it that the next read comes
    private volatile bool _loaded;
    private volatile Refusal? _ended;                       // why nothing rests on this ledger any more, until recovery has opened the next epoch
    private int _epochs;                                    // epochs followed since the start
    private SharedRead<RevocationSeq>? _oldest;             // made when first asked for

    // Touched by the one read under way only.
    private Guid _epoch;
    private Seq _seq;
    private long _beat = -1;
    private long _beatMovedAt;
    private RevocationSeq _restoredTo;                      // what the ledger still had when it was found to have lost something
    private List<RevocationEntry> _kept = [];               // revocations that the recovered ledger does not know
    private bool _remembered;                               // what it had lost has been left in it

    private volatile VerificationKeySet _keys = VerificationKeySet.Empty;
    private long _keysSeq;
    private long _movedAt;                                  // when a read last brought revocations
    private long _polls;
    private Reading _latest;                                // locked

    /// <summary>The keys as of the latest read.</summary>
    public VerificationKeySet Keys => _keys;

    /// <summary>Seq of the latest change of a key that is applied.</summary>
    public long KeysSeq => Volatile.Read(ref _keysSeq);

    public TimeSpan Lease => options.Lease;

    /// <summary>Reads of the ledger since the start.</summary>
    public long Polls => Volatile.Read(ref _polls);

    /// <summary>True only in the negative control of L3, which this service's tests must see fail.</summary>
    internal bool JoinsReadUnderWay { get; init; }

    /// <summary>
    /// Set once a number went back, or the ledger needs recovery, or is another one: nothing is answered any more, whatever the
    /// database says later, until recovery has opened an epoch that continues the one followed here.
    /// </summary>
    public Refusal? Ended => _ended;

    /// <summary>Grows with every epoch: what was begun under another number goes on no further.</summary>
    public int Epochs => Volatile.Read(ref _epochs);

    /// <summary>The latest read; its revision is applied. Default when there is none to rest on.</summary>
    public Reading Latest
    {
        get { lock (_lock) return _latest; }
    }

    /// <summary>The head of the ledger as of a moment after this call, applied.</summary>
    /// <exception cref="Refusal">NOT_READY; LEDGER_UNAVAILABLE; LEDGER_EPOCH_MISMATCH; LEDGER_NEEDS_RECOVERY.</exception>
    public Task<Reading> ReadIndexAsync(CancellationToken cancellationToken) => JoinNextRead().WaitAsync(cancellationToken);

    /// <summary>
    /// The same for who does not leave earlier: it ends within the deadlines of two reads, whatever happens, and costs less.
    /// </summary>
    /// <exception cref="Refusal">As of <see cref="ReadIndexAsync"/>.</exception>
    public Task<Reading> JoinNextRead()
    {
        if (!_loaded) throw _ended ?? new Refusal(Reason.NotReady, "The revocations are still being loaded; try again in a moment.");
        Task<Reading> answer;
        bool begins;
        lock (_lock)
        {
            answer = JoinsReadUnderWay && _underWay is not null ? _underWay.Join() : (_next ??= new ReadWaiters()).Join();
            (begins, _isReading) = (!_isReading, true);
        }
        if (begins) _ = ReadWhileAskedAsync();
        return answer;
    }

    /// <summary>What a watcher is given whom the ring does not reach: rows of the epoch that is followed.</summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE; LEDGER_EPOCH_MISMATCH.</exception>
    public async Task<IReadOnlyList<Revocation>> ReadBacklogAsync(RevocationSeq after, CancellationToken cancellationToken)
    {
        var poll = await AskAsync(deadline => ledger.PollAsync(after, deadline), options.PollDeadline, cancellationToken);
        RequirePrimary(poll);
        return poll.Revision.Epoch == _epoch ? [.. poll.Rows.Select(Mapping.ToRevocation)] : throw new Refusal(Reason.LedgerEpochMismatch);
    }

    /// <summary>The oldest row a watcher can still be given; head + 1 when there is none.</summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE.</exception>
    public Task<RevocationSeq> ReadOldestAsync(CancellationToken cancellationToken)
    {
        // Followers that lost their stream come back all together.
        var shared = _oldest ?? Interlocked.CompareExchange(ref _oldest, new SharedRead<RevocationSeq>(() => AskAsync(ledger.ReadOldestAsync, options.PollDeadline, CancellationToken.None)), null) ?? _oldest;
        return shared.JoinAsync().WaitAsync(cancellationToken);
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
                else if (_ended is not null) await LoadNextEpochAsync(stoppingToken);
                await ReadIndexAsync(stoppingToken);
                if (away) Log.LedgerBack(log);
                away = false;
                readiness.SetReady(Condition);
                if (time.GetElapsedTime(dropAt) > DropEvery)
                {
                    live.DropExpired(clock.UtcNow);
                    dropAt = time.GetTimestamp();
                }
            }
            catch (Exception e) when (e is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
            {
                readiness.SetNotReady(Condition, e switch
                {
                    Refusal refusal => refusal.Sentence ?? ReasonCatalog.Of(refusal.Reason).Sentence,
                    InvalidOperationException => e.Message,
                    _ => "the ledger database cannot be reached",
                });
                if (!away) Log.LedgerAway(log, (e.InnerException ?? e).Message);
                away = true;
            }
            catch (OperationCanceledException)
            {
                return;
            }
            var pause = away || watches.Counted == 0 ? options.IdlePause
                : time.GetElapsedTime(Volatile.Read(ref _movedAt)) < Burst ? options.WatchPause / SoonerInBurst : options.WatchPause;
            await Task.Delay(pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        await ledger.RequireCurrentAsync(cancellationToken);
        var fresh = new RevocationSet();
        var snapshot = await ledger.ReadSnapshotAsync(fresh.Apply, cancellationToken);
        if (snapshot.Unsound is { } why) throw _ended = new Refusal(Reason.LedgerNeedsRecovery, inner: new InvalidOperationException(why));
        live.Become(fresh);
        ring.Begin(snapshot.Revision.RevocationSeq);
        TakeKeys(snapshot.Keys);
        (_epoch, _seq) = (snapshot.Revision.Epoch, snapshot.Revision.Seq);
        _ended = null;
        _loaded = true;
        Log.Loaded(log, live.Count, snapshot.Revision.Epoch, snapshot.Revision.Seq);
    }

    /// <summary>
    /// After recovery: begins anew with the epoch that continues the one followed so far. Reads are refused until this is done, so
    /// nothing else touches what it sets. Whatever was dead stays dead here, also where the recovered ledger does not know it.
    /// </summary>
    private async Task LoadNextEpochAsync(CancellationToken cancellationToken)
    {
        var rows = new List<RevocationEntry>();
        var snapshot = await ledger.ReadSnapshotAsync(rows.Add, cancellationToken);
        if (snapshot.Unsound is not null || snapshot.Revision.Epoch == _epoch)
        {
            if (!_remembered) await RememberAsync(snapshot.Revision, cancellationToken);
            return;
        }
        if (!await ledger.ContinuesAsync(_epoch, cancellationToken)) return;        // another ledger's

        var known = rows.Where(e => e.TokenHash is not null).Select(e => e.TokenHash!.Value).ToHashSet();
        var knownJtis = rows.Where(e => e.Jti is not null).Select(e => e.Jti!).ToHashSet(StringComparer.Ordinal);
        var groups = rows.Where(e => e.Group is not null).ToDictionary(e => e.Group!.Value);
        // What it lost now, and what it had lost before an earlier recovery: the feed has passed the number that was given to that.
        _kept = live.ReadAll().Where(e => e.RevocationSeq > _restoredTo)
            .Concat(_kept.Where(e => e.RevocationSeq <= _restoredTo))
            .Where(e => e.Group is { } group
                ? !groups.TryGetValue(group, out var now) || DeniesMore(e, now)
                : !(e.TokenHash is { } hash && known.Contains(hash)) && !(e.Jti is { } jti && knownJtis.Contains(jti)) && (e.ExpiresAt is not { } end || end > clock.UtcNow))
            .Select(e => e with { RevocationSeq = snapshot.Revision.RevocationSeq, Seq = snapshot.Revision.Seq })
            .ToList();
        if (_kept.Count > 0) Log.Kept(log, _kept.Count);
        Interlocked.Increment(ref _epochs);                 // before anything of the new epoch can be seen
        live.Replace(rows.Concat(_kept));
        ring.Begin(snapshot.Revision.RevocationSeq);
        TakeKeys(snapshot.Keys);
        (_epoch, _seq, _beat, _remembered, _restoredTo) = (snapshot.Revision.Epoch, snapshot.Revision.Seq, -1, false, default);
        Log.Loaded(log, live.Count, snapshot.Revision.Epoch, snapshot.Revision.Seq);
        _ended = null;
        ring.Nudge();

        // A block that is not known any more, unless it was lifted since; a cut that is not known any more.
        static bool DeniesMore(RevocationEntry former, RevocationEntry now) =>
            !now.Blocked && ((former.Blocked && now.Cut < former.RevokedAt.ToUnixTimeSeconds()) || former.Cut > now.Cut);
    }

    /// <summary>Leaves what the ledger has lost, and is still known here, for recovery to find.</summary>
    private async Task RememberAsync(Revision restored, CancellationToken cancellationToken)
    {
        if (restored.Epoch != _epoch) return;
        await ledger.ReportLossAsync(new Revision(_epoch, _seq, ring.Head), _beat, cancellationToken);
        _restoredTo = restored.RevocationSeq < ring.Head ? restored.RevocationSeq : ring.Head;
        // What was kept through a recovery, and still stands, has a number that is another's in the ledger: it is told without one.
        var kept = _kept.Select(NameOf).ToHashSet();
        foreach (var some in live.ReadAll().Select(e => kept.Contains(NameOf(e)) ? e with { RevocationSeq = default } : e).Where(e => e.RevocationSeq == default || e.RevocationSeq > _restoredTo).Chunk(RememberedAtOnce))
            await ledger.RememberAsync(_epoch, some, cancellationToken);
        _remembered = true;

        static (RevocationSeq, TokenHash?, string?, GroupKey?) NameOf(RevocationEntry entry) => (entry.RevocationSeq, entry.TokenHash, entry.Jti, entry.Group);
    }

    private async Task ReadWhileAskedAsync()
    {
        while (true)
        {
            ReadWaiters asked;
            lock (_lock)
            {
                if (_next is null)
                {
                    _isReading = false;
                    return;
                }
                (asked, _underWay, _next) = (_next, _next, null);
            }
            Reading reading = default;
            Exception? failure = null;
            try
            {
                reading = await ReadAsync();
            }
            catch (Exception e)
            {
                failure = e;
            }
            lock (_lock) _underWay = null;          // before the answers: nobody joins what is answered
            if (failure is null) asked.Answer(reading);
            else asked.Fail(failure);
            await Task.Yield();     // behind the answers: under load the next read answers those too who ask again now, so fewer are needed
        }
    }

    /// <summary>One read: rows up to the head are applied, keys too, before anybody is answered.</summary>
    private async Task<Reading> ReadAsync()
    {
        if (_ended is { } ended) throw ended;
        long startedAt = time.GetTimestamp();
        Interlocked.Increment(ref _polls);
        if (clock.HasJumpedBack) await RebuildAsync();
        if (_beat < 0 || time.GetElapsedTime(_beatMovedAt) > options.PollDeadline) await AskAsync(ledger.AdvanceBeatAsync);

        LedgerPoll poll;
        do
        {
            poll = await AskAsync(deadline => ledger.PollAsync(ring.Head, deadline));
            RequireSound(poll);
            foreach (var row in poll.Rows) live.Apply(row.ToEntry());
            if (poll.Rows.Count == 0) continue;
            ring.Append([.. poll.Rows.Select(Mapping.ToRevocation)]);
            Volatile.Write(ref _movedAt, time.GetTimestamp());
        }
        while (ring.Head < poll.Revision.RevocationSeq);

        if (poll.KeysSeq != KeysSeq)
        {
            TakeKeys(await AskAsync(ledger.ReadKeysAsync));
            ring.Nudge();
        }
        var reading = new Reading(poll.Revision, startedAt);
        lock (_lock) _latest = reading;
        return reading;

        Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> ask) => this.AskAsync(ask, options.PollDeadline - time.GetElapsedTime(startedAt), CancellationToken.None);
    }

    /// <summary>
    /// What was forgotten by a clock that stood ahead may be needed by the one that is right: everything anew. The set is then at least
    /// where the feed is, and rows that come again change nothing. Reads wait for it; nothing is answered from a set with holes.
    /// </summary>
    private async Task RebuildAsync()
    {
        var fresh = new RevocationSet();
        var snapshot = await AskAsync(deadline => ledger.ReadSnapshotAsync(fresh.Apply, deadline), SnapshotDeadline, CancellationToken.None);
        if (snapshot.Revision.Epoch != _epoch) throw End(Reason.LedgerEpochMismatch);
        if (snapshot.Unsound is not null) throw End(Reason.LedgerNeedsRecovery);
        foreach (var entry in _kept) fresh.Apply(entry);
        live.Become(fresh);
        clock.FollowWallClock();
        Log.ClockSetBack(log, live.Count, snapshot.Revision.RevocationSeq);
    }

    /// <summary>
    /// Asks the database, which has so long to answer. The wait ends then whatever the driver does: it first tries to have the
    /// query cancelled, over another connection to the same silent server, before it drops this one.
    /// </summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE: it failed, or did not answer in time.</exception>
    private async Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> ask, TimeSpan within, CancellationToken cancellationToken)
    {
        if (within <= TimeSpan.Zero) throw new Refusal(Reason.LedgerUnavailable);
        var deadline = new CancellationTokenSource(within, time);
        var answer = ask(deadline.Token);
        _ = answer.ContinueWith(
            (ended, source) =>
            {
                _ = ended.Exception;            // told below, or nobody waits any more
                ((CancellationTokenSource)source!).Dispose();
            },
            deadline, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        try
        {
            return await answer.WaitAsync(within, time, cancellationToken);
        }
        catch (Exception e)
        {
            // All of them: the driver also throws what is no NpgsqlException, and a read that failed is never more than that.
            cancellationToken.ThrowIfCancellationRequested();
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    /// <summary>A standby, a primary that cannot write any more, another epoch, a number that went back, a hole: no answer rests on those.</summary>
    private void RequireSound(LedgerPoll poll)
    {
        RequirePrimary(poll);
        if (poll.Revision.Epoch != _epoch) throw End(Reason.LedgerEpochMismatch);
        if (poll.Unsound is not null) throw End(Reason.LedgerNeedsRecovery);
        if (poll.Revision.Seq < _seq || poll.Revision.RevocationSeq < ring.Head || poll.Beat < _beat) throw End(Reason.LedgerNeedsRecovery);
        _seq = poll.Revision.Seq;
        if (poll.Beat != _beat) (_beat, _beatMovedAt) = (poll.Beat, time.GetTimestamp());
        else if (time.GetElapsedTime(_beatMovedAt) > options.MostSilence)
            throw new Refusal(Reason.LedgerUnavailable, "The primary's beat stands still: it cannot be written to, so it may not be the primary any more.");
        if (poll.Revision.RevocationSeq > ring.Head && (poll.Rows.Count == 0 || poll.Rows[0].RevocationSeq.Value != ring.Head.Value + 1) && !ring.PassesOverGaps)
            throw new Refusal(Reason.LedgerUnavailable, "Revocations left the ledger before this process had read them: restart it, so that it begins with a snapshot.");
    }

    private static void RequirePrimary(LedgerPoll poll)
    {
        if (poll.InRecovery) throw new Refusal(Reason.LedgerUnavailable, "The database is a standby; only the primary knows what is revoked.");
    }

    /// <summary>Stops answering until recovery. Watchers are woken, so that they learn it too.</summary>
    private Refusal End(Reason reason)
    {
        var ended = new Refusal(reason);
        _ended = ended;
        lock (_lock) _latest = default;
        Log.LedgerEnded(log, reason, _epoch, _seq);
        ring.Nudge();
        return ended;
    }

    private void TakeKeys(IReadOnlyList<KeyRow> rows)
    {
        _keys = new KeyStates(rows.Select(r => r.Key)).ToVerificationKeys();
        Volatile.Write(ref _keysSeq, rows.Count == 0 ? 0 : rows.Max(r => r.Seq.Value));
    }
}
