using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Reading;

/// <summary>What an Issuer works the next change of the keys out from, all of one snapshot.</summary>
/// <param name="Head">The ledger as of this read.</param>
/// <param name="Seq">Of the latest change of a key; 0 when there is none.</param>
/// <param name="LongestExp">The latest exp of all tokens issued, epoch seconds; 0 when there is none.</param>
/// <param name="Now">Database time.</param>
public sealed record KeyReading(Revision Head, Seq Seq, KeyStates States, IReadOnlyList<KeyRow> Rows, long LongestExp, DateTimeOffset Now);

public sealed partial class LedgerReader
{
    private const string KeyColumns = "k.kid, k.public_key, k.state, k.not_after, k.is_foreign, k.can_sign, k.revoked, k.published_at, k.activates_at, k.overlap, k.place, k.seq";

    /// <summary>Every key, whatever its state, in one snapshot.</summary>
    public async Task<KeyReading> ReadKeyStatesAsync(CancellationToken cancellationToken)
    {
        // The index on exp answers the max with one look.
        await using var command = database.CreateCommand($"""
            SELECT h.epoch, h.seq, h.revocation_seq, coalesce((SELECT max(i.exp) FROM ledger.issued i), 0), clock_timestamp(), {KeyColumns}
              FROM ledger.head h LEFT JOIN ledger.keys k ON true
             ORDER BY k.seq
            """);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var rows = new List<KeyRow>();
        Revision head = default;
        long longestExp = 0;
        DateTimeOffset now = default;
        while (await reader.ReadAsync(cancellationToken))
        {
            (head, longestExp, now) = (ReadRevision(reader), reader.GetInt64(3), reader.GetFieldValue<DateTimeOffset>(4));
            if (!reader.IsDBNull(5)) rows.Add(ReadKey(reader, 5));
        }
        return new KeyReading(head, rows.Count == 0 ? default : rows.Max(row => row.Seq), new KeyStates(rows.Select(row => row.Key)), rows, longestExp, now);
    }

    private static KeyRow ReadKey(NpgsqlDataReader reader, int first)
    {
        return new KeyRow(
            new KeyEntry
            {
                KeyId = KeyId.Parse(reader.GetString(first)),
                PublicKey = reader.GetFieldValue<byte[]>(first + 1),
                State = (KeyState)reader.GetInt16(first + 2),
                NotAfter = Number(3),
                IsForeign = reader.GetBoolean(first + 4),
                CanSign = reader.GetBoolean(first + 5),
                IsRevoked = reader.GetBoolean(first + 6),
                PublishedAt = Number(7),
                ActivatesAt = Number(8),
                Overlap = Number(9),
                Place = reader.GetInt32(first + 10),
            },
            new Seq(reader.GetInt64(first + 11)));

        long? Number(int column) => reader.IsDBNull(first + column) ? null : reader.GetInt64(first + column);
    }
}
