using System.Data;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Reading;

/// <summary>What a poll saw: the head, and the revocations after the caller's place, all of one snapshot.</summary>
/// <param name="Beat">Proof of life of the primary; it moves at least every 500 ms while anybody can write.</param>
/// <param name="KeysSeq">Seq of the latest change of a key; 0 when there is none.</param>
public sealed record LedgerPoll(Revision Revision, long Beat, long KeysSeq, bool InRecovery, IReadOnlyList<RevocationRow> Rows)
{
    /// <summary>Why nothing may rest on this ledger until it is recovered; null: it may.</summary>
    public string? Unsound { get; init; }
}

/// <summary>Of which revision a snapshot is, and the keys.</summary>
public sealed record LedgerSnapshot(Revision Revision, IReadOnlyList<KeyRow> Keys)
{
    /// <inheritdoc cref="LedgerPoll.Unsound"/>
    public string? Unsound { get; init; }
}

/// <summary>Reads for the Introspector: one statement a poll, one snapshot a statement.</summary>
public sealed partial class LedgerReader(NpgsqlDataSource database) : IAsyncDisposable
{
    /// <summary>Tokens in a page of a snapshot: a fraction of the two seconds that a statement may take.</summary>
    private const int SnapshotRows = 16_384;

    /// <summary>Most rows one poll brings; a caller further behind polls again.</summary>
    public const int PollRows = 4096;

    private const string Columns = "r.revocation_seq, r.seq, r.revoked_at, r.reason, r.token_hash, r.jti, r.expires_at, r.kind, r.group_key, r.effect = 1, coalesce(r.cut, 0)";

    private const string PollText = $"""
        SELECT h.epoch, h.seq, h.revocation_seq, h.beat, pg_is_in_recovery(), coalesce((SELECT max(k.seq) FROM ledger.keys k), 0), {Columns}, ledger.unsound(h) AS unsound
          FROM ledger.head h
          LEFT JOIN LATERAL (SELECT * FROM ledger.revocations WHERE revocation_seq > $1 ORDER BY revocation_seq LIMIT 4096) r ON true
         ORDER BY r.revocation_seq
        """;

    private NpgsqlCommand? _poll;           // by Interlocked: null while somebody polls

    /// <inheritdoc cref="Migrator.RequireCurrentAsync"/>
    public Task RequireCurrentAsync(CancellationToken cancellationToken) => Migrator.RequireCurrentAsync(database, cancellationToken);

