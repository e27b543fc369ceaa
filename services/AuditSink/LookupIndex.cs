using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using ClawBureau.Protos.Audit.V1;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.AuditSink;

/// <summary>What entries are found by.</summary>
internal enum LookupField : byte
{
    TokenHash = 1,
    Subject = 2,
    OwnerDid = 3,
    MissionId = 4,
    RunId = 5,
    TraceId = 6,
    CorrelationId = 7,
    Kind = 8,
    Source = 9,
}

/// <summary>
/// Follows the log and notes in which runs a value occurs, so that appending need not. Several replicas may do it: the cursor's
/// row is locked by whoever does, and the others wait.
/// </summary>
public sealed class LookupIndex(AuditDatabase database, ILogger<LookupIndex> log) : BackgroundService
{
    private const int RunsAtOnce = 64;
    private const int EventsAtOnce = 4096;
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);
    private readonly SemaphoreSlim _appended = new(0, 1);

    /// <summary>Told after each commit.</summary>
    public void Wake()
    {
        try
        {
            _appended.Release();
        }
        catch (SemaphoreFullException)
        {
            // It is already due to look.
        }
    }

    internal static long KeyOf(LookupField field, ReadOnlySpan<byte> value)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        Span<byte> input = value.Length < 512 ? stackalloc byte[1 + value.Length] : new byte[1 + value.Length];
        input[0] = (byte)field;
        value.CopyTo(input[1..]);
        SHA256.HashData(input, hash);
        return BinaryPrimitives.ReadInt64BigEndian(hash);
    }

    internal static long KeyOf(LookupField field, string value) => KeyOf(field, Encoding.UTF8.GetBytes(value));

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        bool away = false;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await CatchUpAsync(stoppingToken);
                away = false;
                await _appended.WaitAsync(LookEvery, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!away) Log.LookupAway(log, e.Message);      // lists say how far it has come
                away = true;
                await Task.Delay(LookEvery, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Notes every run there is when this is called, unless its caller gives up first.</summary>
    internal async Task CatchUpAsync(CancellationToken cancellationToken)
    {
        while (await ExtendAsync(cancellationToken))
        {
            // As long as there is more.
        }
    }

    /// <returns>False when there was no run to note.</returns>
    private async Task<bool> ExtendAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.Reading.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        long next;
        // Notes and cursor go together: what a crash of the server takes back of them is noted again, so nothing waits for its disk.
        await using (var begin = new NpgsqlBatch(connection)
        {
            BatchCommands = { new("SET LOCAL synchronous_commit = off"), new("SELECT next_index FROM audit.lookup_cursor FOR UPDATE") },
        })
        {
            next = (long)(await begin.ExecuteScalarAsync(cancellationToken))!;
        }
        var notes = new HashSet<(long Key, long FirstIndex)>();
        long from = next;
        await using (var command = new NpgsqlCommand($"""
            SELECT first_index, n, source, leaves, keys FROM (
              SELECT first_index, n, source, leaves, sum(n) OVER (ORDER BY first_index) - n AS before
                FROM (SELECT * FROM audit.runs WHERE first_index >= $1 ORDER BY first_index LIMIT {RunsAtOnce}) r) r
              JOIN audit.payloads USING (first_index)
             WHERE before < {EventsAtOnce} ORDER BY first_index
            """, connection)
        { Parameters = { new() { Value = next } } })
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            while (await reader.ReadAsync(cancellationToken))
            {
                long first = reader.GetInt64(0);
                next = first + reader.GetInt32(1);
                notes.Add((KeyOf(LookupField.Source, reader.GetString(2)), first));
                var kinds = new HashSet<string>(StringComparer.Ordinal);
                foreach (var leaf in Packed.OpenBundle(reader.GetFieldValue<byte[]>(3))) kinds.Add(Leaf.KindOf(leaf.Span));
                foreach (var kind in kinds) notes.Add((KeyOf(LookupField.Kind, kind), first));
                ReadOnlyMemory<byte>? before = null;        // what is about the same stands together
                foreach (var keys in Packed.OpenBlob(reader.GetFieldValue<byte[]>(4)))
                {
                    if (before is null || !keys.Span.SequenceEqual(before.Value.Span)) NoteKeys(notes, EventKeys.Parser.ParseFrom(keys.Span), first);
                    before = keys;
                }
            }
        }
        if (next == from) return false;
        var ordered = notes.OrderBy(n => n.Key).ToList();
        await using (var write = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                new("INSERT INTO audit.lookup (key, first_index) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING")
                {
                    Parameters =
                    {
                        new() { Value = ordered.Select(n => n.Key).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint },
                        new() { Value = ordered.Select(n => n.FirstIndex).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint },
                    },
                },
                new("UPDATE audit.lookup_cursor SET next_index = $1") { Parameters = { new() { Value = next } } },
            },
        })
        {
            await write.ExecuteNonQueryAsync(cancellationToken);
        }
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    private static void NoteKeys(HashSet<(long, long)> notes, EventKeys keys, long first)
    {
        if (!keys.TokenHash.IsEmpty) notes.Add((KeyOf(LookupField.TokenHash, keys.TokenHash.Span), first));
        Note(LookupField.Subject, keys.Subject);
        Note(LookupField.OwnerDid, keys.OwnerDid);
        Note(LookupField.MissionId, keys.MissionId);
        Note(LookupField.RunId, keys.RunId);
        Note(LookupField.TraceId, keys.TraceId);
        Note(LookupField.CorrelationId, keys.CorrelationId);

        void Note(LookupField field, string value)
        {
            if (value.Length > 0) notes.Add((KeyOf(field, value), first));
        }
    }

    public override void Dispose()
    {
        _appended.Dispose();
        base.Dispose();
    }
}
