using ClawBureau.Protos.Audit.V1;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.AuditSink;

/// <summary>Conditions that an entry has to meet, all of them; null asks nothing.</summary>
internal sealed record EntryFilter
{
    public byte[]? TokenHash { get; init; }
    public string? Subject { get; init; }
    public string? OwnerDid { get; init; }
    public string? MissionId { get; init; }
    public string? RunId { get; init; }
    public string? TraceId { get; init; }
    public string? CorrelationId { get; init; }
    public IReadOnlyList<string> Kinds { get; init; } = [];
    public string? Source { get; init; }
    public DateTimeOffset? Since { get; init; }

    /// <summary>Exclusive.</summary>
    public DateTimeOffset? Until { get; init; }

    /// <summary>What to look the runs up by: the condition that most likely leaves the fewest; none where only time is asked for.</summary>
    public IReadOnlyList<long> LookupKeys =>
        TokenHash is { } hash ? [LookupIndex.KeyOf(LookupField.TokenHash, hash)]
        : CorrelationId is { } correlation ? [LookupIndex.KeyOf(LookupField.CorrelationId, correlation)]
        : RunId is { } run ? [LookupIndex.KeyOf(LookupField.RunId, run)]
        : TraceId is { } trace ? [LookupIndex.KeyOf(LookupField.TraceId, trace)]
        : MissionId is { } mission ? [LookupIndex.KeyOf(LookupField.MissionId, mission)]
        : Subject is { } subject ? [LookupIndex.KeyOf(LookupField.Subject, subject)]
        : OwnerDid is { } owner ? [LookupIndex.KeyOf(LookupField.OwnerDid, owner)]
        : Kinds.Count > 0 ? [.. Kinds.Distinct().Select(kind => LookupIndex.KeyOf(LookupField.Kind, kind))]
        : Source is { } source ? [LookupIndex.KeyOf(LookupField.Source, source)]
        : [];

    public bool Matches(StoredEntry entry) =>
        (TokenHash is null || entry.Keys.TokenHash.Span.SequenceEqual(TokenHash))
        && (Subject is null || entry.Keys.Subject == Subject)
        && (OwnerDid is null || entry.Keys.OwnerDid == OwnerDid)
        && (MissionId is null || entry.Keys.MissionId == MissionId)
        && (RunId is null || entry.Keys.RunId == RunId)
        && (TraceId is null || entry.Keys.TraceId == TraceId)
        && (CorrelationId is null || entry.Keys.CorrelationId == CorrelationId)
        && (Kinds.Count == 0 || Kinds.Contains(entry.Leaf.Kind))
        && (Source is null || entry.Leaf.Source == Source)
        && (Since is null || entry.At >= Since)
        && (Until is null || entry.At < Until);
}

/// <summary>An entry as stored.</summary>
internal sealed record StoredEntry(long Index, Leaf Leaf, ReadOnlyMemory<byte> LeafBytes, ReadOnlyMemory<byte> LeafHash, ReadOnlyMemory<byte> Salt, ReadOnlyMemory<byte> Payload, EventKeys Keys)
{
    public DateTimeOffset At { get; } = DateTimeOffset.Parse(Leaf.RecordedAt, System.Globalization.CultureInfo.InvariantCulture);
    public int Bytes => LeafBytes.Length + Payload.Length + Keys.CalculateSize() + 3 * MerkleHash.Length;
}

/// <param name="Last">Index of the last entry, by which the next page goes on; null: there is no next page.</param>
/// <param name="IndexedThrough">Entries with a smaller index were considered.</param>
internal sealed record EntryPage(IReadOnlyList<StoredEntry> Entries, long? Last, long IndexedThrough);

/// <summary>Lists: which runs to look into comes from the lookup index, which entries match from the runs themselves.</summary>
public sealed class EntryReader(AuditDatabase database, LookupIndex lookup, TimeProvider time)
{
    /// <summary>How long a list waits for the lookup index; then it says how far that had come.</summary>
    private static readonly TimeSpan MostCatchUp = TimeSpan.FromSeconds(1);

    /// <summary>An answer ends earlier than its page, so that every client takes it.</summary>
    private const int MostBytes = 512 * 1024;
    private const int RunsAtOnce = 256;
    private const int EventsAtOnce = 1024;

