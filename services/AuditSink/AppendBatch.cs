using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.AuditSink;

/// <summary>
/// What one commit appends: everything in one write, in one implicit transaction. Head and cursors are moved from what was
/// built on; where they stand elsewhere the whole batch is refused with SQLSTATE 40001.
/// </summary>
internal sealed class AppendBatch(TreeEdge from)
{
    private const long PartitionWidth = 1 << 24;
    private readonly byte[] _fromRoot = from.Root();
    private readonly long _fromSize = from.Size;
    private readonly List<Part> _parts = [];
    private readonly List<HashTile> _tiles = [];

    /// <summary>The edge as it is once the batch has committed.</summary>
    public TreeEdge Edge { get; } = from.Clone();

    public IReadOnlyList<Part> Parts => _parts;
    public bool IsEmpty => _parts.Count == 0;

    /// <param name="present">How many of the run's first events the log has already.</param>
    /// <param name="cursor">The source's last seq; null when this begins its epoch.</param>
    /// <param name="continues">With the first events of a recovered ledger's epoch.</param>
    public void Add(PendingRun pending, int present, long? cursor, Continuation? continues)
    {
        _parts.Add(new Part(pending, present, cursor, continues, Edge.Size));
        for (int i = present; i < pending.Run.Events.Count; i++) Edge.Append(pending.Run.LeafHash(i), _tiles);
    }

    /// <summary>True when a tree read from the database is the one this batch leaves: it was committed.</summary>
    public bool Became(TreeEdge stored) => stored.Size == Edge.Size && stored.Root().AsSpan().SequenceEqual(Edge.Root());

    /// <summary>Sends the batch. When this returns, it is committed.</summary>
    /// <exception cref="NpgsqlException">It failed; whether it committed is for the caller to find out.</exception>
    public async Task ExecuteAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var batch = new NpgsqlBatch(connection);
        // The head first: it makes other replicas wait, and refuses what was built on an older one.
        Add("SELECT audit.advance($1, $2, $3, $4, $5)", [Of(_fromSize), Of(_fromRoot), Of(Edge.Size), Of(Edge.Root()), Of(Edge.Frontier)]);
        Add("""
            SELECT audit.move_cursor(source, epoch, from_seq, to_seq, to_leaf, continues, continues_at)
              FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bytea[], $6::uuid[], $7::bigint[])
                AS c(source, epoch, from_seq, to_seq, to_leaf, continues, continues_at)
            """,
            [
                Array(NpgsqlDbType.Text, _parts.Select(p => p.Run.Source)), Array(NpgsqlDbType.Uuid, _parts.Select(p => p.Run.Epoch)),
                Array(NpgsqlDbType.Bigint, _parts.Select(p => p.Cursor)), Array(NpgsqlDbType.Bigint, _parts.Select(p => p.Run.LastSeq)),
                Array(NpgsqlDbType.Bytea, _parts.Select(p => p.Run.LeafHash(p.Run.Events.Count - 1))),
                Array(NpgsqlDbType.Uuid, _parts.Select(p => p.Continues?.Epoch)), Array(NpgsqlDbType.Bigint, _parts.Select(p => p.Continues?.LastSeq)),
            ]);
        var rows = _parts.SelectMany(Rows).ToList();
        Add("""
            INSERT INTO audit.runs (first_index, n, source, epoch, first_seq, earliest, latest, leaf_hashes, leaves)
            SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::bytea[], $9::bytea[])
            """,
            [
                Array(NpgsqlDbType.Bigint, rows.Select(r => r.FirstIndex)), Array(NpgsqlDbType.Integer, rows.Select(r => r.Count)),
                Array(NpgsqlDbType.Text, rows.Select(r => r.Run.Source)), Array(NpgsqlDbType.Uuid, rows.Select(r => r.Run.Epoch)),
                Array(NpgsqlDbType.Bigint, rows.Select(r => r.Run.FirstSeq + r.First)),
                Array(NpgsqlDbType.TimestampTz, rows.Select(r => r.Run.Times(r.First, r.End).Earliest)), Array(NpgsqlDbType.TimestampTz, rows.Select(r => r.Run.Times(r.First, r.End).Latest)),
                Array(NpgsqlDbType.Bytea, rows.Select(r => r.Run.LeafHashes(r.First, r.End))),
                Array(NpgsqlDbType.Bytea, rows.Select(r => r.Run.Leaves(r.First, r.End))),
            ]);
        Add("""
            INSERT INTO audit.payloads (first_index, salts, payloads, keys) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])
            """,
            [
                Array(NpgsqlDbType.Bigint, rows.Select(r => r.FirstIndex)),
                Array(NpgsqlDbType.Bytea, rows.Select(r => r.Run.Salts(r.First, r.End))),
                Array(NpgsqlDbType.Bytea, rows.Select(r => r.Run.Payloads(r.First, r.End))),
                Array(NpgsqlDbType.Bytea, rows.Select(r => r.Run.Keys(r.First, r.End))),
            ]);
        if (_tiles.Count > 0)
        {
            Add("INSERT INTO audit.tiles (level, idx, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])",
                [
                    Array(NpgsqlDbType.Smallint, _tiles.Select(t => (short)t.Level)), Array(NpgsqlDbType.Bigint, _tiles.Select(t => t.Index)),
                    Array(NpgsqlDbType.Bytea, _tiles.Select(t => t.Hashes)),
                ]);
        }
        await batch.ExecuteNonQueryAsync(cancellationToken);

        void Add(string sql, NpgsqlParameter[] parameters)
        {
            var command = new NpgsqlBatchCommand(sql);
            command.Parameters.AddRange(parameters);
            batch.BatchCommands.Add(command);
        }
    }

    /// <summary>A run's new events as rows: two where a partition ends within it.</summary>
    private static IEnumerable<Row> Rows(Part part)
    {
        int first = part.Present;
        long index = part.FirstIndex;
        while (first < part.Run.Events.Count)
        {
            int count = (int)Math.Min(part.Run.Events.Count - first, PartitionWidth - index % PartitionWidth);
            yield return new Row(part.Run, index, first, first + count);
            (first, index) = (first + count, index + count);
        }
    }

    private static NpgsqlParameter Of(object value) => new() { Value = value };

    private static NpgsqlParameter Array<T>(NpgsqlDbType type, IEnumerable<T> values) => new() { Value = values.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type };

    public sealed record Part(PendingRun Pending, int Present, long? Cursor, Continuation? Continues, long FirstIndex)
    {
        public EventRun Run => Pending.Run;
    }

    private sealed record Row(EventRun Run, long FirstIndex, int First, int End)
    {
        public int Count => End - First;
    }
}
