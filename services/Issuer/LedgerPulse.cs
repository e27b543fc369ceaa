using ClawBureau.Hosting.Health;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Ledger;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Issuer;

/// <summary>
/// Brings the Issuer to work and keeps it fit: requires the schema, announces the keys, then twice a second shows that the
/// primary can be written to, compares clocks and tends the keys; now and then makes room ahead and drops what has expired.
/// </summary>
public sealed class LedgerPulse(
    LedgerReads ledger, LedgerWriter writer, KeyKeeper keys, ControlViews views, DatabaseClock clock, IssuerOptions options,
    Readiness readiness, TimeProvider time, ILogger<LedgerPulse> log) : BackgroundService
{
    private const string Condition = "ledger";
    private const long RoomAhead = 1 << 23;     // half a partition of ledger.events
    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(500);
    private const int BeatsBetweenChores = 120;

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        readiness.SetNotReady(Condition, "connecting to the ledger");
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Beat, time);
        bool announced = false, away = false;
        int beats = 0;
        do
        {
            try
            {
                if (!announced)
                {
                    await Migrator.RequireCurrentAsync(ledger.Source, stoppingToken);
                    await CompareClocksAsync(stoppingToken);
                    await RequireSoundAsync(stoppingToken);
                    await ledger.Reader.RaiseLongestTtlAsync(PolicyBook.LongestTtlOf(options.Policy), stoppingToken);
                    await keys.AnnounceAsync(stoppingToken);
                    announced = true;
                }
                else
                {
                    await CompareClocksAsync(stoppingToken);
                    await RequireSoundAsync(stoppingToken);
                }
                if (beats++ % BeatsBetweenChores == 0) await DoChoresAsync(stoppingToken);
                await keys.TendAsync(stoppingToken);
                if (views.Current is null || away) await views.RefreshAsync(stoppingToken);
                if (away) Log.LedgerBack(log);
                views.IsUnsound = away = false;
                readiness.SetReady(Condition);
            }
            catch (InvalidOperationException e)             // the schema is not this build's: the sentence says what to do
            {
                readiness.SetNotReady(Condition, e.Message);
                if (!away) Log.LedgerAway(log, e.Message);
                away = true;
            }
            catch (Exception e) when (e is NpgsqlException or TimeoutException or Refusal || (e is OperationCanceledException && !stoppingToken.IsCancellationRequested))
            {
                readiness.SetNotReady(Condition, e is Refusal { Reason: Reason.LedgerNeedsRecovery } ? ReasonCatalog.Of(Reason.LedgerNeedsRecovery).Sentence : "the ledger database cannot be reached");
                if (!away) Log.LedgerAway(log, e.Message);
                away = true;
                if (e is not Refusal { Reason: Reason.LedgerNeedsRecovery }) continue;
                views.IsUnsound = true;
                announced = false;              // what recovery leaves may lack what was announced
            }
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    /// <summary>Remembers how far the ledger goes, so that this process notices a loss also where it records little.</summary>
    private async Task RequireSoundAsync(CancellationToken cancellationToken)
    {
        var known = writer.Known;
        try
        {
            var (epoch, seq) = await ledger.Reader.RequireSoundAsync(cancellationToken);
            if (epoch == known.Epoch && seq < known.Seq) throw new Refusal(Reason.LedgerNeedsRecovery);
            writer.Saw(epoch, seq);
        }
        catch (Refusal)
        {
            await ledger.Reader.ReportLossAsync(new Revision(known.Epoch, known.Seq, default), 0, cancellationToken);
            throw;
        }
    }

    private async Task CompareClocksAsync(CancellationToken cancellationToken)
    {
        var asked = time.GetUtcNow();
        long askedAt = time.GetTimestamp();
        clock.Compare(await ledger.Reader.AdvanceBeatAsync(cancellationToken), asked, askedAt);
    }

    private async Task DoChoresAsync(CancellationToken cancellationToken)
    {
        await using (var room = ledger.Source.CreateCommand("SELECT ledger.extend_events((SELECT seq FROM ledger.head) + $1)"))
        {
            room.Parameters.Add(new() { Value = RoomAhead });
            await room.ExecuteNonQueryAsync(cancellationToken);
        }
        await using var prune = ledger.Source.CreateCommand("SELECT ledger.prune(5000)");
        await prune.ExecuteNonQueryAsync(cancellationToken);
        await using var passed = ledger.Source.CreateCommand("DELETE FROM ledger.ahead WHERE iat <= (SELECT max_iat FROM ledger.head)");
        await passed.ExecuteNonQueryAsync(cancellationToken);
    }
}
