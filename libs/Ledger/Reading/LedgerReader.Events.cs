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

    /// <summary>Whose the token is that was revoked, where the ledger knows it: who asked for that need not have known. Null of other kinds.</summary>
    public string? RevokedOf { get; init; }

    /// <summary>Canonical JSON, as written with the act.</summary>
    public required byte[] Payload { get; init; }
}

/// <summary>Events, and the head as of the same moment.</summary>
/// <param name="Unsound">As of <see cref="LedgerPoll.Unsound"/>.</param>
public sealed record EventPage(Guid Epoch, Seq Head, string? Unsound, IReadOnlyList<EventRow> Events);

public sealed partial class LedgerReader
{
    /// <summary>The events after <paramref name="after"/>, oldest first: whatever is committed, and none that could still appear before one of them.</summary>
    public async Task<EventPage> ReadEventsAsync(Seq after, int most, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand($"""
            SELECT e.seq, e.kind, e.recorded_at, e.token_hash, e.subject, e.mission_id, e.run_id, e.trace_id, e.correlation_id, e.payload, h.epoch, h.seq, ledger.unsound(h) AS unsound,
                   CASE WHEN e.kind = {(short)EventKind.TokenRevoked} THEN (SELECT r.owner_did FROM ledger.revocations r WHERE r.seq = e.seq) END
              FROM ledger.head h
              LEFT JOIN LATERAL (SELECT * FROM ledger.events WHERE seq > $1 ORDER BY seq LIMIT $2) e ON true
             ORDER BY e.seq
            """);
        command.Parameters.Add(new() { Value = after.Value });
        command.Parameters.Add(new() { Value = most });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var events = new List<EventRow>();
        EventPage? page = null;
        while (await reader.ReadAsync(cancellationToken))
        {
            page ??= new EventPage(reader.GetGuid(10), new Seq(reader.GetInt64(11)), ReadUnsound(reader), events);
            if (reader.IsDBNull(0)) continue;
            events.Add(new EventRow
            {
                Seq = new Seq(reader.GetInt64(0)),
                Kind = (EventKind)reader.GetInt16(1),
                RecordedAt = reader.GetFieldValue<DateTimeOffset>(2),
                TokenHash = reader.IsDBNull(3) ? null : reader.GetFieldValue<byte[]>(3),
                Subject = Text(reader, 4),
                Correlation = new Correlation(Text(reader, 5), Text(reader, 6), Text(reader, 7), Text(reader, 8)),
                Payload = reader.GetFieldValue<byte[]>(9),
                RevokedOf = Text(reader, 13),
            });
        }
        return page ?? throw new InvalidOperationException("ledger.head has no row");

        static string? Text(NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);
    }
}
