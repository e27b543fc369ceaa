using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Recovery;

/// <summary>Where a ledger stands that is to be recovered.</summary>
/// <param name="Epochs">Its epochs, each with its last act: a log may have nothing yet of the present one.</param>
/// <param name="Unsound">Why it serves nobody; null: nothing is known to be wrong with it.</param>
public sealed record LedgerState(Guid Epoch, Seq Seq, IReadOnlyDictionary<Guid, Seq> Epochs, string? Unsound)
{
    /// <summary>True when an act under this number of this epoch would be one of its own.</summary>
    public bool Reaches(Guid epoch, Seq seq) => Epochs.TryGetValue(epoch, out var last) && seq <= last;
}

/// <summary>What recovery did.</summary>
/// <param name="Replayed">Events of the audit log that were made to hold again, by kind.</param>
/// <param name="NotReapplied">Of these, events that stand in the ledger again but whose effect has to be brought about anew.</param>
/// <param name="Remembered">Revocations that only followers still knew.</param>
/// <param name="Lost">Acts that were recorded once and are in neither the ledger nor the log.</param>
public sealed record RecoveryReport(
    Guid Epoch, Guid PreviousEpoch, Seq PreviousLastSeq, IReadOnlyDictionary<string, int> Replayed, IReadOnlyDictionary<string, int> NotReapplied, int Remembered, long Lost, bool RevokedAll);

/// <summary>
/// Brings a restored, failed-over or rolled-back ledger back into service (DESIGN "Epoch"). All in one transaction, under the
/// head's lock:
/// 1. what the audit log has beyond the ledger's end is recorded and made to hold again, under its own numbers;
/// 2. a new epoch is opened, which names the old one and its last number;
/// 3. what only followers still knew is recorded in it; with revoke-all, everything issued so far is revoked by one cut.
/// Runs as an administrator, from the command line.
/// </summary>
public sealed class LedgerRecovery(NpgsqlDataSource admin)
{
    private const string Caller = "operator:recovery";

    // No view of the old epoch may be taken for one of the new: an Issuer's control_seq then never is the head's by chance.
    private const long ControlSeqStride = 1L << 32;

    // Issuers sign up to 2 s ahead of the database's clock, and what they signed last may be among what was lost.
    private const int ClockSkew = 2;

    // And date a token a second after a cut that lies at most 10 s ahead of them (decision 0005): a lost one may lie that far ahead.
    private const int MostAhead = ClockSkew + 11;

    // Until the cut of everything lies no further ahead than Issuers put up with; both clocks count in whole seconds.
    private static readonly TimeSpan UntilCutIsTaken = TimeSpan.FromSeconds(MostAhead - 10 + 1);

    // Longer than any token whose revocation is all that is left of it.
    private static readonly TimeSpan KeepUnknown = TimeSpan.FromDays(366);

