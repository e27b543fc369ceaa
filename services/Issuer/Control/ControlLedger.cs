using System.Data;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace ClawBureau.Issuer.Control;

/// <summary>What came of looking at a request: an act to record, or an answer that stands already.</summary>
internal sealed record Decision<T>(ControlAct? Act, Func<ActOutcome?, T> Answer, string? SpentChallenge)
{
    public static Decision<T> Record(ControlAct act, Func<ActOutcome, T> answer) => new(act, outcome => answer(outcome!), null);

    /// <param name="answer">Nothing changes; this is how it stands.</param>
    /// <param name="spentChallenge">Not to be used again all the same; null where it stays.</param>
    public static Decision<T> Stands(T answer, string? spentChallenge = null) => new(null, _ => answer, spentChallenge);
}

/// <summary>
/// The way of every mutation of the control plane:
/// 1. its records are read in one snapshot;
/// 2. the request is judged by them, in the contract's order;
/// 3. the ledger records the act if what was read still holds;
/// 4. otherwise it is read and judged again.
/// </summary>
internal sealed class ControlLedger(LedgerReads reads, LedgerWriter ledger, ControlViews views, DatabaseClock clock, ILogger<ControlLedger> log)
{
    private const int MostAttempts = 16;

    private readonly DbContextOptions<ControlContext> _database = new DbContextOptionsBuilder<ControlContext>().UseNpgsql(reads.Source).Options;

    /// <exception cref="Refusal">LEDGER_UNAVAILABLE, or what <paramref name="read"/> throws.</exception>
    public async Task<T> ReadAsync<T>(Func<ControlSnapshot, Task<T>> read, CancellationToken cancellationToken)
    {
        try
        {
            await using var context = new ControlContext(_database);
            await using var transaction = await context.Database.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancellationToken);
            return await read(new ControlSnapshot(context, clock.Now(), cancellationToken));
        }
        catch (Exception e) when (IsDatabaseAway(e))
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    /// <exception cref="Refusal">What <paramref name="decide"/> throws; CHALLENGE_NOT_FOUND, GROUP_BLOCKED, LEDGER_*.</exception>
    public async Task<T> ActAsync<T>(Func<ControlSnapshot, Task<Decision<T>>> decide, CancellationToken cancellationToken)
    {
        for (int attempt = 1; attempt <= MostAttempts; attempt++)
        {
            var decision = await ReadAsync(decide, cancellationToken);                  // 1, 2
            if (decision.Act is not { } act)
            {
                if (decision.SpentChallenge is { } spent) await SpendAsync(spent, cancellationToken);
                return decision.Answer(null);
            }
            var outcome = await ledger.AppendAsync(act, cancellationToken);             // 3
            views.Observe(outcome.ControlSeq);
            switch (outcome.Verdict)
            {
                case Verdict.Recorded:
                    Log.ControlActRecorded(log, act.Kind, outcome.Seq, act.Caller);
                    return decision.Answer(outcome);
                case Verdict.Stale:                                                     // 4
                    continue;
                case Verdict.ChallengeUnusable:
                    throw new Refusal(Reason.ChallengeNotFound);
                case Verdict.Blocked:
                    throw new Refusal(Reason.GroupBlocked, metadata: new Dictionary<string, string> { ["group_kind"] = $"{outcome.BlockedBy}" });
                default:
                    throw new InvalidOperationException($"the ledger said {outcome.Verdict} of a control act");
            }
        }
        throw new Refusal(Reason.LedgerOverloaded);
    }

    /// <summary>Takes a challenge out of use that no act consumed. Nothing is recorded: nothing has changed.</summary>
    private async Task SpendAsync(string challengeId, CancellationToken cancellationToken)
    {
        try
        {
            await using var command = reads.Source.CreateCommand("DELETE FROM control.challenges WHERE challenge_id = $1 AND consumed_seq IS NULL");
            command.Parameters.Add(new() { Value = challengeId });
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception e) when (IsDatabaseAway(e))
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    // EF Core wraps what it takes for transient.
    internal static bool IsDatabaseAway(Exception e) =>
        e is NpgsqlException or TimeoutException || (e is InvalidOperationException && e.InnerException is NpgsqlException or TimeoutException);
}
