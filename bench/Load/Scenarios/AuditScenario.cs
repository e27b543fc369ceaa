using System.Security.Cryptography;
using System.Text;
using ClawBureau.Protos.Audit.V1;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Npgsql;
using NpgsqlTypes;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// Events into the audit log, exactly once and hashed, from a few sources at one time, beside the same bytes put into a table: as much of
/// them a transaction as the sink commits at once, a row a call. Between the two stands how fast all that the log keeps of them can be
/// inserted: salts, leaf hashes and leaves too.
/// </summary>
internal static class AuditScenario
{
    private const int EventsPerCall = 1000;
    private const int Sources = 4;
    private const int PayloadBytes = 400;
    private const int KeptBytes = PayloadBytes + 32 + 32 + 230 + 20;        // salt, leaf hash, leaf, keys and lengths

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        var sink = stack.Stack.First("audit-sink");
        var clients = Enumerable.Range(0, Sources).Select(_ => new AuditService.AuditServiceClient(stack.Open(sink, "edge").Calls)).ToArray();
        var run = Guid.NewGuid().ToString("N")[..8];
        var epochs = Enumerable.Range(0, Sources).Select(_ => Guid.NewGuid().ToString()).ToArray();
        var next = new long[Sources];           // each its own client's
        var payload = ByteString.CopyFrom(Encoding.UTF8.GetBytes($"\"{new string('x', PayloadBytes - 2)}\""));
        await using var database = NpgsqlDataSource.Create(stack.Stack.Database.Admin);
        await ExecuteAsync("""
            DROP TABLE IF EXISTS public.bench_audit;
            CREATE TABLE public.bench_audit (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entries bytea NOT NULL);
            ALTER TABLE public.bench_audit ALTER COLUMN entries SET STORAGE EXTERNAL
            """);
        var bytes = RandomNumberGenerator.GetBytes(PayloadBytes * EventsPerCall);
        var kept = RandomNumberGenerator.GetBytes(KeptBytes * EventsPerCall);
        measured(await new Comparison(options, report).RunAsync(
            [
                new Side($"audit append, {EventsPerCall} a call, c={Sources}", AppendAsync, Sources, sink.Process) { Database = stack.DatabaseCpu },
                new Side("all that the log keeps of them inserted", _ => InsertAsync(kept), 1, null, IsElsewhere: true) { Database = stack.DatabaseCpu },
                new Side("the same bytes inserted, not hashed", _ => InsertAsync(bytes), 1, null, IsElsewhere: true) { Database = stack.DatabaseCpu },
            ], hasBaseline: true, cancellationToken));
        await ExecuteAsync("DROP TABLE public.bench_audit");

        async ValueTask<int> AppendAsync(int client)
        {
            var now = Timestamp.FromDateTimeOffset(TimeProvider.System.GetUtcNow());
            var request = new AppendEventsRequest { Source = $"edge/bench-{run}-{client}", Epoch = epochs[client] };
            for (int i = 1; i <= EventsPerCall; i++)
                request.Events.Add(new AuditEvent { Seq = next[client] + i, Kind = "edge.measured", RecordedAt = now, Payload = payload, Keys = new EventKeys { TraceId = run } });
            var answer = await clients[client].AppendEventsAsync(request, cancellationToken: cancellationToken);
            if (answer.LastSeq != next[client] + EventsPerCall) throw new InvalidOperationException($"the log has a source up to {answer.LastSeq} that told {next[client] + EventsPerCall} events");
            next[client] = answer.LastSeq;
            return EventsPerCall;
        }

        async ValueTask<int> InsertAsync(byte[] row)
        {
            await using var command = database.CreateCommand("INSERT INTO public.bench_audit (entries) SELECT * FROM unnest($1)");
            command.Parameters.Add(new() { Value = Enumerable.Repeat(row, Sources).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });
            await command.ExecuteNonQueryAsync(cancellationToken);
            return Sources * EventsPerCall;
        }

        async Task ExecuteAsync(string sql)
        {
            await using var command = database.CreateCommand(sql);
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
    }
}
