using System.Runtime.InteropServices;

namespace ClawBureau.Cli;

/// <summary>
/// Ctrl-C, a request to terminate, a terminal that was closed: the first one cancels what runs, which then takes down what it
/// brought up, however long that takes. The second one ends the process at once.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _ended = new();
    private readonly List<PosixSignalRegistration> _registrations;

    public Interruption() =>
        _registrations = [.. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP]).Select(s => PosixSignalRegistration.Create(s, End))];

    public CancellationToken Token => _ended.Token;

    /// <summary>As shells have it: 128 and the signal's number. Null: there was no interruption.</summary>
    public int? ExitCode { get; private set; }

    public void Dispose()
    {
        foreach (var registration in _registrations) registration.Dispose();
        _ended.Dispose();
    }

    private void End(PosixSignalContext signal)
    {
        if (ExitCode is not null) return;
        ExitCode = signal.Signal switch { PosixSignal.SIGHUP => 129, PosixSignal.SIGINT => 130, _ => 143 };
        signal.Cancel = true;
        _ended.Cancel();
    }
}
