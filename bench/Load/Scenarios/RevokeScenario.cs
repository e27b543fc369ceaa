using System.Security.Cryptography;
using ClawBureau.Protos.Revocation.V1;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// Revocations, a hundred a call, beside the rows they leave behind written by plain SQL: the same tables, empty copies with the same
/// indexes, a hundred rows of each per transaction, one connection after the other as the ledger's writer does it.
/// </summary>
internal static class RevokeScenario
{
    private const int BatchSize = 100;
    private const int Clients = 8;

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        await using var database = NpgsqlDataSource.Create(stack.Stack.Database.Admin);
        await using (var create = database.CreateCommand("""
            DROP SCHEMA IF EXISTS bench CASCADE;
            CREATE SCHEMA bench;
            CREATE TABLE bench.events (LIKE ledger.events INCLUDING ALL);
            CREATE TABLE bench.revocations (LIKE ledger.revocations INCLUDING ALL);
            CREATE TABLE bench.revoked_tokens (LIKE ledger.revoked_tokens INCLUDING ALL);
            """))
        {
            await create.ExecuteNonQueryAsync(cancellationToken);
        }
        var connect = stack.Connect(stack.Stack.Issuer, options.Clients);
        var clients = Enumerable.Range(0, options.Clients).Select(client => new RevocationService.RevocationServiceClient(connect(client))).ToArray();
        measured(await new Comparison(options, report).RunAsync(
            [
                new Side($"revoke, {BatchSize} a call, c={Math.Min(Clients, options.Clients)}", client => RevokeAsync(client, BatchSize), Math.Min(Clients, options.Clients), stack.Stack.Issuer.Process) { Database = stack.DatabaseCpu },
                new Side($"revoke one a call c={options.Clients}", client => RevokeAsync(client, 1), options.Clients, stack.Stack.Issuer.Process) { Database = stack.DatabaseCpu },
                new Side($"the same rows in raw SQL, {BatchSize} a transaction", _ => InsertAsync(database), 1, null, IsElsewhere: true) { Database = stack.DatabaseCpu },
            ], hasBaseline: true, cancellationToken));
        await using var drop = database.CreateCommand("DROP SCHEMA bench CASCADE");
        await drop.ExecuteNonQueryAsync(cancellationToken);

        async ValueTask<int> RevokeAsync(int client, int count)
        {
            var request = new RevokeTokensRequest { Reason = "bench" };
            for (int i = 0; i < count; i++) request.Targets.Add(new RevocationTarget { TokenHash = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) });
            var answer = await clients[client].RevokeTokensAsync(request, cancellationToken: cancellationToken);
            if (answer.Results.Any(result => result.Revocation is null)) throw new InvalidOperationException("a token was not revoked");
            return count;
        }
    }

    private static long _row;

    private static async ValueTask<int> InsertAsync(NpgsqlDataSource database)
    {
        long first = Interlocked.Add(ref _row, BatchSize) - BatchSize + 1;
        var numbers = Enumerable.Range(0, BatchSize).Select(i => first + i).ToArray();
        var hashes = numbers.Select(_ => RandomNumberGenerator.GetBytes(32)).ToArray();
        // About as long as the event of a revocation.
        var payloads = numbers.Select(_ => RandomNumberGenerator.GetBytes(180)).ToArray();
        await using var connection = await database.OpenConnectionAsync();
        await using var batch = new NpgsqlBatch(connection);
        Add("""
            INSERT INTO bench.events (seq, batch_id, ordinal, kind, recorded_at, token_hash, payload)
            SELECT n, gen_random_uuid(), 1, 2, clock_timestamp(), h, p FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS r(n, h, p)
            """, payloads);
        Add("""
            INSERT INTO bench.revocations (revocation_seq, seq, kind, effect, token_hash, expires_at, revoked_at, reason)
            SELECT n, n, 1, 1, h, clock_timestamp() + interval '30 days', clock_timestamp(), 'bench' FROM unnest($1::bigint[], $2::bytea[]) AS r(n, h)
            """, null);
        Add("""
            INSERT INTO bench.revoked_tokens (revocation_seq, seq, token_hash, expires_at, revoked_at, revoked_by, reason)
            SELECT n, n, h, clock_timestamp() + interval '30 days', clock_timestamp(), 'admin:stack', 'bench' FROM unnest($1::bigint[], $2::bytea[]) AS r(n, h)
            """, null);
        await batch.ExecuteNonQueryAsync();
        return BatchSize;

        void Add(string sql, byte[][]? more)
        {
            var command = new NpgsqlBatchCommand(sql);
            command.Parameters.Add(new() { Value = numbers, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
            command.Parameters.Add(new() { Value = hashes, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });
            if (more is not null) command.Parameters.Add(new() { Value = more, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });
            batch.BatchCommands.Add(command);
        }
    }
}
