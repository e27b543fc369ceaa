using ClawBureau.Tokens;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Reading;

public sealed partial class LedgerReader
{
    /// <returns>How far the ledger goes.</returns>
    /// <exception cref="Refusal">LEDGER_NEEDS_RECOVERY: nothing may rest on this ledger until it is recovered.</exception>
    public async Task<(Guid Epoch, Seq Seq)> RequireSoundAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT epoch, seq, ledger.unsound(h) AS unsound FROM ledger.head h");
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        if (!await reader.ReadAsync(cancellationToken)) throw new InvalidOperationException("ledger.head has no row");
        return ReadUnsound(reader) is { } why ? throw new Refusal(Reason.LedgerNeedsRecovery, inner: new InvalidOperationException(why)) : (reader.GetGuid(0), new Seq(reader.GetInt64(1)));
    }

    /// <summary>True when recovery made of one epoch, in one step or several, the one that the ledger has now.</summary>
    public async Task<bool> ContinuesAsync(Guid former, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("""
            WITH RECURSIVE chain AS (
              SELECT r.previous_epoch FROM ledger.recoveries r JOIN ledger.head h USING (epoch)
              UNION SELECT r.previous_epoch FROM ledger.recoveries r JOIN chain c ON r.epoch = c.previous_epoch
            )
            SELECT EXISTS (SELECT 1 FROM chain WHERE previous_epoch = $1)
            """);
        command.Parameters.Add(new() { Value = former });
        return (bool)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    /// <summary>The epoch in which the ledger's first act was recorded.</summary>
    public async Task<Guid> FindFirstEpochAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("""
            WITH RECURSIVE chain AS (
              SELECT h.epoch, 0 AS n FROM ledger.head h
              UNION ALL SELECT r.previous_epoch, c.n + 1 FROM ledger.recoveries r JOIN chain c USING (epoch)
            )
            SELECT epoch FROM chain ORDER BY n DESC LIMIT 1
            """);
        return (Guid)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    /// <summary>Has nobody served until recovery, while the ledger still has this epoch. For the Issuer, which knows what the audit log has.</summary>
    public async Task MarkUnsoundAsync(Guid epoch, string why, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("UPDATE ledger.head SET needs_recovery = left($2, 1000) WHERE epoch = $1 AND needs_recovery IS NULL");
        command.Parameters.Add(new() { Value = epoch });
        command.Parameters.Add(new() { Value = why });
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>How recovery went on from an epoch; null: it did not.</summary>
    public async Task<(Guid Epoch, Seq PreviousLastSeq)?> FindSuccessorAsync(Guid epoch, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT epoch, previous_last_seq FROM ledger.recoveries WHERE previous_epoch = $1");
        command.Parameters.Add(new() { Value = epoch });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? (reader.GetGuid(0), new Seq(reader.GetInt64(1))) : null;
    }

    /// <summary>Says that a number went back within an epoch: from then on nobody is served until recovery.</summary>
    public async Task ReportLossAsync(Revision known, long beat, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT ledger.report_loss($1, $2, $3, $4)");
        command.Parameters.Add(new() { Value = known.Epoch });
        command.Parameters.Add(new() { Value = known.Seq.Value });
        command.Parameters.Add(new() { Value = known.RevocationSeq.Value });
        command.Parameters.Add(new() { Value = beat });
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>Leaves revocations that the ledger has lost, and this process still knows, for recovery to find.</summary>
    public async Task RememberAsync(Guid epoch, IReadOnlyList<RevocationEntry> entries, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT ledger.remember($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        command.Parameters.Add(new() { Value = epoch });
        Add(NpgsqlDbType.Bigint, e => e.RevocationSeq.Value);
        Add(NpgsqlDbType.Smallint, e => (short)(e.Group?.Kind ?? RevocationKind.Token));
        Add(NpgsqlDbType.Bytea, e => e.TokenHash?.ToArray());
        Add(NpgsqlDbType.Text, e => e.Jti);
        Add(NpgsqlDbType.Bytea, e => e.Group?.Hash);
        Add(NpgsqlDbType.Boolean, e => e.Group is null || e.Blocked);
        Add(NpgsqlDbType.Bigint, e => e.Cut);
        Add(NpgsqlDbType.TimestampTz, e => e.ExpiresAt?.UtcDateTime);
        await command.ExecuteNonQueryAsync(cancellationToken);

        void Add<T>(NpgsqlDbType type, Func<RevocationEntry, T> value) =>
            command.Parameters.Add(new() { Value = entries.Select(value).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type });
    }
}
