using System.Data;
using ClawBureau.Ledger.Statements;
using ClawBureau.Tokens;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace ClawBureau.Ledger;

/// <summary>
/// The one append path. Requests queue; one transaction writes the whole batch; then all of them are answered. No timer:
/// the next batch is what arrived while the last one committed (DESIGN "The ledger").
/// </summary>
public sealed class LedgerWriter : BackgroundService
{
    private static readonly TimeSpan LookAtHeadEvery = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongWait = TimeSpan.FromMilliseconds(500);     // batches take a few milliseconds

    private readonly NpgsqlDataSource _database;
    private readonly LedgerOptions _options;
    private readonly ILogger<LedgerWriter> _log;
    private readonly ActQueue _queue;                                   // locked by itself
    private readonly SemaphoreSlim _arrived = new(0);
    private bool _idle;                                                 // locked by _queue: the loop waits to be woken, once
    private NpgsqlConnection? _connection;                              // owned by the loop
    private bool _warned;                                               // set by the connection's notices, read by the loop after a batch
    private readonly Lock _knowledge = new();
    private (Guid Epoch, Seq Seq) _known;                               // locked by _knowledge: the last act this process knows of
    private volatile bool _stopped;
    private long _waitsSince;                                           // by Volatile: when the batch under way was sent, TickCount64; 0: there is none

    public LedgerWriter(NpgsqlDataSource database, LedgerOptions options, ILogger<LedgerWriter> log)
    {
        (_database, _options, _log) = (database, options, log);
        _queue = new ActQueue(options.MintQueue, options.ReservedQueue);
    }

    /// <summary>Batches committed since the start.</summary>
    public long Commits { get; private set; }

    /// <summary>The last act this process recorded or saw. A ledger of this epoch that ends before it has lost acts.</summary>
    public (Guid Epoch, Seq Seq) Known
    {
        get { lock (_knowledge) return _known; }
    }

    /// <summary>Tells of an act that was seen in the ledger: a process that records little must notice a loss too.</summary>
    public void Saw(Guid epoch, Seq seq)
    {
        lock (_knowledge)
        {
            if (epoch != _known.Epoch || seq > _known.Seq) _known = (epoch, seq);
        }
    }

    /// <summary>Null but in negative controls, which the tests must see fail: what is sent instead of each statement of a batch.</summary>
    internal Func<string, string>? Rewrite { get; init; }

    /// <summary>Sees every act before it is queued; only in tests, which hold what acts conflict by against a model.</summary>
    internal Action<Act>? Watch { get; init; }

    /// <summary>Puts an act into the ledger and answers after commit.</summary>
    /// <param name="cancellationToken">Ends the wait, never the act: once queued it may be recorded all the same (rule 5).</param>
    /// <exception cref="Refusal">TEXT_NOT_STORABLE; FIELD_TOO_LONG; LEDGER_OVERLOADED; LEDGER_UNAVAILABLE (nothing was written);
    /// LEDGER_OUTCOME_UNKNOWN (it may have been; retry under the same idempotency key); TOKEN_REVOKED: the caller's own token is dead.</exception>
    public Task<ActOutcome> AppendAsync(Act act, CancellationToken cancellationToken)
    {
        RefuseUnstorable(act);
        Watch?.Invoke(act);
        return act is MintAct { IdempotencyKey: not null } mint ? AppendOnceAsync(mint, cancellationToken) : QueueAsync(act, cancellationToken);
    }

    /// <summary>A repeated request is told what the first one made. Only here: the batch that found it held the head meanwhile.</summary>
    private async Task<ActOutcome> AppendOnceAsync(MintAct mint, CancellationToken cancellationToken)
    {
        while (true)
        {
            var outcome = await QueueAsync(mint, cancellationToken);
            if (outcome.Verdict != Verdict.Repeated) return outcome;
            if (await FindPriorMintAsync(mint, outcome.Seq, cancellationToken) is { } prior) return outcome with { PriorMint = prior };
            // What it made has expired since, so the key is free.
        }
    }

    private Task<ActOutcome> QueueAsync(Act act, CancellationToken cancellationToken)
    {
        var pending = new PendingAct(act);
        bool wakes;
        lock (_queue)
        {
            if (_stopped) throw new Refusal(Reason.LedgerUnavailable);
            if (!_queue.TryAdd(pending)) throw new Refusal(Reason.LedgerOverloaded);
            (wakes, _idle) = (_idle, false);
        }
        if (wakes) _arrived.Release();
        return pending.Answer.WaitAsync(cancellationToken);
    }