    /// <summary>The head and the rows after <paramref name="after"/>, oldest first.</summary>
    public async Task<LedgerPoll> PollAsync(RevocationSeq after, CancellationToken cancellationToken)
    {
        // Prepared once on a connection kept for it: a poll is nearly all that an idle introspection costs. Whoever takes the
        // command has it alone, and only success puts it back.
        var command = Interlocked.Exchange(ref _poll, null) ?? await PreparePollAsync(cancellationToken);
        try
        {
            ((NpgsqlParameter<long>)command.Parameters[0]).TypedValue = after.Value;
            var poll = await PollAsync(command, cancellationToken);
            if (Interlocked.CompareExchange(ref _poll, command, null) is not null) await DropAsync(command);
            return poll;
        }
        catch
        {
            await DropAsync(command);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _poll, null) is { } command) await DropAsync(command);
    }

    private async Task<NpgsqlCommand> PreparePollAsync(CancellationToken cancellationToken)
    {
        var connection = await database.OpenConnectionAsync(cancellationToken);
        var command = new NpgsqlCommand(PollText, connection) { Parameters = { new NpgsqlParameter<long>() } };
        try
        {
            await command.PrepareAsync(cancellationToken);
            return command;
        }
        catch
        {
            await DropAsync(command);
            throw;
        }
    }

    private static async Task DropAsync(NpgsqlCommand command)
    {
        var connection = command.Connection!;
        await command.DisposeAsync();
        await connection.DisposeAsync();
    }

    private static async Task<LedgerPoll> PollAsync(NpgsqlCommand command, CancellationToken cancellationToken)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        LedgerPoll? poll = null;
        var rows = new List<RevocationRow>();
        while (await reader.ReadAsync(cancellationToken))
        {
            poll ??= new LedgerPoll(ReadRevision(reader), reader.GetInt64(3), reader.GetInt64(5), reader.GetBoolean(4), rows) { Unsound = ReadUnsound(reader) };
            if (!reader.IsDBNull(6)) rows.Add(ReadRow(reader, 6));
        }
        return poll ?? throw new InvalidOperationException("ledger.head has no row");
    }

    /// <summary>
    /// All live revocations, blocks and cuts, and all keys, as of one revision, oldest first; nothing where the ledger is unsound. Tokens
    /// come in pages, each a statement of its own: however many there are, no database snapshot is held for long, which would slow the
    /// head for everybody (DESIGN "Scale"). A row up to the revision is committed and never changes, and it leaves only when nobody needs it.
    /// </summary>
    /// <param name="found">Told each of them, one at a time; those of a snapshot that is not completed are to be forgotten.</param>
    public async Task<LedgerSnapshot> ReadSnapshotAsync(Action<RevocationEntry> found, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var (revision, unsound, groups, keys) = await ReadHeadOfSnapshotAsync(connection, cancellationToken);
        if (unsound is not null) return new LedgerSnapshot(revision, keys) { Unsound = unsound };

        await using var page = new NpgsqlCommand($"""
            SELECT revocation_seq, seq, revoked_at, token_hash, jti, expires_at
              FROM ledger.revoked_tokens WHERE revocation_seq > $1 AND revocation_seq <= $2 ORDER BY revocation_seq LIMIT {SnapshotRows}
            """, connection)
        { Parameters = { new NpgsqlParameter<long>(), new NpgsqlParameter<long> { TypedValue = revision.RevocationSeq.Value } } };
        await page.PrepareAsync(cancellationToken);
        var hash = new byte[TokenHash.Length];
        int group = 0, read;
        long after = 0;
        do
        {
            ((NpgsqlParameter<long>)page.Parameters[0]).TypedValue = after;
            read = 0;
            await using var reader = await page.ExecuteReaderAsync(cancellationToken);
            for (; await reader.ReadAsync(cancellationToken); read++)
            {
                var entry = ReadTokenEntry(reader, hash);
                for (; group < groups.Count && groups[group].RevocationSeq < entry.RevocationSeq; group++) found(groups[group].ToEntry());
                found(entry);
                after = entry.RevocationSeq.Value;
            }
        }
        while (read == SnapshotRows);
        for (; group < groups.Count; group++) found(groups[group].ToEntry());
        return new LedgerSnapshot(revision, keys);
    }

    /// <param name="hash">For the bytes of one, whose there may be a million.</param>
    private static RevocationEntry ReadTokenEntry(NpgsqlDataReader reader, byte[] hash)
    {
        bool hasHash = !reader.IsDBNull(3);
        if (hasHash) reader.GetBytes(3, 0, hash, 0, hash.Length);
        return new RevocationEntry
        {
            RevocationSeq = new RevocationSeq(reader.GetInt64(0)),
            Seq = new Seq(reader.GetInt64(1)),
            RevokedAt = new DateTimeOffset(reader.GetDateTime(2)),
            TokenHash = hasHash ? TokenHash.FromBytes(hash) : null,
            Jti = reader.IsDBNull(4) ? null : reader.GetString(4),
            ExpiresAt = new DateTimeOffset(reader.GetDateTime(5)),
        };
    }

    private static async Task<(Revision Revision, string? Unsound, IReadOnlyList<RevocationRow> Groups, IReadOnlyList<KeyRow> Keys)> ReadHeadOfSnapshotAsync(
        NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancellationToken);
        await ExecuteAsync(connection, "SET LOCAL statement_timeout = '5s'", cancellationToken);
        Revision revision;
        string? unsound;
        await using (var command = new NpgsqlCommand("SELECT epoch, seq, revocation_seq, ledger.unsound(h) AS unsound FROM ledger.head h", connection))
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            await reader.ReadAsync(cancellationToken);
            revision = ReadRevision(reader);
            unsound = ReadUnsound(reader);
        }
        var groups = new List<RevocationRow>();
        await using (var command = new NpgsqlCommand("""
            SELECT revocation_seq, seq, changed_at, NULL::text, NULL::bytea, NULL::text, NULL::timestamptz, kind, group_key, blocked, cut
              FROM ledger.blocked_groups ORDER BY revocation_seq
            """, connection))
        await using (var reader = await command.ExecuteReaderAsync(cancellationToken))
        {
            while (await reader.ReadAsync(cancellationToken)) groups.Add(ReadRow(reader, 0));
        }
        var keys = await ReadKeysAsync(connection, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return (revision, unsound, groups, keys);
    }

    /// <summary>Every key the ledger knows, whatever its state.</summary>
    public async Task<IReadOnlyList<KeyRow>> ReadKeysAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await ReadKeysAsync(connection, cancellationToken);
    }

    /// <summary>The oldest row a watcher can still be given; head + 1 when there is none.</summary>
    public async Task<RevocationSeq> ReadOldestAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT coalesce((SELECT min(revocation_seq) FROM ledger.revocations), h.revocation_seq + 1) FROM ledger.head h");
        return new RevocationSeq((long)(await command.ExecuteScalarAsync(cancellationToken))!);
    }

    /// <summary>Shows that the primary can be written to (<c>ledger.advance_beat</c>).</summary>
    /// <returns>Database time.</returns>
    public async Task<DateTimeOffset> AdvanceBeatAsync(CancellationToken cancellationToken)
    {
        await using var command = database.CreateCommand("SELECT ledger.advance_beat()");
        return new DateTimeOffset((DateTime)(await command.ExecuteScalarAsync(cancellationToken))!);
    }

    private static async Task<IReadOnlyList<KeyRow>> ReadKeysAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand($"SELECT {KeyColumns} FROM ledger.keys k ORDER BY k.seq", connection);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var keys = new List<KeyRow>();
        while (await reader.ReadAsync(cancellationToken)) keys.Add(ReadKey(reader, 0));
        return keys;
    }

    private static string? ReadUnsound(NpgsqlDataReader reader) => reader.GetOrdinal("unsound") is var column && reader.IsDBNull(column) ? null : reader.GetString(column);

    private static Revision ReadRevision(NpgsqlDataReader reader) =>
        new(reader.GetGuid(0), new Seq(reader.GetInt64(1)), new RevocationSeq(reader.GetInt64(2)));

    private static RevocationRow ReadRow(NpgsqlDataReader reader, int first)
    {
        var kind = (RevocationKind)reader.GetInt16(first + 7);
        return new RevocationRow
        {
            RevocationSeq = new RevocationSeq(reader.GetInt64(first)),
            Seq = new Seq(reader.GetInt64(first + 1)),
            RevokedAt = reader.GetFieldValue<DateTimeOffset>(first + 2),
            Reason = reader.IsDBNull(first + 3) ? null : reader.GetString(first + 3),
            TokenHash = reader.IsDBNull(first + 4) ? null : TokenHash.FromBytes(reader.GetFieldValue<byte[]>(first + 4)),
            Jti = reader.IsDBNull(first + 5) ? null : reader.GetString(first + 5),
            ExpiresAt = reader.IsDBNull(first + 6) ? null : reader.GetFieldValue<DateTimeOffset>(first + 6),
            Group = kind == RevocationKind.Token ? null : GroupKey.FromHash(kind, reader.GetFieldValue<byte[]>(first + 8)),
            Blocked = kind != RevocationKind.Token && reader.GetBoolean(first + 9),
            Cut = reader.GetInt64(first + 10),
        };
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
