using ClawBureau.Tokens;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Ledger;

/// <summary>A transparency snapshot as it is stored: what was said, and its link of the chain.</summary>
public sealed record KeySnapshotRow
{
    /// <summary>1, 2, 3 …</summary>
    public required long Number { get; init; }
    public required string SnapshotId { get; init; }

    /// <summary>Epoch seconds.</summary>
    public required long GeneratedAt { get; init; }
    public required KeyId ActiveKid { get; init; }

    /// <summary>Latest change of a key that it tells of.</summary>
    public required Seq KeysSeq { get; init; }

    /// <summary>The bytes that were hashed and signed.</summary>
    public required byte[] Payload { get; init; }
    public required byte[] SnapshotHash { get; init; }
    public required KeyId SignerKid { get; init; }
    public required byte[] Signature { get; init; }

    /// <summary>Null for the first.</summary>
    public required byte[]? PreviousChainHash { get; init; }
    public required byte[] ChainHash { get; init; }
    public required byte[] ChainSignature { get; init; }
}

/// <summary>The append-only chain of snapshots. The Issuer's role may neither change nor remove a row.</summary>
public sealed class KeySnapshots(NpgsqlDataSource database)
{
    private const string Columns =
        "number, snapshot_id, generated_at, active_kid, keys_seq, payload, snapshot_hash, signer_kid, signature, previous_chain_hash, chain_hash, chain_signature";

    /// <summary>The newest; null when there is none.</summary>
    public Task<KeySnapshotRow?> ReadLatestAsync(CancellationToken cancellationToken) =>
        ReadOneAsync($"SELECT {Columns} FROM ledger.key_snapshots ORDER BY number DESC LIMIT 1", null, cancellationToken);

    public Task<KeySnapshotRow?> FindAsync(string snapshotId, CancellationToken cancellationToken) =>
        ReadOneAsync($"SELECT {Columns} FROM ledger.key_snapshots WHERE snapshot_id = $1", snapshotId, cancellationToken);

    /// <summary>Newest first, with smaller numbers than <paramref name="before"/>.</summary>
    public async Task<IReadOnlyList<KeySnapshotRow>> ListAsync(long before, int most, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand($"SELECT {Columns} FROM ledger.key_snapshots WHERE number < $1 ORDER BY number DESC LIMIT $2");
        command.Parameters.Add(new() { Value = before });
        command.Parameters.Add(new() { Value = most });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var rows = new List<KeySnapshotRow>();
        while (await reader.ReadAsync(cancellationToken)) rows.Add(Read(reader));
        return rows;
    }

    /// <summary>How many there are of one second and active key: the next of them gets a suffix.</summary>
    public async Task<long> CountAsync(long generatedAt, KeyId activeKid, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT count(*) FROM ledger.key_snapshots WHERE generated_at = $1 AND active_kid = $2");
        command.Parameters.Add(new() { Value = generatedAt });
        command.Parameters.Add(new() { Value = activeKid.ToString() });
        return (long)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    /// <summary>Puts a snapshot behind the one it names as its predecessor, while the keys are still those it tells of.</summary>
    /// <returns>False: another one was faster, or a key changed. Nothing was written.</returns>
    public async Task<bool> TryAppendAsync(KeySnapshotRow row, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand($"""
            INSERT INTO ledger.key_snapshots ({Columns})
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
             WHERE $5 = (SELECT max(k.seq) FROM ledger.keys k)
               AND $10::bytea IS NOT DISTINCT FROM (SELECT s.chain_hash FROM ledger.key_snapshots s ORDER BY s.number DESC LIMIT 1)
            ON CONFLICT DO NOTHING
            """);
        Add(NpgsqlDbType.Bigint, row.Number);
        Add(NpgsqlDbType.Text, row.SnapshotId);
        Add(NpgsqlDbType.Bigint, row.GeneratedAt);
        Add(NpgsqlDbType.Text, row.ActiveKid.ToString());
        Add(NpgsqlDbType.Bigint, row.KeysSeq.Value);
        Add(NpgsqlDbType.Bytea, row.Payload);
        Add(NpgsqlDbType.Bytea, row.SnapshotHash);
        Add(NpgsqlDbType.Text, row.SignerKid.ToString());
        Add(NpgsqlDbType.Bytea, row.Signature);
        Add(NpgsqlDbType.Bytea, row.PreviousChainHash);
        Add(NpgsqlDbType.Bytea, row.ChainHash);
        Add(NpgsqlDbType.Bytea, row.ChainSignature);
        return await command.ExecuteNonQueryAsync(cancellationToken) == 1;

        void Add(NpgsqlDbType type, object? value) => command.Parameters.Add(new NpgsqlParameter { NpgsqlDbType = type, Value = value ?? DBNull.Value });
    }

    private async Task<KeySnapshotRow?> ReadOneAsync(string sql, string? parameter, CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand(sql);
        if (parameter is not null) command.Parameters.Add(new() { Value = parameter });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? Read(reader) : null;
    }

    private static KeySnapshotRow Read(NpgsqlDataReader reader) => new()
    {
        Number = reader.GetInt64(0),
        SnapshotId = reader.GetString(1),
        GeneratedAt = reader.GetInt64(2),
        ActiveKid = KeyId.Parse(reader.GetString(3)),
        KeysSeq = new Seq(reader.GetInt64(4)),
        Payload = reader.GetFieldValue<byte[]>(5),
        SnapshotHash = reader.GetFieldValue<byte[]>(6),
        SignerKid = KeyId.Parse(reader.GetString(7)),
        Signature = reader.GetFieldValue<byte[]>(8),
        PreviousChainHash = reader.IsDBNull(9) ? null : reader.GetFieldValue<byte[]>(9),
        ChainHash = reader.GetFieldValue<byte[]>(10),
        ChainSignature = reader.GetFieldValue<byte[]>(11),
    };
}