    private async Task<PriorMint?> FindPriorMintAsync(MintAct mint, Seq seq, CancellationToken cancellationToken)
    {
        try
        {
            await using var find = _database.CreateCommand(
                "SELECT request_hash, kid, signed_payload, policy_tier, policy_version FROM ledger.idempotency WHERE caller = $1 AND idempotency_key = $2 AND seq = $3");
            find.Parameters.Add(new() { Value = mint.Caller });
            find.Parameters.Add(new() { Value = mint.IdempotencyKey });
            find.Parameters.Add(new() { Value = seq.Value });
            await using var reader = await find.ExecuteReaderAsync(cancellationToken);
            return await reader.ReadAsync(cancellationToken)
                ? new PriorMint(reader.GetFieldValue<byte[]>(0), KeyId.Parse(reader.GetString(1)), reader.GetFieldValue<byte[]>(2), reader.GetString(3), reader.GetString(4))
                : null;
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var ended = new CancellationTokenSource();
        var watching = WatchHeadAsync(ended.Token);
        try
        {
            while (true)
            {
                List<PendingAct> batch;
                lock (_queue)
                {
                    batch = _queue.Take(_options.BatchSize);
                    _idle = batch.Count == 0;
                }
                if (batch.Count > 0) await WriteAsync(batch);
                else if (stoppingToken.IsCancellationRequested) break;      // drained: what was accepted was written
                else await WaitForWorkAsync(stoppingToken);
            }
        }
        finally
        {
            RefuseTheRest();
            await DropConnectionAsync();
            await ended.CancelAsync();
            await watching;
        }
    }

    /// <summary>
    /// An Issuer that stands still while it holds the head is under no timeout of the server's as long as it owes it the rest of a
    /// batch, or room for the answer. Whoever waits behind it ends its session: rule 5.
    /// </summary>
    private async Task WatchHeadAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(LookAtHeadEvery);
        while (!stop.IsCancellationRequested)
        {
            try
            {
                if (!await timer.WaitForNextTickAsync(stop)) return;
                if (Volatile.Read(ref _waitsSince) is not (> 0 and var since) || Environment.TickCount64 - since < LongWait.TotalMilliseconds) continue;
                await using var free = _database.CreateCommand("SELECT ledger.free_head()");
                if (await free.ExecuteScalarAsync(stop) is int and > 0 and var ended) Log.HeadFreed(_log, ended);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                // The loop has ended.
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException)
            {
                Log.LedgerUnreachable(_log, e.Message);         // the batch that waits finds out by itself
            }
        }
    }

