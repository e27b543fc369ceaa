using Npgsql;

namespace ClawBureau.AuditSink;

/// <summary>The tree as the database has it.</summary>
internal static class StoredTree
{
    /// <summary>
    /// The right edge, rebuilt from stored leaf hashes and tiles and compared with what the head says: nothing is appended to a
    /// tree that does not fit together.
    /// </summary>
    /// <exception cref="InvalidDataException">It does not.</exception>
    public static async Task<TreeEdge> ReadEdgeAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        // One snapshot for all of it. Locking the head also waits for a batch of a lost connection to meet its fate.
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        long size;
        byte[] root, frontier;
        await using (var head = new NpgsqlCommand("SELECT size, root, frontier FROM audit.head FOR UPDATE", connection))
        await using (var reader = await head.ExecuteReaderAsync(cancellationToken))
        {
            if (!await reader.ReadAsync(cancellationToken)) throw new InvalidDataException("the audit log has no head");
            (size, root, frontier) = (reader.GetInt64(0), reader.GetFieldValue<byte[]>(1), reader.GetFieldValue<byte[]>(2));
        }
        var partial = new List<IReadOnlyList<byte[]>>();
        for (int level = 0; size >> (8 * level) != 0; level++)
        {
            partial.Add(level == 0
                ? await ReadLeafHashesAsync(connection, size - TreeEdge.PartialWidth(size, 0), size, cancellationToken)
                : await ReadTileRootsAsync(connection, level - 1, TreeEdge.FullTiles(size, level) << 8, TreeEdge.FullTiles(size, level - 1), cancellationToken));
        }
        await transaction.CommitAsync(cancellationToken);
        var edge = TreeEdge.From(size, partial);
        if (!edge.Root().AsSpan().SequenceEqual(root) || !edge.Frontier.AsSpan().SequenceEqual(frontier))
            throw new InvalidDataException($"the audit log's stored hashes do not give the root of its head at size {size}");
        return edge;
    }

    /// <summary>Leaf hashes with start ≤ index &lt; end.</summary>
    private static async Task<IReadOnlyList<byte[]>> ReadLeafHashesAsync(NpgsqlConnection connection, long start, long end, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("""
            SELECT first_index, leaf_hashes FROM audit.runs
             WHERE first_index < $2 AND first_index >= coalesce((SELECT max(first_index) FROM audit.runs WHERE first_index <= $1), 0)
             ORDER BY first_index
            """, connection)
        { Parameters = { new() { Value = start }, new() { Value = end } } };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var hashes = new List<byte[]>();
        while (await reader.ReadAsync(cancellationToken))
        {
            long first = reader.GetInt64(0);
            var run = reader.GetFieldValue<byte[]>(1).Chunk(MerkleHash.Length).ToArray();
            hashes.AddRange(run.Skip((int)Math.Max(0, start - first)).Take((int)Math.Max(0, end - Math.Max(first, start))));
        }
        return hashes;
    }

    /// <summary>Roots of tiles with start ≤ idx &lt; end: what stands one level above them.</summary>
    private static async Task<IReadOnlyList<byte[]>> ReadTileRootsAsync(NpgsqlConnection connection, int level, long start, long end, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT idx, hashes FROM audit.tiles WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx", connection)
        { Parameters = { new() { Value = (short)level }, new() { Value = start }, new() { Value = end } } };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var roots = new List<byte[]>();
        while (await reader.ReadAsync(cancellationToken)) roots.Add(TreeEdge.RootOf(new HashTile(level, reader.GetInt64(0), reader.GetFieldValue<byte[]>(1))));
        return roots;
    }
}
