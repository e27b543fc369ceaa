using System.Diagnostics;
using System.Globalization;

namespace ClawBureau.Stack;

/// <summary>
/// Keeps a stack standing: a process that ends is started again, after a pause that doubles while it does not last, and so is
/// the database server where it is the stack's own.
/// </summary>
/// <param name="stack">Described anew whenever a process has another id.</param>
/// <param name="report">Told of every end and every start.</param>
internal sealed class Supervisor(LocalStack stack, Action<string> report)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan MostPause = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan MostStarting = TimeSpan.FromSeconds(60);

    /// <summary>One that stood for this long begins with the first pause again.</summary>
    private static readonly TimeSpan Lasting = TimeSpan.FromSeconds(30);

    /// <summary>Until it is cancelled; then nothing is being started any more.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var kept = stack.Services.Select(service => KeepAsync(service.Name, () => service.Process.WaitForExitAsync(cancellationToken), () => EndOf(service), () => StartAsync(service, cancellationToken), cancellationToken));
        if (stack.Postgres is LocalPostgres postgres)
            kept = kept.Append(KeepAsync("PostgreSQL", () => postgres.WaitForExitAsync(cancellationToken), () => "", () => postgres.StartAgainAsync(cancellationToken), cancellationToken));
        await Task.WhenAll(kept).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task KeepAsync(string name, Func<Task> endAsync, Func<string> end, Func<Task> startAsync, CancellationToken cancellationToken)
    {
        var pause = FirstPause;
        var stands = Stopwatch.StartNew();
        while (true)
        {
            await endAsync();
            cancellationToken.ThrowIfCancellationRequested();
            if (stands.Elapsed > Lasting) pause = FirstPause;
            report($"{name} ended{end()}; it is started again in {pause.TotalSeconds.ToString("0.##", CultureInfo.InvariantCulture)} s");
            await Task.Delay(pause, cancellationToken);
            pause = pause * 2 < MostPause ? pause * 2 : MostPause;
            stands.Restart();
            try
            {
                await startAsync();
                report($"{name} is up again");
            }
            catch (StackException e)
            {
                report($"{name} did not come up: {e.Message}");     // where it has ended, the next round tries again
            }
        }
    }

    private async Task StartAsync(ServiceInstance service, CancellationToken cancellationToken)
    {
        service.Restart();
        stack.Describe();
        await service.WaitUntilServingAsync(stack.Peer, MostStarting, cancellationToken);
    }

    private static string EndOf(ServiceInstance service) => $" with code {service.Process.ExitCode} ({service.LastWords()})";
}