    /// <summary>What was accepted is written before the loop ends; where the loop never came to run, it is refused.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        RefuseTheRest();
    }

    private void RefuseTheRest()
    {
        lock (_queue)
        {
            _stopped = true;
            for (var rest = _queue.Take(int.MaxValue); rest.Count > 0; rest = _queue.Take(int.MaxValue))
                RefuseAll(rest, new Refusal(Reason.LedgerUnavailable));
        }
    }

    private async Task WaitForWorkAsync(CancellationToken stoppingToken)
    {
        try
        {
            await _arrived.WaitAsync(stoppingToken);
        }
        catch (OperationCanceledException)
        {
            // The loop drains the queue once more and ends.
        }
    }

    /// <summary>Writes acts and answers each of them, whatever happens.</summary>
    private async Task WriteAsync(IReadOnlyList<PendingAct> acts)
    {
        using var span = BatchTrace.Begin(acts);
        try
        {
            _connection ??= await ConnectAsync();
        }
        catch (Exception failure)
        {
            Log.LedgerUnreachable(_log, failure.Message);
            RefuseAll(acts, new Refusal(Reason.LedgerUnavailable, inner: failure));     // nothing was sent
            return;
        }

        var batch = new LedgerBatch(acts);
        try
        {
            _warned = false;
            using var deadline = new CancellationTokenSource(_options.BatchTimeout);
            using (Wait()) await batch.ExecuteAsync(_connection, Known, Rewrite, deadline.Token);
            if (_warned) await ResolveAsync(batch);
            else Confirm(acts);
        }
        catch (PostgresException refused) when (IsRolledBack(refused) && refused.SqlState == CallerStatement.CallerDead)
        {
            var dead = CallerStatement.DeadOf(refused);
            Log.CallersDead(_log, dead.Count, acts.Count);
            RefuseAll(acts.Where(a => dead.Contains(a.Ordinal)), new Refusal(Reason.TokenRevoked));
            var rest = acts.Where(a => !dead.Contains(a.Ordinal)).ToList();
            if (rest.Count > 0) await WriteAsync(rest);
        }
        catch (PostgresException refused) when (refused.SqlState == LedgerBatch.NotSound && IsRolledBack(refused))
        {
            Log.NotSound(_log, refused.MessageText);
            await ReportLossAsync();        // before anybody is told, so that he meets nobody who does not know
            RefuseAll(acts, new Refusal(Reason.LedgerNeedsRecovery, inner: refused));
        }
        catch (PostgresException refused) when (IsRolledBack(refused))
        {
            // One act the database cannot store never takes the others with it: SQLSTATE classes 22 (data) and 23 (constraint).
            if (refused.SqlState[..2] is "22" or "23" && acts.Count > 1)
            {
                Log.BatchSplit(_log, refused.SqlState, acts.Count);
                foreach (var act in acts) await WriteAsync([act]);
            }
            else
            {
                Log.BatchRefused(_log, refused.SqlState, refused.MessageText, acts.Count);
                RefuseAll(acts, refused.SqlState[..2] switch
                {
                    "22" => new Refusal(Reason.TextNotStorable, inner: refused),
                    "23" => refused,                                    // a defect here, not a caller's: INTERNAL
                    _ => new Refusal(Reason.LedgerUnavailable, inner: refused),
                });
            }
        }
        catch (Exception lost)          // whatever the driver calls it: nobody may be left waiting, and nothing may be guessed
        {
            Log.BatchLost(_log, batch.Id, acts.Count, lost.Message);
            await DropConnectionAsync();
            await ResolveAsync(batch);
        }
    }

    private void Confirm(IReadOnlyList<PendingAct> acts)
    {
        Commits++;
        foreach (var act in acts)
            if (act.Outcome is { Verdict: Verdict.Recorded } recorded) Saw(recorded.Epoch, recorded.Seq);
        PendingAct.AnswerTogether(acts);
    }

    /// <summary>Has nobody served any more, whichever process he asks, where the ledger ends before what this one recorded.</summary>
    private async Task ReportLossAsync()
    {
        try
        {
            var known = Known;
            await using var report = new NpgsqlCommand("SELECT ledger.report_loss($1, $2, 0, 0)", _connection) { Parameters = { new() { Value = known.Epoch }, new() { Value = known.Seq.Value } } };
            await report.ExecuteNonQueryAsync();
        }
        catch (NpgsqlException e)
        {
            Log.LedgerUnreachable(_log, e.Message);         // the next act is refused and reported again
            await DropConnectionAsync();
        }
    }

    /// <summary>
    /// True when the server said ERROR and lives on: the implicit transaction is rolled back, definitely. A FATAL (a server
    /// shutting down while it commits, say) is not that.
    /// </summary>
    private bool IsRolledBack(PostgresException e) => e.InvariantSeverity == "ERROR" && _connection?.State == ConnectionState.Open;

    /// <summary>
    /// Finds out on a new connection what became of a batch. Locking the head waits for the old transaction's fate; the
    /// tombstone written when there is no row makes sure that a batch still on its way can never commit (rule 5, L2).
    /// </summary>
    private async Task ResolveAsync(LedgerBatch batch)
    {
        long started = Environment.TickCount64;
        while (true)
        {
            try
            {
                await DropConnectionAsync();
                _connection = await ConnectAsync();
                Dictionary<int, ActOutcome>? recorded;
                using (Wait()) recorded = await LookUpAsync(_connection, batch);
                if (recorded is null)
                {
                    Log.BatchResolved(_log, batch.Id, "not committed");
                    RefuseAll(batch.Acts, new Refusal(Reason.LedgerUnavailable));
                    return;
                }
                Log.BatchResolved(_log, batch.Id, "committed");
                foreach (var act in batch.Acts) act.Outcome = recorded.GetValueOrDefault(act.Ordinal);
                Confirm([.. batch.Acts.Where(a => a.Outcome is not null)]);
                // The others left no event: they were refused, or stood already. Judged again they get the same answer.
                var rest = batch.Acts.Where(a => a.Outcome is null).ToList();
                if (rest.Count > 0) await WriteAsync(rest);
                return;
            }
            catch (Exception e)
            {
                if (Environment.TickCount64 - started > _options.ResolveWithin.TotalMilliseconds)
                {
                    Log.BatchUnresolved(_log, batch.Id, batch.Acts.Count, e.Message);
                    await DropConnectionAsync();
                    RefuseAll(batch.Acts, new Refusal(Reason.LedgerOutcomeUnknown, inner: e));
                    return;
                }
                await Task.Delay(TimeSpan.FromMilliseconds(50));
            }
        }
    }

    /// <summary>In one write and one transaction, as a batch is: who is stopped in the middle keeps the head no longer either.</summary>
    /// <returns>By ordinal, what the batch recorded; null when it did not and now cannot commit.</returns>
    private static async Task<Dictionary<int, ActOutcome>?> LookUpAsync(NpgsqlConnection connection, LedgerBatch batch)
    {
        await using var look = new NpgsqlBatch(connection);
        look.BatchCommands.Add(new NpgsqlBatchCommand(LedgerBatch.LockHead));
        look.BatchCommands.Add(new NpgsqlBatchCommand(
            """
            INSERT INTO ledger.batches (batch_id, abandoned, first_seq, recorded_at)
            SELECT $1, true, seq + 1, clock_timestamp() FROM ledger.head ON CONFLICT (batch_id) DO NOTHING
            """)
        { Parameters = { new() { Value = batch.Id } } });
        look.BatchCommands.Add(new NpgsqlBatchCommand("SELECT abandoned FROM ledger.batches WHERE batch_id = $1") { Parameters = { new() { Value = batch.Id } } });
        look.BatchCommands.Add(new NpgsqlBatchCommand(
            """
            SELECT e.ordinal, h.epoch, e.seq, e.recorded_at, h.control_seq, coalesce(r.revocation_seq, h.revocation_seq), coalesce(r.cut, 0), r.token_hash
              FROM ledger.batches b
              JOIN ledger.events e ON e.seq >= b.first_seq AND e.seq < b.first_seq + $2 AND e.batch_id = b.batch_id
              LEFT JOIN ledger.revocations r ON r.seq = e.seq
              CROSS JOIN ledger.head h
             WHERE b.batch_id = $1
            """)
        { Parameters = { new() { Value = batch.Id }, new() { Value = batch.Acts.Sum(a => a.Act.MostEvents) } } });

        await using var reader = await look.ExecuteReaderAsync();
        await reader.NextResultAsync();
        await reader.ReadAsync();
        bool abandoned = reader.GetBoolean(0);
        await reader.NextResultAsync();
        var recorded = new Dictionary<int, ActOutcome>();
        while (await reader.ReadAsync())
        {
            recorded.Add(reader.GetInt32(0), new ActOutcome
            {
                Verdict = Verdict.Recorded,
                Epoch = reader.GetGuid(1),
                Seq = new Seq(reader.GetInt64(2)),
                RecordedAt = reader.GetFieldValue<DateTimeOffset>(3),
                ControlSeq = reader.GetInt64(4),
                RevocationSeq = new RevocationSeq(reader.GetInt64(5)),
                Cut = reader.GetInt64(6),
                TokenHash = reader.IsDBNull(7) ? null : TokenHash.FromBytes(reader.GetFieldValue<byte[]>(7)),
            });
        }
        await reader.NextResultAsync();         // past the last result: the server has committed
        return abandoned ? null : recorded;
    }

    private Waiting Wait() => new(this);

    /// <summary>While it stands, the head may be waited for.</summary>
    private readonly struct Waiting : IDisposable
    {
        private readonly LedgerWriter _writer;

        public Waiting(LedgerWriter writer)
        {
            _writer = writer;
            Volatile.Write(ref writer._waitsSince, Environment.TickCount64);
        }

        public void Dispose() => Volatile.Write(ref _writer._waitsSince, 0);
    }

    private async Task<NpgsqlConnection> ConnectAsync()
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        var connection = await _database.OpenConnectionAsync(deadline.Token);
        // A COMMIT that warns (a standby that did not confirm, say) is not a COMMIT one may report.
        connection.Notice += (_, e) => _warned |= e.Notice.InvariantSeverity == "WARNING";
        return connection;
    }

    private async Task DropConnectionAsync()
    {
        if (_connection is null) return;
        NpgsqlConnection.ClearPool(_connection);
        await _connection.DisposeAsync();
        _connection = null;
    }

    private static void RefuseAll(IEnumerable<PendingAct> acts, Exception why)
    {
        foreach (var act in acts) act.Refuse(why);
    }

    /// <summary>PostgreSQL's text cannot hold U+0000, UTF-8 cannot hold a lone surrogate: said before the act is queued (rule 1).</summary>
    private static void RefuseUnstorable(Act act)
    {
        foreach (var (field, text) in act.Texts) StorableText.Require(text, field);
        if (act.Payload.Length > EventPayload.MostBytes)
            throw new Refusal(Reason.FieldTooLong, "The request is larger than an event of the ledger may be", new Dictionary<string, string> { ["field"] = "request", ["limit"] = $"{EventPayload.MostBytes}" });
    }

    public override void Dispose()
    {
        _arrived.Dispose();
        base.Dispose();
    }
}