    /// <param name="after">Index of the last entry of the page before; null: from the beginning of the order.</param>
    internal async Task<EntryPage> ListAsync(EntryFilter filter, bool ascending, long? after, int pageSize, CancellationToken cancellationToken)
    {
        var keys = filter.LookupKeys;
        if (keys.Count > 0) await CatchUpAsync(cancellationToken);
        await using var connection = await database.Reading.OpenConnectionAsync(cancellationToken);
        long through = await ReadThroughAsync(connection, keys.Count > 0, cancellationToken);
        var page = new List<StoredEntry>();
        int bytes = 0;
        long? at = after;                       // every run up to here, in this order, has been looked into
        while (true)
        {
            var runs = await FindRunsAsync(connection, filter, keys, ascending, at, after, cancellationToken);
            for (int first = 0; first < runs.Count;)
            {
                int count = 1;
                for (int events = runs[first].Count; first + count < runs.Count && events + runs[first + count].Count <= EventsAtOnce; count++) events += runs[first + count].Count;
                foreach (var entry in await ReadRunsAsync(connection, [.. runs.Skip(first).Take(count).Select(r => r.FirstIndex)], ascending, cancellationToken))
                {
                    bool isNew = after is null || (ascending ? entry.Index > after : entry.Index < after);
                    if (!isNew || entry.Index >= through || !filter.Matches(entry)) continue;
                    if (page.Count == pageSize || (page.Count > 0 && bytes + entry.Bytes > MostBytes)) return new EntryPage(page, page[^1].Index, through);
                    page.Add(entry);
                    bytes += entry.Bytes;
                }
                first += count;
            }
            if (runs.Count < RunsAtOnce) return new EntryPage(page, null, through);
            at = runs[^1].FirstIndex;
        }
    }

    private async Task CatchUpAsync(CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(MostCatchUp, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            await lookup.CatchUpAsync(either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // indexed_through tells.
        }
    }

    private static async Task<long> ReadThroughAsync(NpgsqlConnection connection, bool byLookup, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(byLookup ? "SELECT next_index FROM audit.lookup_cursor" : "SELECT size FROM audit.head", connection);
        return (long)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    /// <param name="at">Runs up to this first index are done; where it is an entry's index at the beginning, its own run is not.</param>
    private static async Task<List<(long FirstIndex, int Count)>> FindRunsAsync(
        NpgsqlConnection connection, EntryFilter filter, IReadOnlyList<long> keys, bool ascending, long? at, long? after, CancellationToken cancellationToken)
    {
        var (beyond, order) = ascending ? (">", "ASC") : ("<", "DESC");
        // The first page after an entry begins within that entry's run, which began at or before it.
        var place = at is null ? "true"
            : at != after ? $"r.first_index {beyond} $1"
            : ascending ? "r.first_index + r.n > $1" : "r.first_index < $1";
        var found = keys.Count == 0 ? "audit.runs r" : "(SELECT DISTINCT first_index FROM audit.lookup WHERE key = ANY ($2)) l JOIN audit.runs r USING (first_index)";
        await using var command = new NpgsqlCommand($"""
            SELECT r.first_index, r.n FROM {found}
             WHERE {place}
               AND ($3::timestamptz IS NULL OR r.latest >= $3)
               AND ($4::timestamptz IS NULL OR r.earliest < $4)
             ORDER BY r.first_index {order} LIMIT {RunsAtOnce}
            """, connection);
        command.Parameters.Add(new() { Value = at ?? 0 });
        command.Parameters.Add(new() { Value = keys.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        command.Parameters.Add(new() { Value = (object?)filter.Since?.UtcDateTime ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz });
        command.Parameters.Add(new() { Value = (object?)filter.Until?.UtcDateTime ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.TimestampTz });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var runs = new List<(long, int)>();
        while (await reader.ReadAsync(cancellationToken)) runs.Add((reader.GetInt64(0), reader.GetInt32(1)));
        return runs;
    }

    private static async Task<IReadOnlyList<StoredEntry>> ReadRunsAsync(NpgsqlConnection connection, long[] firstIndexes, bool ascending, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("""
            SELECT r.first_index, r.leaf_hashes, r.leaves, p.salts, p.payloads, p.keys
              FROM audit.runs r JOIN audit.payloads p USING (first_index) WHERE r.first_index = ANY ($1) ORDER BY r.first_index
            """, connection)
        { Parameters = { new() { Value = firstIndexes } } };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var entries = new List<StoredEntry>();
        while (await reader.ReadAsync(cancellationToken))
        {
            long first = reader.GetInt64(0);
            var hashes = reader.GetFieldValue<byte[]>(1).AsMemory();
            var leaves = Packed.OpenBundle(reader.GetFieldValue<byte[]>(2));
            var salts = reader.GetFieldValue<byte[]>(3).AsMemory();
            var payloads = Packed.OpenBlob(reader.GetFieldValue<byte[]>(4));
            var keys = Packed.OpenBlob(reader.GetFieldValue<byte[]>(5));
            for (int i = 0; i < leaves.Count; i++)
            {
                entries.Add(new StoredEntry(
                    first + i, Leaf.Decode(leaves[i].Span), leaves[i], hashes.Slice(MerkleHash.Length * i, MerkleHash.Length),
                    salts.Slice(Leaf.SaltLength * i, Leaf.SaltLength), payloads[i], EventKeys.Parser.ParseFrom(keys[i].Span)));
            }
        }
        if (!ascending) entries.Reverse();
        return entries;
    }
}
