using ClawBureau.Ledger.Statements;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger;

/// <summary>
/// One batch on one connection: everything in one write, in one implicit transaction (DESIGN "The ledger", rule 2).
/// </summary>
internal sealed class LedgerBatch
{
    // Alone, so that every later statement takes its snapshot after the lock was granted: a statement that waits for the
    // lock itself keeps the older snapshot and would mint after a freeze.
    public const string LockHead = "SELECT epoch FROM ledger.head FOR UPDATE";

    private const string Announce = """
        WITH alive AS (
          UPDATE ledger.head SET beat = beat + 1, beat_at = clock_timestamp() WHERE beat_at < clock_timestamp() - interval '500 ms'
        )
        INSERT INTO ledger.batches (batch_id, abandoned, first_seq, recorded_at)
        SELECT $1, false, h.seq + 1, clock_timestamp() FROM ledger.head h WHERE ledger.require_sound(h, $2, $3)
        """;

    /// <summary>SQLSTATE of a batch refused because the ledger was restored, failed over or rolled back (ledger.require_sound).</summary>
    public const string NotSound = "LR001";

    private readonly List<ActStatement> _statements;

    public LedgerBatch(IReadOnlyList<PendingAct> acts)
    {
        Acts = acts;
        for (int i = 0; i < acts.Count; i++)
        {
            acts[i].Ordinal = i;
            acts[i].Outcome = null;
        }
        // Revocations, lifts and control acts before mints: a mint of this batch is judged by what they leave.
        _statements = [.. acts.GroupBy(a => a.Act.GetType()).OrderBy(g => g.Key == typeof(MintAct)).Select(g => StatementFor([.. g]))];
    }

    public Guid Id { get; } = Guid.CreateVersion7();
    public IReadOnlyList<PendingAct> Acts { get; }

    /// <summary>Sends the batch and reads its verdicts. When this returns, it is committed.</summary>
    /// <param name="known">The last act its writer knows of: a ledger that ends before it has lost acts.</param>
    /// <param name="rewrite">Null always, but for the negative controls in tests: what is sent instead of a statement.</param>
    /// <exception cref="NpgsqlException">The batch failed; whether it committed is for the caller to find out.</exception>
    public async Task ExecuteAsync(NpgsqlConnection connection, (Guid Epoch, Seq Seq) known, Func<string, string>? rewrite, CancellationToken cancellationToken)
    {
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(new NpgsqlBatchCommand(LockHead));
        batch.BatchCommands.Add(new NpgsqlBatchCommand(Announce) { Parameters = { new() { Value = Id }, new() { Value = known.Epoch }, new() { Value = known.Seq.Value } } });
        bool judgesCallers = CallerStatement.TryAddTo(batch, Acts);
        foreach (var statement in _statements) statement.AddTo(batch, Id);
        if (rewrite is not null)
            foreach (var command in batch.BatchCommands) command.CommandText = rewrite(command.CommandText);

        await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        var epoch = reader.GetGuid(0);
        await reader.NextResultAsync(cancellationToken);
        if (judgesCallers) await reader.NextResultAsync(cancellationToken);
        foreach (var statement in _statements)
        {
            await statement.ReadAsync(reader, epoch, cancellationToken);
            await reader.NextResultAsync(cancellationToken);
        }
    }

    private static ActStatement StatementFor(IReadOnlyList<PendingAct> acts) => acts[0].Act switch
    {
        MintAct => new MintStatement(acts),
        RevokeTokenAct => new RevokeTokenStatement(acts),
        BlockGroupAct => new GroupStatement(acts, lift: false),
        LiftBlockAct => new GroupStatement(acts, lift: true),
        KeyAct => new KeyStatement(acts),
        PolicyAct => new PolicyStatement(acts),
        ControlAct => new ControlActStatement(acts),
        var act => throw new InvalidOperationException($"no statement records a {act.GetType().Name}"),
    };
}
