using ClawBureau.Ledger.Model;
using ClawBureau.Testing;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace ClawBureau.Ledger.Tests;

public sealed class SchemaTests
{
    [Fact]
    public async Task The_model_is_the_migrated_schema()
    {
        await using var database = await TestDatabases.CreateAsync();
        await using var admin = NpgsqlDataSource.Create(database.Admin);
        var contexts = new DbContext[]
        {
            new PolicyContext(new DbContextOptionsBuilder<PolicyContext>().UseNpgsql(admin).Options),
            new ControlContext(new DbContextOptionsBuilder<ControlContext>().UseNpgsql(admin).Options),
        };
        foreach (var context in contexts)
        {
            await using (context)
            {
                var schema = context.Model.GetDefaultSchema()!;
                var modelled = context.GetService<IDesignTimeModel>().Model.GetRelationalModel().Tables
                    .SelectMany(t => t.Columns.Select(c => $"{t.Name}.{c.Name} {c.StoreType}{(c.IsNullable ? "" : " not null")}{(t.PrimaryKey!.Columns.Contains(c) ? " key" : "")}"))
                    .Concat(context.Model.GetRelationalModel().Tables.SelectMany(t => t.Indexes.Select(i => $"{t.Name} index({string.Join(",", i.Columns.Select(c => c.Name))}){(i.IsUnique ? " unique" : "")}")));
                Assert.Equal(await ReadSchemaAsync(admin, schema), modelled.Order(StringComparer.Ordinal));
            }
        }
    }

    [Fact]
    public async Task Migrating_twice_or_at_the_same_time_applies_each_migration_once()
    {
        await using var database = await TestDatabases.CreateEmptyAsync();
        await using var admin = NpgsqlDataSource.Create(database.Admin);
        await Assert.ThrowsAsync<InvalidOperationException>(() => Migrator.RequireCurrentAsync(admin, CancellationToken.None));

        var applied = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => new Migrator(admin, NullLogger.Instance).MigrateAsync(CancellationToken.None)));

        Assert.Equal(Migrator.Count, applied.Sum());
        Assert.Equal(0, await new Migrator(admin, NullLogger.Instance).MigrateAsync(CancellationToken.None));
        await using var issuer = NpgsqlDataSource.Create(database.Issuer);
        await Migrator.RequireCurrentAsync(issuer, CancellationToken.None);
    }

    [Fact]
    public async Task A_migration_applied_from_another_text_stops_the_migrator()
    {
        await using var database = await TestDatabases.CreateAsync();
        await using var admin = NpgsqlDataSource.Create(database.Admin);
        await using (var tamper = admin.CreateCommand("UPDATE migration.applied SET sha256 = '\\x00' WHERE version = 1")) await tamper.ExecuteNonQueryAsync();
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => new Migrator(admin, NullLogger.Instance).MigrateAsync(CancellationToken.None));
        Assert.Contains("Migration 1", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("claw_issuer", "UPDATE ledger.events SET payload = ''")]
    [InlineData("claw_issuer", "DELETE FROM ledger.events")]
    [InlineData("claw_issuer", "UPDATE ledger.revocations SET reason = ''")]
    [InlineData("claw_issuer", "DELETE FROM ledger.revoked_tokens")]
    [InlineData("claw_issuer", "TRUNCATE ledger.issued")]
    [InlineData("claw_issuer", "UPDATE ledger.key_snapshots SET payload = ''")]
    [InlineData("claw_issuer", "DELETE FROM ledger.key_snapshots")]
    [InlineData("claw_introspector", "SELECT * FROM ledger.key_snapshots")]
    [InlineData("claw_issuer", "CREATE TABLE ledger.mine (x int)")]
    [InlineData("claw_issuer", "SELECT * FROM audit.anything")]
    [InlineData("claw_introspector", "UPDATE ledger.head SET seq = 0")]
    [InlineData("claw_introspector", "INSERT INTO ledger.revocations DEFAULT VALUES")]
    [InlineData("claw_introspector", "SELECT signed_payload FROM ledger.idempotency")]
    [InlineData("claw_introspector", "SELECT payload FROM ledger.events")]
    [InlineData("claw_introspector", "SELECT ledger.prune(1)")]
    [InlineData("claw_introspector", "SELECT * FROM ledger.ahead")]
    [InlineData("claw_introspector", "SELECT * FROM audit.head")]
    [InlineData("claw_audit", "SELECT * FROM ledger.head")]
    [InlineData("claw_audit", "SELECT * FROM ledger.relay")]
    [InlineData("claw_audit", "SELECT * FROM policy.versions")]
    [InlineData("claw_audit", "UPDATE audit.runs SET leaves = ''")]
    [InlineData("claw_audit", "DELETE FROM audit.runs")]
    [InlineData("claw_audit", "TRUNCATE audit.runs")]
    [InlineData("claw_audit", "UPDATE audit.payloads SET payloads = ''")]
    [InlineData("claw_audit", "DELETE FROM audit.payloads")]
    [InlineData("claw_audit", "UPDATE audit.tiles SET hashes = hashes")]
    [InlineData("claw_audit", "DELETE FROM audit.cursors")]
    [InlineData("claw_audit", "UPDATE audit.cursors SET epoch = gen_random_uuid()")]
    [InlineData("claw_audit", "DELETE FROM audit.head")]
    [InlineData("claw_audit", "CREATE TABLE audit.mine (x int)")]
    [InlineData("claw_issuer", "SELECT * FROM audit.runs")]
    public async Task A_role_can_do_no_more_than_its_service_needs(string role, string sql)
    {
        await using var database = await TestDatabases.CreateAsync();
        var connectionString = role switch { "claw_issuer" => database.Issuer, "claw_introspector" => database.Introspector, _ => database.Audit };
        await using var source = NpgsqlDataSource.Create(connectionString);
        await using var command = source.CreateCommand(sql);
        var refused = await Assert.ThrowsAsync<PostgresException>(() => command.ExecuteNonQueryAsync());
        Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, refused.SqlState);
    }

    [Fact]
    public async Task Events_find_their_partition_when_the_first_one_is_full()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.ExecuteAsync("UPDATE ledger.head SET seq = 16777214");
        await using var issuer = NpgsqlDataSource.Create(ledger.Database.Issuer);
        await using (var extend = issuer.CreateCommand("SELECT ledger.extend_events(16777216)")) await extend.ExecuteNonQueryAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => ledger.Writer.AppendAsync(Acts.Mint(), CancellationToken.None)));
        Assert.Equal(16777218, answers.Max(a => a.Seq.Value));
    }

    private static async Task<IEnumerable<string>> ReadSchemaAsync(NpgsqlDataSource admin, string schema)
    {
        await using var command = admin.CreateCommand($"""
            SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                   || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
                   || CASE WHEN EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)) THEN ' key' ELSE '' END
              FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r'
            UNION ALL
            SELECT c.relname || ' index(' || (SELECT string_agg(a.attname, ',' ORDER BY array_position(i.indkey::int[], a.attnum::int)) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)) || ')'
                   || CASE WHEN i.indisunique THEN ' unique' ELSE '' END
              FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
             WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' AND NOT i.indisprimary
            """);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string>();
        while (await reader.ReadAsync()) rows.Add(reader.GetString(0));
        return rows.Order(StringComparer.Ordinal);
    }
}
