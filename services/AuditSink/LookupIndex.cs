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
    private const int EventsAtOnce = 1024;
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
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        sha.AppendData([(byte)field]);
        sha.AppendData(value);
        sha.GetHashAndReset(hash);
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
        await using (var command = new NpgsqlCommand("SELECT next_index FROM audit.lookup_cursor FOR UPDATE", connection))
        {
            next = (long)(await command.ExecuteScalarAsync(cancellationToken))!;
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
                foreach (var leaf in Packed.OpenBundle(reader.GetFieldValue<byte[]>(3))) notes.Add((KeyOf(LookupField.Kind, Leaf.Decode(leaf.Span).Kind), first));
                foreach (var keys in Packed.OpenBlob(reader.GetFieldValue<byte[]>(4))) NoteKeys(notes, EventKeys.Parser.ParseFrom(keys.Span), first);
            }
        }
        if (next == from) return false;
        await using (var insert = new NpgsqlCommand("INSERT INTO audit.lookup (key, first_index) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING", connection))
        {
            var ordered = notes.OrderBy(n => n.Key).ToList();
            insert.Parameters.Add(new() { Value = ordered.Select(n => n.Key).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
            insert.Parameters.Add(new() { Value = ordered.Select(n => n.FirstIndex).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
            await insert.ExecuteNonQueryAsync(cancellationToken);
        }
        await using (var advance = new NpgsqlCommand("UPDATE audit.lookup_cursor SET next_index = $1", connection) { Parameters = { new() { Value = next } } })
        {
            await advance.ExecuteNonQueryAsync(cancellationToken);
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
