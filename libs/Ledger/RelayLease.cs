using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger;

/// <summary>What the lease's row says: how far the audit log is known to have the ledger, and where that stands.</summary>
/// <param name="IsHeld">True: this process relays now.</param>
public readonly record struct RelayTurn(bool IsHeld, Guid Epoch, Seq Head, Seq Acked);

/// <summary>
/// Which of several Issuers relays events to the audit log: a lease in the ledger's database that another one takes once its
/// holder has not renewed it. It spares work and decides nothing: the audit log itself takes each event once, whoever tells it.
/// </summary>
public sealed class RelayLease(NpgsqlDataSource database)
{
    /// <summary>How long a holder that was killed or paused keeps the others waiting.</summary>
    public static readonly TimeSpan Length = TimeSpan.FromSeconds(3);

    private readonly Guid _holder = Guid.NewGuid();

    /// <summary>Takes the lease where it is free, or renews it, and notes what the audit log has.</summary>
    /// <param name="acked">What it is known to have by now, durably; null: nothing new.</param>
    public async Task<RelayTurn> TakeAsync(Seq? acked, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("""
            WITH taken AS (
              UPDATE ledger.relay r
                 SET holder = $1, held_until = clock_timestamp() + $2, epoch = h.epoch,
                     acked_seq = greatest(r.acked_seq, coalesce($3, 0)), acked_at = CASE WHEN $3 > r.acked_seq THEN clock_timestamp() ELSE r.acked_at END
                FROM ledger.head h
               WHERE r.holder = $1 OR r.held_until < clock_timestamp()
              RETURNING r.acked_seq
            )
            SELECT t.acked_seq IS NOT NULL, h.epoch, h.seq, coalesce(t.acked_seq, r.acked_seq) FROM ledger.head h CROSS JOIN ledger.relay r LEFT JOIN taken t ON true
            """);
        command.Parameters.Add(new() { Value = _holder });
        command.Parameters.Add(new() { Value = Length });
        command.Parameters.Add(new() { Value = (object?)acked?.Value ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Bigint });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        if (!await reader.ReadAsync(cancellationToken)) throw new InvalidOperationException("ledger.head has no row");
        return new RelayTurn(reader.GetBoolean(0), reader.GetGuid(1), new Seq(reader.GetInt64(2)), new Seq(reader.GetInt64(3)));
    }

    /// <summary>Lets the next Issuer begin at once.</summary>
    public async Task GiveUpAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("UPDATE ledger.relay SET holder = NULL, held_until = '-infinity' WHERE holder = $1");
        command.Parameters.Add(new() { Value = _holder });
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
