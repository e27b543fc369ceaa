using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Statements;

/// <summary>
/// One statement of a batch: judges the acts given to it, records the accepted ones and advances the head by their number.
/// Runs after the head was locked by an earlier statement of the same transaction, so its snapshot holds everything that
/// committed before: what it reads cannot change until the batch ends.
/// </summary>
internal abstract class ActStatement
{
    /// <summary>Every statement begins with the head as this batch has left it so far. $1 is the batch id.</summary>
    protected const string Head = """
        WITH head AS MATERIALIZED (
          SELECT epoch, seq, revocation_seq, control_seq, max_iat, longest_ttl, clock_timestamp() AS now FROM ledger.head
        ),
        act AS MATERIALIZED (
          SELECT * FROM unnest($2::int[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
            AS a(ord, payload, caller, subject, mission_id, run_id, trace_id, correlation_id)
        )
        """;

    /// <summary>The second that the database's clock is in, from the CTE `head` as h: whatever is dated after it is ahead of the clock.</summary>
    protected const string ClockSecond = "ceil(extract(epoch FROM h.now))::bigint";

    /// <summary>Writes the events of a CTE `accepted`, which has ord, seq and token_hash.</summary>
    protected static string RecordEvents(EventKind kind) => $"""
        recorded AS (
          INSERT INTO ledger.events (seq, batch_id, ordinal, kind, recorded_at, token_hash, subject, mission_id, run_id, trace_id, correlation_id, payload)
          SELECT x.seq, $1, a.ord, {(short)kind}, h.now, x.token_hash, a.subject, a.mission_id, a.run_id, a.trace_id, a.correlation_id, a.payload
            FROM accepted x JOIN act a USING (ord), head h
        )
        """;

    /// <summary>
    /// A CTE `charged` with the live rows that each owner has who is charged for one here: owner and rows. From a CTE `target`
    /// with charged_to; nothing is counted where no owner is.
    /// </summary>
    protected const string CountOwnersRows = """
        charged AS MATERIALIZED (
          SELECT o.charged_to, (SELECT count(*) FROM ledger.revoked_tokens r WHERE r.charged_to = o.charged_to)
                             + (SELECT count(*) FROM ledger.blocked_groups b WHERE b.charged_to = o.charged_to) AS rows
            FROM (SELECT DISTINCT charged_to FROM target WHERE charged_to IS NOT NULL) o
        )
        """;

    /// <summary>Puts the statement into the batch.</summary>
    public void AddTo(NpgsqlBatch batch, Guid batchId)
    {
        var command = new NpgsqlBatchCommand(Sql);
        command.Parameters.Add(new() { Value = batchId });
        Add(command, NpgsqlDbType.Integer, Pending.Select(p => p.Ordinal));
        Add(command, NpgsqlDbType.Bytea, Pending.Select(p => p.Act.Payload));
        Add(command, NpgsqlDbType.Text, Pending.Select(p => p.Act.Caller));
        Add(command, NpgsqlDbType.Text, Pending.Select(p => p.Act.Subject));
        Add(command, NpgsqlDbType.Text, Pending.Select(p => p.Act.Correlation.MissionId));
        Add(command, NpgsqlDbType.Text, Pending.Select(p => p.Act.Correlation.RunId));
        Add(command, NpgsqlDbType.Text, Pending.Select(p => p.Act.Correlation.TraceId));
        Add(command, NpgsqlDbType.Text, Pending.Select(p => p.Act.Correlation.CorrelationId));
        AddParameters(command);
        batch.BatchCommands.Add(command);
    }

    /// <summary>Reads one row per act, in any order: ord first.</summary>
    public async Task ReadAsync(NpgsqlDataReader reader, Guid epoch, CancellationToken cancellationToken)
    {
        var byOrdinal = Pending.ToDictionary(p => p.Ordinal);
        while (await reader.ReadAsync(cancellationToken)) byOrdinal[reader.GetInt32(0)].Outcome = ReadOutcome(reader, epoch);
    }

    protected abstract string Sql { get; }
    protected abstract IReadOnlyList<PendingAct> Pending { get; }
    protected abstract void AddParameters(NpgsqlBatchCommand command);
    protected abstract ActOutcome ReadOutcome(NpgsqlDataReader reader, Guid epoch);

    protected static void Add<T>(NpgsqlBatchCommand command, NpgsqlDbType type, IEnumerable<T> values) =>
        command.Parameters.Add(new() { Value = values.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type });
}
