using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger.Reading;

/// <summary>A policy as it was put; the one with the highest Seq is current.</summary>
/// <param name="Document">Canonical JSON.</param>
/// <param name="PolicyHash">SHA-256 of the document, 32 bytes.</param>
public sealed record PolicyRow(string Version, Seq Seq, byte[] Document, byte[] PolicyHash, string PutBy, DateTimeOffset PutAt, string? Reason, bool Current);

public sealed partial class LedgerReader
{
    /// <summary>The policy of that version, or the current one; null: there is none.</summary>
    /// <param name="version">Null: the current one.</param>
    public async Task<PolicyRow?> ReadPolicyAsync(string? version, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand($"SELECT {PolicyColumns} WHERE $1 IS NULL OR version = $1 ORDER BY seq DESC LIMIT 1");
        command.Parameters.Add(new() { NpgsqlDbType = NpgsqlDbType.Text, Value = version ?? (object)DBNull.Value });
        return (await ReadPoliciesAsync(command, cancellationToken)).SingleOrDefault();
    }

    /// <summary>The current policy, null where none was ever put, and the head's control_seq, of one snapshot.</summary>
    public async Task<(long ControlSeq, PolicyRow? Policy)> ReadCurrentPolicyAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand($"""
            SELECT p.*, h.control_seq FROM ledger.head h LEFT JOIN LATERAL (SELECT {PolicyColumns} ORDER BY seq DESC LIMIT 1) p ON true
            """);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        if (!await reader.ReadAsync(cancellationToken)) throw new InvalidOperationException("ledger.head has no row");
        return (reader.GetInt64(8), reader.IsDBNull(0) ? null : ReadPolicy(reader));
    }

    /// <summary>Newest first: a page, and one row more when there is more.</summary>
    /// <param name="before">The last one of the page before; null: from the newest.</param>
    public async Task<IReadOnlyList<PolicyRow>> ListPoliciesAsync(Seq? before, int pageSize, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand($"SELECT {PolicyColumns} WHERE $1 IS NULL OR seq < $1 ORDER BY seq DESC LIMIT $2");
        command.Parameters.Add(new() { NpgsqlDbType = NpgsqlDbType.Bigint, Value = before is { } seq ? seq.Value : DBNull.Value });
        command.Parameters.Add(new() { Value = pageSize + 1 });
        return await ReadPoliciesAsync(command, cancellationToken);
    }

    private const string PolicyColumns =
        "version, seq, document, policy_hash, put_by, put_at, reason, seq = (SELECT max(seq) FROM policy.versions) AS current FROM policy.versions";

    private static async Task<IReadOnlyList<PolicyRow>> ReadPoliciesAsync(NpgsqlCommand command, CancellationToken cancellationToken)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var rows = new List<PolicyRow>();
        while (await reader.ReadAsync(cancellationToken)) rows.Add(ReadPolicy(reader));
        return rows;
    }

    private static PolicyRow ReadPolicy(NpgsqlDataReader reader) => new(
        reader.GetString(0), new Seq(reader.GetInt64(1)), reader.GetFieldValue<byte[]>(2), reader.GetFieldValue<byte[]>(3), reader.GetString(4),
        reader.GetFieldValue<DateTimeOffset>(5), reader.IsDBNull(6) ? null : reader.GetString(6), reader.GetBoolean(7));
}