    /// <summary>Has everybody refuse from now on, so that nothing is recorded or answered in between, and says where the ledger stands.</summary>
    public async Task<LedgerState> BeginAsync(CancellationToken cancellationToken)
    {
        await using var command = admin.CreateCommand("""
            WITH was AS (SELECT ledger.unsound(h) AS why FROM ledger.head h)
            UPDATE ledger.head h SET needs_recovery = coalesce(w.why, 'recovery has begun') FROM was w RETURNING h.epoch, h.seq, w.why
            """);
        Guid epoch;
        Seq seq;
        string? unsound;
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            if (!await reader.ReadAsync(cancellationToken)) throw new InvalidOperationException("ledger.head has no row");
            (epoch, seq, unsound) = (reader.GetGuid(0), new Seq(reader.GetInt64(1)), reader.IsDBNull(2) ? null : reader.GetString(2));
        }
        await using var connection = await admin.OpenConnectionAsync(cancellationToken);
        return new LedgerState(epoch, seq, await ReadEpochsAsync(connection, cancellationToken), unsound);
    }

    /// <summary>Takes back what <see cref="BeginAsync"/> said of a ledger nothing is wrong with.</summary>
    public async Task AbandonAsync(CancellationToken cancellationToken)
    {
        await using var command = admin.CreateCommand("UPDATE ledger.head SET needs_recovery = NULL WHERE needs_recovery = 'recovery has begun'");
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>Recovers with what the audit log has.</summary>
    /// <param name="nothingLost">The operator knows that the database is complete, also where the log is behind it.</param>
    /// <param name="acceptLostEffects">
    /// Events whose effect cannot be made to hold from what is audited are recorded all the same; acts that are neither in the
    /// ledger nor in the log stay lost, but for what followers know of them.
    /// </param>
    /// <exception cref="Refusal">LEDGER_NEEDS_RECOVERY: the log does not continue this ledger, or not all of it can be made to hold; nothing was changed.</exception>
    public Task<RecoveryReport> ReplayAsync(AuditedTail tail, bool nothingLost, bool acceptLostEffects, CancellationToken cancellationToken) => RunAsync(async (connection, state) =>
    {
        await RequireCommonAsync(connection, tail, state, nothingLost, cancellationToken);
        var replay = new EventReplay(connection, state.Head, state.RevocationSeq);
        var epoch = state.Epoch;
        foreach (var audited in tail.After)
        {
            if (audited.Epoch != epoch && !state.Epochs.ContainsKey(audited.Epoch)) await ContinueAsync(connection, audited.Epoch, epoch, replay.Seq, revokedAll: false, cancellationToken);
            epoch = audited.Epoch;
            await replay.ApplyAsync(audited, cancellationToken);
        }
        if (replay.NotReapplied.Count > 0 && !acceptLostEffects)
            throw Refused(
                $"the audit log has acts whose effect cannot be made to hold from it ({string.Join(", ", replay.NotReapplied.Select(k => $"{k.Value} {k.Key}"))}): " +
                "say --accept-lost-effects and do them again, or --revoke-all");
        if (await ReadSeenAsync(connection, epoch, cancellationToken) is var seen && seen > replay.Seq && !acceptLostEffects)
            throw Refused(
                $"acts were recorded up to {seen}, and neither this ledger nor the audit log has any after {replay.Seq}: --accept-lost-effects goes on without them, " +
                "keeping what followers know of their revocations; --revoke-all revokes everything issued so far");
        await replay.FinishAsync(cancellationToken);
        return new BroughtBack(epoch, replay.Seq, replay.RevocationSeq, replay.Replayed, replay.NotReapplied);
    }, revokeAll: false, cancellationToken);

    /// <summary>Recovers without what the audit log has: nothing issued so far is valid any more, and new tokens can be had when it returns.</summary>
    /// <param name="audited">The epoch that the audit log is in, which the new one then continues for it too; null: nobody could say.</param>
    public Task<RecoveryReport> RevokeAllAsync(Guid? audited, CancellationToken cancellationToken) => RunAsync(async (connection, state) =>
    {
        var epoch = audited ?? state.Epoch;
        // One that this ledger has lost, or never had: from here on it counts as this ledger's.
        if (!state.Epochs.ContainsKey(epoch)) await ContinueAsync(connection, epoch, state.Epoch, state.Head, revokedAll: true, cancellationToken);
        else epoch = state.Epoch;
        return new BroughtBack(epoch, state.Head, state.RevocationSeq, new Dictionary<string, int>(), new Dictionary<string, int>());
    }, revokeAll: true, cancellationToken);

    private sealed record State(Guid Epoch, Seq Head, RevocationSeq RevocationSeq, IReadOnlyDictionary<Guid, Seq> Epochs);

    /// <summary>Where the ledger stands before its new epoch.</summary>
    private sealed record BroughtBack(Guid Epoch, Seq Last, RevocationSeq LastRevocation, IReadOnlyDictionary<string, int> Replayed, IReadOnlyDictionary<string, int> NotReapplied);

    private async Task<RecoveryReport> RunAsync(Func<NpgsqlConnection, State, Task<BroughtBack>> bringBack, bool revokeAll, CancellationToken cancellationToken)
    {
        await using var connection = await admin.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        State state;
        await using (var command = new NpgsqlCommand("SELECT epoch, seq, revocation_seq FROM ledger.head FOR UPDATE", connection))
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            if (!await reader.ReadAsync(cancellationToken)) throw new InvalidOperationException("ledger.head has no row");
            state = new State(reader.GetGuid(0), new Seq(reader.GetInt64(1)), new RevocationSeq(reader.GetInt64(2)), new Dictionary<Guid, Seq>());
        }
        state = state with { Epochs = await ReadEpochsAsync(connection, cancellationToken) };
        var (lastEpoch, last, lastRevocation, replayed, notReapplied) = await bringBack(connection, state);     // 1
        long lost = Math.Max(0, (await ReadSeenAsync(connection, lastEpoch, cancellationToken)).Value - last.Value);

        var epoch = Guid.NewGuid();                                                                             // 2
        await ExecuteAsync(connection, """
            UPDATE ledger.head SET epoch = $1, needs_recovery = NULL, control_seq = control_seq + $2, beat = beat + 1, beat_at = clock_timestamp(),
                   max_iat = greatest(max_iat, ceil(extract(epoch FROM clock_timestamp()))::bigint + $3),
                   system_identifier = (SELECT c.system_identifier FROM pg_control_system() c),
                   timeline = ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
            """, cancellationToken, epoch, ControlSeqStride, (long)(revokeAll ? MostAhead : ClockSkew));
        await ContinueAsync(connection, epoch, lastEpoch, last, revokeAll, cancellationToken);

        var (remembered, again) = await ReadRememberedAsync(connection, state.Epoch, lastRevocation, cancellationToken);     // 3
        await RecordAsync(connection, again, cancellationToken);
        if (revokeAll && !await IsEverythingBlockedAsync(connection, cancellationToken))
        {
            var everything = GroupKey.Of(RevocationKind.Everything, "", "");
            const string reason = "recovery: what was issued before is not known to be all there is";
            await RecordAsync(connection, [new BlockGroupAct { Caller = Caller, Correlation = Correlation.None, Group = everything, Reason = reason }], cancellationToken);
            await RecordAsync(connection, [new LiftBlockAct { Caller = Caller, Correlation = Correlation.None, Group = everything, Reason = reason }], cancellationToken);
        }
        await ExecuteAsync(connection, "DELETE FROM ledger.remembered", cancellationToken);
        await ExecuteAsync(connection, "DELETE FROM ledger.seen", cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        // It is done, whoever does not wait for it.
        if (revokeAll) await Task.Delay(UntilCutIsTaken, TimeProvider.System, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return new RecoveryReport(epoch, lastEpoch, last, replayed, notReapplied, remembered, lost, revokeAll);
    }

    private static Task ContinueAsync(NpgsqlConnection connection, Guid epoch, Guid previous, Seq previousLast, bool revokedAll, CancellationToken cancellationToken) =>
        ExecuteAsync(connection, "INSERT INTO ledger.recoveries (epoch, previous_epoch, previous_last_seq, revoked_all, recovered_at) VALUES ($1, $2, $3, $4, clock_timestamp())",
            cancellationToken, epoch, previous, previousLast.Value, revokedAll);

    private static async Task<IReadOnlyDictionary<Guid, Seq>> ReadEpochsAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE chain AS (
              SELECT h.epoch, h.seq FROM ledger.head h
              UNION SELECT r.previous_epoch, r.previous_last_seq FROM ledger.recoveries r JOIN chain c USING (epoch)
            )
            SELECT epoch, seq FROM chain
            """, connection);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var epochs = new Dictionary<Guid, Seq>();
        while (await reader.ReadAsync(cancellationToken)) epochs.Add(reader.GetGuid(0), new Seq(reader.GetInt64(1)));
        return epochs;
    }

    /// <summary>How far anybody saw an epoch go who found it shorter afterwards; 0: nobody did.</summary>
    private static async Task<Seq> ReadSeenAsync(NpgsqlConnection connection, Guid epoch, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT coalesce(max(seq), 0) FROM ledger.seen WHERE epoch = $1", connection) { Parameters = { new() { Value = epoch } } };
        return new Seq((long)(await command.ExecuteScalarAsync(cancellationToken))!);
    }

    /// <summary>The log goes on from this very ledger: their newest common event is one event.</summary>
    private static async Task RequireCommonAsync(NpgsqlConnection connection, AuditedTail tail, State state, bool nothingLost, CancellationToken cancellationToken)
    {
        if (tail.Anchor is { } anchor)
        {
            await using var command = new NpgsqlCommand("SELECT 1 FROM ledger.events WHERE seq = $1 AND payload = $2 AND recorded_at = $3", connection)
            { Parameters = { new() { Value = anchor.Seq.Value }, new() { Value = anchor.Payload }, new() { Value = anchor.RecordedAt.UtcDateTime } } };
            if (!state.Epochs.ContainsKey(anchor.Epoch) || await command.ExecuteScalarAsync(cancellationToken) is null)
                throw Refused($"event {anchor.Seq} of this ledger is not the one the audit log has under that number: acts were recorded here after the restore, or it is another ledger's log. --revoke-all recovers without the log");
        }
        else if (state.Head.Value > 0)
        {
            throw Refused("the audit log knows nothing of this ledger: --revoke-all recovers without it");
        }
        if (tail.After.Count == 0 && tail.Anchor?.Seq < state.Head && !nothingLost)
            throw Refused($"the audit log ends with event {tail.Anchor.Seq}, before this ledger does: it cannot tell what was lost. --nothing-lost says that the database is complete, --revoke-all recovers without the log");
        for (int i = 0; i < tail.After.Count; i++)
        {
            if (tail.After[i].Seq.Value != state.Head.Value + 1 + i)
                throw Refused($"the audit log goes on with event {tail.After[i].Seq} where this ledger needs {state.Head.Value + 1 + i}: --revoke-all recovers without the log");
        }
    }

    internal static Refusal Refused(string why) => new(Reason.LedgerNeedsRecovery, $"Nothing was changed: {why}");

    private static async Task<(int Count, IReadOnlyList<Act> Acts)> ReadRememberedAsync(NpgsqlConnection connection, Guid epoch, RevocationSeq after, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(
            "SELECT kind, token_hash, jti, group_key, blocked, cut, expires_at FROM ledger.remembered WHERE epoch = $1 AND (revocation_seq = 0 OR revocation_seq > $2) ORDER BY revocation_seq", connection)
        { Parameters = { new() { Value = epoch }, new() { Value = after.Value } } };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var acts = new List<Act>();
        int count = 0;
        for (; await reader.ReadAsync(cancellationToken); count++)
        {
            const string reason = "recovery: known to a follower";
            if (reader.IsDBNull(3))
            {
                acts.Add(new RevokeTokenAct
                {
                    Caller = Caller,
                    Correlation = Correlation.None,
                    TokenHash = reader.IsDBNull(1) ? null : TokenHash.FromBytes(reader.GetFieldValue<byte[]>(1)),
                    Jti = reader.IsDBNull(2) ? null : reader.GetString(2),
                    Reason = reason,
                    KeepUntil = reader.IsDBNull(6) ? TimeProvider.System.GetUtcNow() + KeepUnknown : reader.GetFieldValue<DateTimeOffset>(6),
                });
                continue;
            }
            var group = GroupKey.FromHash((RevocationKind)reader.GetInt16(0), reader.GetFieldValue<byte[]>(3));
            acts.Add(new BlockGroupAct { Caller = Caller, Correlation = Correlation.None, Group = group, Reason = reason });
            // A lifted one left a cut: what is lifted now leaves a later one, which denies no less.
            if (!reader.GetBoolean(4)) acts.Add(new LiftBlockAct { Caller = Caller, Correlation = Correlation.None, Group = group, Reason = reason });
        }
        return (count, acts);
    }

    /// <summary>Records acts the way an Issuer does, within this transaction.</summary>
    private static async Task RecordAsync(NpgsqlConnection connection, IReadOnlyList<Act> acts, CancellationToken cancellationToken)
    {
        var queue = new ActQueue(0, acts.Count);
        foreach (var act in acts) queue.TryAdd(new PendingAct(act));
        for (var some = queue.Take(256); some.Count > 0; some = queue.Take(256))
            await new LedgerBatch(some).ExecuteAsync(connection, default, rewrite: null, cancellationToken);
    }

    private static async Task<bool> IsEverythingBlockedAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT EXISTS (SELECT 1 FROM ledger.blocked_groups WHERE kind = $1 AND group_key = $2 AND blocked)", connection)
        { Parameters = { new() { Value = (short)RevocationKind.Everything }, new() { Value = GroupKey.Of(RevocationKind.Everything, "", "").Hash } } };
        return (bool)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken, params object[] values)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var value in values) command.Parameters.Add(new() { Value = value });
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
