using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Reading;

/// <summary>Which revocations a page has.</summary>
public sealed record RevocationFilter
{
    public required int PageSize { get; init; }
    public bool OldestFirst { get; init; }

    /// <summary>The last one of the page before; null: from the beginning of the order.</summary>
    public RevocationSeq? After { get; init; }

    /// <summary>Nothing newer than this: the revision the answer names.</summary>
    public RevocationSeq Through { get; init; }

    public TokenHash? TokenHash { get; init; }

    /// <summary>Only what concerns this owner's tokens; null: everything.</summary>
    public string? OwnerDid { get; init; }
    public DateTimeOffset? Since { get; init; }

    /// <summary>Exclusive.</summary>
    public DateTimeOffset? Until { get; init; }
}

/// <summary>A revocation and who made it; null where that is not kept any more.</summary>
public sealed record ListedRevocation(RevocationRow Row, string? RevokedBy);

public sealed partial class LedgerReader
{
    /// <summary>A page, and one row more when there is more.</summary>
    public async Task<IReadOnlyList<ListedRevocation>> ListRevocationsAsync(RevocationFilter filter, CancellationToken cancellationToken)
    {
        var (beyond, order) = filter.OldestFirst ? (">", "ASC") : ("<", "DESC");
        await using var command = database.CreateCommand($"""
            SELECT {Columns}, coalesce(r.revoked_by, t.revoked_by)
              FROM ledger.revocations r
              LEFT JOIN ledger.revoked_tokens t ON t.revocation_seq = r.revocation_seq
             WHERE r.revocation_seq <= $1
               AND ($2 IS NULL OR r.revocation_seq {beyond} $2)
               AND ($3 IS NULL OR r.token_hash = $3)
               AND ($4 IS NULL OR r.revoked_at >= $4)
               AND ($5 IS NULL OR r.revoked_at < $5)
               AND ($7 IS NULL OR r.owner_did = $7)
             ORDER BY r.revocation_seq {order}
             LIMIT $6
            """);
        Add(NpgsqlDbType.Bigint, filter.Through.Value);
        Add(NpgsqlDbType.Bigint, filter.After?.Value);
        Add(NpgsqlDbType.Bytea, filter.TokenHash?.ToArray());
        Add(NpgsqlDbType.TimestampTz, filter.Since?.UtcDateTime);
        Add(NpgsqlDbType.TimestampTz, filter.Until?.UtcDateTime);
        Add(NpgsqlDbType.Integer, filter.PageSize + 1);
        Add(NpgsqlDbType.Text, filter.OwnerDid);

        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var rows = new List<ListedRevocation>();
        while (await reader.ReadAsync(cancellationToken)) rows.Add(new ListedRevocation(ReadRow(reader, 0), reader.IsDBNull(11) ? null : reader.GetString(11)));
        return rows;

        void Add(NpgsqlDbType type, object? value) => command.Parameters.Add(new NpgsqlParameter { NpgsqlDbType = type, Value = value ?? DBNull.Value });
    }
}
