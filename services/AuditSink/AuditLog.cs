using ClawBureau.Hosting.Health;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.AuditSink;

/// <summary>
/// The one append path. The life of an event:
/// 1. its run is checked and hashed before it is queued (<see cref="EventRun"/>);
/// 2. the loop takes whatever arrived while the last batch committed, at most one run of a source; no timer;
/// 3. each run is judged by its source's cursor: appended, cut down to what is new, passed over, or refused;
/// 4. the tree's edge is extended in memory, and everything goes out in one write and one transaction, in which head and cursors
///    move from exactly what was built on (<see cref="AppendBatch"/>): several replicas may try, one of them succeeds;
/// 5. after the commit the callers are answered. Where that failed, or its answer was lost, what is stored is read again and
///    the same runs are judged again: their cursors tell what became of them.
/// </summary>
public sealed class AuditLog : BackgroundService
{
    private const string Condition = "audit";
    private const long RoomAhead = 1 << 23;             // half a partition
    private const int MostCursors = 10_000;
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);
    private readonly AuditDatabase _database;
    private readonly LookupIndex _lookup;
    private readonly AuditSinkOptions _options;
    private readonly Readiness _readiness;
    private readonly TimeProvider _time;
    private readonly ILogger<AuditLog> _log;
    private readonly LinkedList<PendingRun> _queue = new();     // locked by itself, with the two counters and _stopped
    private long _queuedBytes;
    private int _queuedEvents;
    private bool _stopped;
    private readonly SemaphoreSlim _arrived = new(0, 1);

    // Owned by the loop.
    private NpgsqlConnection? _connection;
    private TreeEdge? _edge;                                    // null: to be read
    private readonly Dictionary<(string Source, Guid Epoch), SourceCursor> _cursors = [];
    private long _room;
    private bool _away;

    public AuditLog(AuditDatabase database, LookupIndex lookup, AuditSinkOptions options, Readiness readiness, TimeProvider time, ILogger<AuditLog> log) =>
        (_database, _lookup, _options, _readiness, _time, _log) = (database, lookup, options, readiness, time, log);

    /// <summary>Batches committed since the start.</summary>
    public long Commits { get; private set; }

    /// <summary>Puts a run into the log and answers after commit.</summary>
    /// <param name="cancellationToken">Ends the wait, never the append.</param>
    /// <exception cref="Refusal">AUDIT_OVERLOADED, AUDIT_UNAVAILABLE, AUDIT_SOURCE_GAP, AUDIT_SOURCE_EPOCH_MISMATCH, AUDIT_EVENT_CONFLICT.</exception>
    internal Task<Appended> AppendAsync(EventRun run, CancellationToken cancellationToken)
    {
        var pending = new PendingRun(run);
        lock (_queue)
        {
            if (_stopped) throw new Refusal(Reason.AuditUnavailable);
            bool full = _queuedEvents + run.Events.Count > _options.QueueEvents || _queuedBytes + run.Bytes > _options.QueueBytes;
            if (full) throw new Refusal(Reason.AuditOverloaded);
            _queue.AddLast(pending);
            _queuedEvents += run.Events.Count;
            _queuedBytes += run.Bytes;
        }
        Wake();
        return pending.Answer.WaitAsync(cancellationToken);
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        _readiness.SetNotReady(Condition, "connecting to the audit log's database");
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                var batch = Take();
                if (batch.Count > 0) await WriteAsync(batch);
                else if (stoppingToken.IsCancellationRequested) break;      // drained: what was accepted was written
                else
                {
                    if (_edge is null || _away) await TryLoadAsync();
                    await WaitForWorkAsync(_edge is null || _away ? LookEvery : LookEvery * 5, stoppingToken);
                    if (_edge is not null && !_away) await LookAsync();
                }
            }
        }
        finally
        {
            RefuseTheRest();
            await DropConnectionAsync();
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        RefuseTheRest();
    }

    private List<PendingRun> Take()
    {
        var batch = new List<PendingRun>();
        var sources = new HashSet<string>(StringComparer.Ordinal);
        int events = 0;
        long bytes = 0;
        lock (_queue)
        {
            for (var node = _queue.First; node is not null;)
            {
                var next = node.Next;
                var run = node.Value.Run;
                // A source's second run is judged by what its first one leaves: in the next batch, and nothing overtakes it.
                if (sources.Add(run.Source) && (batch.Count == 0 || (events + run.Events.Count <= _options.BatchEvents && bytes + run.Bytes <= _options.BatchBytes)))
                {
                    batch.Add(node.Value);
                    _queue.Remove(node);
                    events += run.Events.Count;
                    bytes += run.Bytes;
                }
                node = next;
            }
            _queuedEvents -= events;
            _queuedBytes -= bytes;
        }
        return batch;
    }

    /// <summary>Writes runs and answers each of them, whatever happens.</summary>
    private async Task WriteAsync(IReadOnlyList<PendingRun> runs)
    {
        long started = _time.GetTimestamp();
        AppendBatch? lost = null;               // sent, and not known to be committed
        while (true)
        {
            try
            {
                await LoadAsync();
                if (lost is not null && lost.Became(_edge!))
                {
                    Confirm(lost);              // its commit had happened; only the answer was lost
                    runs = [.. runs.Where(r => !r.IsAnswered)];
                }
                lost = null;
                var batch = new AppendBatch(_edge!);
                foreach (var pending in runs.Where(r => !r.IsAnswered)) await JudgeAsync(pending, batch);
                if (batch.IsEmpty) return;
                using var deadline = new CancellationTokenSource(_options.BatchTimeout);
                lost = batch;
                await batch.ExecuteAsync(_connection!, deadline.Token);
                Confirm(batch);
                return;
            }
            catch (PostgresException fenced) when (fenced.SqlState == "40001" && _connection?.State == System.Data.ConnectionState.Open)
            {
                // Another replica appended first. Nothing of ours was written; what it wrote is read, and the runs are judged anew.
                Log.Fenced(_log, fenced.MessageText);
                lost = null;
                Forget();
            }
            catch (CursorMoved)
            {
                Forget();
            }
            catch (Exception e) when (e is not InvalidDataException)
            {
                Log.AuditAway(_log, e.Message);
                _away = true;
                await DropConnectionAsync();
                Forget();
                if (_time.GetElapsedTime(started) > _options.RetryWithin)
                {
                    RefuseAll(runs, new Refusal(Reason.AuditUnavailable, inner: e));
                    return;
                }
                await Task.Delay(TimeSpan.FromMilliseconds(50), _time);
            }
            catch (InvalidDataException corrupt)
            {
                Log.Corrupt(_log, corrupt.Message);
                _readiness.SetNotReady(Condition, corrupt.Message);
                RefuseAll(runs, new Refusal(Reason.AuditUnavailable, "The audit log's stored tree does not fit together; an operator has to look at it", inner: corrupt));
                Forget();
                return;
            }
        }
    }

    /// <summary>Says of one run what becomes of it: into the batch, or answered at once.</summary>
    private async Task JudgeAsync(PendingRun pending, AppendBatch batch)
    {
        var run = pending.Run;
        var cursor = await FindCursorAsync(run.Source, run.Epoch);
        // A refusal never rests on what was read before: another replica may have moved on.
        if (cursor is null || cursor.Closed || run.FirstSeq > cursor.LastSeq + 1) cursor = await ReadCursorAsync(run.Source, run.Epoch);
        long last = cursor?.LastSeq ?? 0;
        Continuation? continues = null;
        if (cursor is { Closed: true })
        {
            pending.Refuse(new Refusal(Reason.AuditSourceEpochMismatch, "The source's epoch was continued by another one"));
            return;
        }
        if (cursor is null && run.Source == SourceName.Ledger)
        {
            // The ledger has one epoch at a time. A recovered one says which it continues, and its numbers go on from there.
            var open = await FindOpenEpochAsync();
            if (open?.Epoch == run.Epoch) throw new CursorMoved();
            if (open is { } former && (run.Continues is not { } stated || stated.Epoch != former.Epoch))
            {
                pending.Refuse(new Refusal(Reason.AuditSourceEpochMismatch, metadata: new Dictionary<string, string> { ["epoch"] = former.Epoch.ToString() }));
                return;
            }
            if (open is { } before && run.Continues!.LastSeq > before.LastSeq)
            {
                pending.Refuse(Gap(before.LastSeq + 1));        // events of the former epoch are still to come
                return;
            }
            if (open is null && run.Continues is { LastSeq: > 0 })
            {
                pending.Refuse(new Refusal(Reason.AuditSourceEpochMismatch, "The log has no epoch that this one could continue"));
                return;
            }
            continues = open is null ? null : run.Continues;
            last = continues?.LastSeq ?? 0;
        }
        if (run.FirstSeq > last + 1)
        {
            pending.Refuse(Gap(last + 1));
            return;
        }
        int present = (int)Math.Min(last - run.FirstSeq + 1, run.Events.Count);
        if (cursor is null && present > 0)                      // numbers before the continued epoch's end are that epoch's
        {
            pending.Refuse(new Refusal(Reason.AuditEventConflict));
            return;
        }
        if (present > 0 && await ConflictsAsync(run, present))
        {
            Log.Conflict(_log, run.Source, run.Epoch, run.FirstSeq, run.FirstSeq + present - 1);
            pending.Refuse(new Refusal(Reason.AuditEventConflict));
            return;
        }
        if (present == run.Events.Count) pending.Confirm(new Appended(last, present, _edge!.Size));
        else batch.Add(pending, present, cursor?.LastSeq, continues);

        static Refusal Gap(long expected) => new(Reason.AuditSourceGap, metadata: new Dictionary<string, string> { ["expected_seq"] = $"{expected}" });
    }

    private void Confirm(AppendBatch batch)
    {
        Commits++;
        _edge = batch.Edge;
        if (_cursors.Count > MostCursors) _cursors.Clear();
        foreach (var part in batch.Parts)
        {
            _cursors[(part.Run.Source, part.Run.Epoch)] = new SourceCursor(part.Run.LastSeq, Closed: false);
            if (part.Continues is { } former) _cursors.Remove((part.Run.Source, former.Epoch));
            part.Pending.Confirm(new Appended(part.Run.LastSeq, part.Present, batch.Edge.Size));
        }
        _lookup.Wake();
    }

    /// <summary>True when one of the first events of a run is not what is stored under its number.</summary>
    private async Task<bool> ConflictsAsync(EventRun run, int present)
    {
        await using var command = new NpgsqlCommand("""
            SELECT r.first_seq, r.n, r.leaf_hashes, p.salts FROM audit.runs r JOIN audit.payloads p USING (first_index)
             WHERE r.source = $1 AND r.epoch = $2 AND r.first_seq <= $4
               AND r.first_seq >= coalesce((SELECT max(first_seq) FROM audit.runs WHERE source = $1 AND epoch = $2 AND first_seq <= $3), $3)
             ORDER BY r.first_seq
            """, _connection)
        {
            Parameters = { new() { Value = run.Source }, new() { Value = run.Epoch }, new() { Value = run.FirstSeq }, new() { Value = run.FirstSeq + present - 1 } },
        };
        await using var reader = await command.ExecuteReaderAsync();
        int compared = 0;
        while (await reader.ReadAsync())
        {
            long first = reader.GetInt64(0);
            var hashes = reader.GetFieldValue<byte[]>(2);
            var salts = reader.GetFieldValue<byte[]>(3);
            for (int i = (int)Math.Max(0, run.FirstSeq - first); i < reader.GetInt32(1); i++)
            {
                int at = (int)(first + i - run.FirstSeq);
                if (at >= present) break;
                var leaf = run.LeafHashUnder(salts.AsSpan(Leaf.SaltLength * i, Leaf.SaltLength), at);
                if (!leaf.AsSpan().SequenceEqual(hashes.AsSpan(MerkleHash.Length * i, MerkleHash.Length))) return true;
                compared++;
            }
        }
        if (compared != present) throw new InvalidDataException($"the audit log's cursor of {run.Source} is beyond its events");
        return false;
    }

    private async Task<SourceCursor?> FindCursorAsync(string source, Guid epoch)
    {
        return _cursors.TryGetValue((source, epoch), out var known) ? known : await ReadCursorAsync(source, epoch);
    }

    private async Task<SourceCursor?> ReadCursorAsync(string source, Guid epoch)
    {
        await using var command = new NpgsqlCommand("SELECT last_seq, closed FROM audit.cursors WHERE source = $1 AND epoch = $2", _connection)
        { Parameters = { new() { Value = source }, new() { Value = epoch } } };
        await using var reader = await command.ExecuteReaderAsync();
        var cursor = await reader.ReadAsync() ? new SourceCursor(reader.GetInt64(0), reader.GetBoolean(1)) : null;
        if (cursor is not null) _cursors[(source, epoch)] = cursor;
        return cursor;
    }

    private async Task<(Guid Epoch, long LastSeq)?> FindOpenEpochAsync()
    {
        await using var command = new NpgsqlCommand("SELECT epoch, last_seq FROM audit.cursors WHERE source = 'ledger' AND NOT closed", _connection);
        await using var reader = await command.ExecuteReaderAsync();
        return await reader.ReadAsync() ? (reader.GetGuid(0), reader.GetInt64(1)) : null;
    }

    private async Task TryLoadAsync()
    {
        try
        {
            await LoadAsync();
        }
        catch (InvalidDataException corrupt)
        {
            Log.Corrupt(_log, corrupt.Message);
            _readiness.SetNotReady(Condition, corrupt.Message);
        }
        catch (Exception e)
        {
            _readiness.SetNotReady(Condition, e is InvalidOperationException ? e.Message : "the audit log's database cannot be reached");
            if (!_away) Log.AuditAway(_log, e.Message);
            _away = true;
            await DropConnectionAsync();
        }
    }

    /// <summary>Idle: is the database still there?</summary>
    private async Task LookAsync()
    {
        try
        {
            await using var command = new NpgsqlCommand("SELECT 1", _connection);
            await command.ExecuteScalarAsync();
        }
        catch (Exception e)
        {
            _readiness.SetNotReady(Condition, "the audit log's database cannot be reached");
            Log.AuditAway(_log, e.Message);
            _away = true;
            await DropConnectionAsync();
        }
    }

    /// <summary>A connection, the tree's edge, and room for what comes.</summary>
    private async Task LoadAsync()
    {
        if (_connection is null)
        {
            await _database.RequireSchemaAsync(CancellationToken.None);
            using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(2));
            _connection = await _database.Writing.OpenConnectionAsync(deadline.Token);
        }
        if (_edge is null)
        {
            _edge = await StoredTree.ReadEdgeAsync(_connection, CancellationToken.None);
            Log.Loaded(_log, _edge.Size);
        }
        if (_edge.Size + RoomAhead > _room)
        {
            await using var extend = new NpgsqlCommand("SELECT audit.extend($1)", _connection) { Parameters = { new() { Value = _edge.Size + 2 * RoomAhead } } };
            await extend.ExecuteNonQueryAsync();
            _room = _edge.Size + 2 * RoomAhead;
        }
        if (_away) Log.AuditBack(_log);
        _away = false;
        _readiness.SetReady(Condition);
    }

    private void Forget()
    {
        _edge = null;
        _cursors.Clear();
    }

    private async Task WaitForWorkAsync(TimeSpan most, CancellationToken stoppingToken)
    {
        try
        {
            await _arrived.WaitAsync(most, stoppingToken);
        }
        catch (OperationCanceledException)
        {
            // The loop drains the queue once more and ends.
        }
    }

    private void Wake()
    {
        try
        {
            _arrived.Release();
        }
        catch (SemaphoreFullException)
        {
            // The loop is already due to look.
        }
    }

    private void RefuseTheRest()
    {
        lock (_queue)
        {
            _stopped = true;
            RefuseAll(_queue, new Refusal(Reason.AuditUnavailable));
            _queue.Clear();
        }
    }

    private static void RefuseAll(IEnumerable<PendingRun> runs, Exception why)
    {
        foreach (var run in runs) run.Refuse(why);
    }

    private async Task DropConnectionAsync()
    {
        if (_connection is null) return;
        NpgsqlConnection.ClearPool(_connection);
        await _connection.DisposeAsync();
        _connection = null;
    }

    public override void Dispose()
    {
        _arrived.Dispose();
        base.Dispose();
    }

    private sealed record SourceCursor(long LastSeq, bool Closed);

    /// <summary>Another replica wrote between two reads: judge again.</summary>
    private sealed class CursorMoved : Exception;
}

/// <summary>A run in the queue and the answer somebody waits for; the first one given counts.</summary>
internal sealed class PendingRun(EventRun run)
{
    private readonly TaskCompletionSource<Appended> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public EventRun Run { get; } = run;
    public Task<Appended> Answer => _answer.Task;
    public bool IsAnswered => _answer.Task.IsCompleted;

    public void Confirm(Appended appended) => _answer.TrySetResult(appended);
    public void Refuse(Exception why) => _answer.TrySetException(why);
}
