using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>
/// The last read <see cref="ControlView"/>. It only ever spares the ledger a second judging; a refusal always comes from the
/// ledger itself, because a view may be old.
/// </summary>
public sealed class ControlViews(LedgerReads ledger, ILogger<ControlViews> log)
{
    private int _refreshing;                    // 1 while one refresh runs
    private volatile ControlView? _current;
    private volatile bool _unsound;

    public ControlView? Current => _current;

    /// <summary>Set by <see cref="LedgerPulse"/> while the ledger waits for recovery.</summary>
    public bool IsUnsound
    {
        set => _unsound = value;
    }

    /// <summary>Spares work, and tells why where there is no view yet; the ledger itself refuses every act in any case.</summary>
    /// <exception cref="Refusal">LEDGER_NEEDS_RECOVERY.</exception>
    public void RequireSound()
    {
        if (_unsound) throw new Refusal(Reason.LedgerNeedsRecovery);
    }

    public async Task RefreshAsync(CancellationToken cancellationToken) =>
        _current = await ControlView.ReadAsync(ledger.Source, cancellationToken);

    /// <summary>Reads again before going on, where the ledger's answer showed that the view is old.</summary>
    /// <exception cref="Refusal">LEDGER_UNAVAILABLE.</exception>
    public async Task CatchUpAsync(CancellationToken cancellationToken)
    {
        try
        {
            await RefreshAsync(cancellationToken);
        }
        catch (Exception e) when (e is Npgsql.NpgsqlException or TimeoutException)
        {
            throw new Refusal(Reason.LedgerUnavailable, inner: e);
        }
    }

    /// <summary>Told by every answer of the ledger; reads again, in the background, when control acts have moved on.</summary>
    public void Observe(long controlSeq)
    {
        if (_current?.ControlSeq >= controlSeq || Interlocked.Exchange(ref _refreshing, 1) == 1) return;
        _ = RefreshInBackgroundAsync();
    }

    private async Task RefreshInBackgroundAsync()
    {
        try
        {
            await RefreshAsync(CancellationToken.None);
        }
        catch (Exception e) when (e is Npgsql.NpgsqlException or TimeoutException)
        {
            Log.ViewNotRead(log, e.Message);    // the ledger goes on judging every mint itself
        }
        finally
        {
            Volatile.Write(ref _refreshing, 0);
        }
    }
}
