using System.Diagnostics;

namespace ClawBureau.Load;

/// <summary>One of the things that are measured beside each other.</summary>
/// <param name="Operation">Told the number of the client, does one call, and returns how many operations that was.</param>
/// <param name="Clients">Calls under way at one time.</param>
/// <param name="Server">The process that serves; null: nothing is called, and the CPU of the loops themselves counts.</param>
/// <param name="IsElsewhere">True where the work is done by processes whose CPU is not measured.</param>
internal sealed record Side(string Name, Func<int, ValueTask<int>> Operation, int Clients, Process? Server, bool IsElsewhere = false)
{
    /// <summary>CPU of the database server so far, whoever it worked for; null: it has no part in this.</summary>
    public Func<TimeSpan?>? Database { get; init; }

    /// <summary>Runs closed loops for that long.</summary>
    public async Task<Sample> RunAsync(TimeSpan duration, CancellationToken cancellationToken)
    {
        var (server, client, database) = (ServerCpu(), ClientCpu(), Database?.Invoke());
        long began = Stopwatch.GetTimestamp();
        long until = began + (long)(duration.TotalSeconds * Stopwatch.Frequency);
        var workers = await Task.WhenAll(Enumerable.Range(0, Clients).Select(worker => Task.Run(async () =>
        {
            var latencies = new List<long>(4096);
            long done = 0;
            // Where nothing is called nothing is waited for, so a loop stays on its thread.
            var own = ThreadCpu.Now();
            for (long now = Stopwatch.GetTimestamp(); now < until && !cancellationToken.IsCancellationRequested;)
            {
                done += await Operation(worker);
                long after = Stopwatch.GetTimestamp();
                latencies.Add(after - now);
                now = after;
            }
            return (Done: done, Latencies: latencies, Cpu: ThreadCpu.Now() - own);
        }, cancellationToken)));
        cancellationToken.ThrowIfCancellationRequested();
        return new Sample(
            workers.Sum(worker => worker.Done), Stopwatch.GetElapsedTime(began),
            Server is null ? TimeSpan.FromTicks(workers.Sum(worker => worker.Cpu.Ticks)) : ServerCpu() - server, ClientCpu() - client, [.. workers.SelectMany(worker => worker.Latencies)])
        { DatabaseCpu = Database?.Invoke() - database };
    }

    private TimeSpan ServerCpu()
    {
        if (Server is null) return TimeSpan.Zero;
        Server.Refresh();
        return Server.TotalProcessorTime;
    }

    private static TimeSpan ClientCpu() => Environment.CpuUsage.TotalTime;
}

/// <summary>What a side did in one round.</summary>
internal sealed record Sample(long Operations, TimeSpan Elapsed, TimeSpan ServerCpu, TimeSpan ClientCpu, IReadOnlyList<long> Latencies)
{
    /// <summary>Null where it is not told.</summary>
    public TimeSpan? DatabaseCpu { get; init; }

    public double PerSecond => Operations / Elapsed.TotalSeconds;
}
