using System.Diagnostics;
using System.Security.Cryptography;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// From a revocation being answered to each watcher having it, with 1 to 10,000 of them: on connections of a hundred streams, and on
/// a connection each. Watchers and revoker are this one process, which has its own part in the delay.
/// </summary>
internal static class WatchScenario
{
    private const int StreamsPerConnection = 90;
    private const int ProbesPerRound = 2;
    private const int MostAttempts = 6;
    private static readonly TimeSpan MostWait = TimeSpan.FromSeconds(60);

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        foreach (var count in (int[])[1, 100, 1_000, 10_000])
        {
            foreach (var separate in (bool[])[false, true])
            {
                if (separate && count == 1) continue;       // the same thing
                measured([await RunAsync(stack, options, report, count, separate, cancellationToken)]);
            }
        }
    }

    private static async Task<Row> RunAsync(LoadStack stack, LoadOptions options, Action<string> report, int count, bool separate, CancellationToken cancellationToken)
    {
        var name = $"watch, {count:N0} on {(separate ? "a connection each" : $"{(count + StreamsPerConnection - 1) / StreamsPerConnection:N0} connections")}";
        report($"{name}: connecting");
        var channels = Enumerable.Range(0, separate ? count : (count + StreamsPerConnection - 1) / StreamsPerConnection).Select(_ => stack.Open(stack.Stack.Introspector)).ToArray();
        var arrivals = new Arrivals(count);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var watching = new Task[count];
        try
        {
            // A few at a time: what is measured is not how fast ten thousand handshakes are.
            await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = 32, CancellationToken = cancellationToken }, async (watcher, token) =>
                watching[watcher] = await OpenAsync(channels[watcher % channels.Length], watcher, arrivals, stop.Token));
            var revoke = new RevocationService.RevocationServiceClient(stack.Connect(stack.Stack.Issuer, 1)(0));
            for (int warm = 0; warm < 3; warm++) await ProbeAsync(revoke, arrivals, cancellationToken);

            var counted = new Rounds();
            var rounds = await counted.RunAsync(options.Rounds, async done =>
            {
                report($"{name}: round {done + 1} of {options.Rounds}");
                var (serverBefore, clientBefore, began) = (ServerCpu(), Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
                var delays = new List<long>(ProbesPerRound * count);
                for (int probe = 0; probe < ProbesPerRound; probe++) delays.AddRange(await ProbeAsync(revoke, arrivals, cancellationToken));
                return (Delays: delays, Elapsed: Stopwatch.GetElapsedTime(began), Server: ServerCpu() - serverBefore, Client: Environment.CpuUsage.TotalTime - clientBefore);
            });
            long all = rounds.Sum(round => (long)round.Delays.Count);
            return new Row(
                name, Comparison.Median(rounds.Select(round => round.Delays.Count / round.Elapsed.TotalSeconds)),
                Comparison.Milliseconds(rounds.SelectMany(round => round.Delays), 0.5), Comparison.Milliseconds(rounds.SelectMany(round => round.Delays), 0.99),
                rounds.Sum(round => round.Server.TotalMicroseconds) / all, rounds.Sum(round => round.Client.TotalMicroseconds) / all, null, null, null, counted.Discarded, counted.Stolen);
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(watching.Where(task => task is not null)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var channel in channels) stack.Close(channel);
        }

        TimeSpan ServerCpu()
        {
            var process = stack.Stack.Introspector.Process;
            process.Refresh();
            return process.TotalProcessorTime;
        }
    }

    /// <summary>A watcher tries again when it is turned away, as watchers do; its handshakes are not what is measured.</summary>
    private static async Task<Task> OpenAsync(PeerChannel channel, int watcher, Arrivals arrivals, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await WatchAsync(channel, watcher, arrivals, cancellationToken);
            }
            catch (Refusal refusal) when (attempt < MostAttempts && refusal.Reason is Reason.LedgerUnavailable or Reason.PeerUnavailable or Reason.NotReady)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(100 << attempt), cancellationToken);
            }
        }
    }

    /// <summary>Opens a stream; returns once it is at the feed's head, with the task that goes on reading.</summary>
    private static async Task<Task> WatchAsync(PeerChannel channel, int watcher, Arrivals arrivals, CancellationToken cancellationToken)
    {
        var call = new FeedService.FeedServiceClient(channel.Calls).WatchRevocations(cancellationToken: cancellationToken);
        await call.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = new Start() }, cancellationToken);
        if (!await call.ResponseStream.MoveNext(cancellationToken) || call.ResponseStream.Current.FrameCase != WatchRevocationsResponse.FrameOneofCase.Hello)
            throw new InvalidOperationException("a watcher was not greeted");
        return ReadAsync();

        async Task ReadAsync()
        {
            using (call)
            {
                while (await call.ResponseStream.MoveNext(cancellationToken))
                {
                    if (call.ResponseStream.Current.Events is { } events) arrivals.Arrived(watcher, events.LastRevocationSeq);
                }
            }
        }
    }

    /// <summary>Revokes a token and waits until every watcher has it; one delay each, zero where it was there before the answer.</summary>
    private static async Task<IEnumerable<long>> ProbeAsync(RevocationService.RevocationServiceClient revoke, Arrivals arrivals, CancellationToken cancellationToken)
    {
        arrivals.Begin();
        var answer = await revoke.RevokeTokensAsync(
            new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) } }, Reason = "bench" }, cancellationToken: cancellationToken);
        long answeredAt = Stopwatch.GetTimestamp();
        var at = await arrivals.WaitAsync(answer.Revision.RevocationSeq).WaitAsync(MostWait, cancellationToken);
        return at.Select(arrival => Math.Max(0, arrival - answeredAt));
    }

    /// <summary>When each watcher got the one revocation that is under way: nobody else revokes on this stack.</summary>
    private sealed class Arrivals(int watchers)
    {
        private long[] _at = [];
        private int _missing;
        private long _seq;
        private TaskCompletionSource _all = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Begin()
        {
            (_at, _missing, _all) = (new long[watchers], watchers, new(TaskCreationOptions.RunContinuationsAsynchronously));
            Interlocked.MemoryBarrier();
        }

        public void Arrived(int watcher, long seq)
        {
            _at[watcher] = Stopwatch.GetTimestamp();
            Interlocked.Exchange(ref _seq, seq);
            if (Interlocked.Decrement(ref _missing) == 0) _all.TrySetResult();
        }

        public async Task<long[]> WaitAsync(long seq)
        {
            await _all.Task;
            return Interlocked.Read(ref _seq) == seq ? _at : throw new InvalidOperationException("the watchers got another revocation than the one that was made");
        }
    }
}
