using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Reading;

/// <summary>An event as recorded.</summary>
public sealed record EventRow
{
    public required Seq Seq { get; init; }
    public required EventKind Kind { get; init; }
    public required DateTimeOffset RecordedAt { get; init; }
    public byte[]? TokenHash { get; init; }
    public string? Subject { get; init; }
    public required Correlation Correlation { get; init; }

    /// <summary>Canonical JSON, as written with the act.</summary>
    public required byte[] Payload { get; init; }
}

public sealed partial class LedgerReader
{
    /// <summary>The events after <paramref name="after"/>, oldest first: whatever is committed, and none that could still appear before one of them.</summary>
    public async Task<IReadOnlyList<EventRow>> ReadEventsAsync(Seq after, int most, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("""
            SELECT seq, kind, recorded_at, token_hash, subject, mission_id, run_id, trace_id, correlation_id, payload
              FROM ledger.events WHERE seq > $1 ORDER BY seq LIMIT $2
            """);
        command.Parameters.Add(new() { Value = after.Value });
        command.Parameters.Add(new() { Value = most });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var events = new List<EventRow>();
        while (await reader.ReadAsync(cancellationToken))
        {
            events.Add(new EventRow
            {
                Seq = new Seq(reader.GetInt64(0)),
                Kind = (EventKind)reader.GetInt16(1),
                RecordedAt = reader.GetFieldValue<DateTimeOffset>(2),
                TokenHash = reader.IsDBNull(3) ? null : reader.GetFieldValue<byte[]>(3),
                Subject = Text(reader, 4),
                Correlation = new Correlation(Text(reader, 5), Text(reader, 6), Text(reader, 7), Text(reader, 8)),
                Payload = reader.GetFieldValue<byte[]>(9),
            });
        }
        return events;

        static string? Text(NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);
    }
}
