using System.Diagnostics;
using System.Security.Cryptography;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Revocation.V1;

namespace ClawBureau.Load.Scenarios;

/// <summary>
/// From a revocation being answered to each watcher having it, with 1 to 10,000 of them: on connections of ninety streams, and on
/// a connection each. Watchers and revoker are this one process, which has its own part in the delay: it decrypts, and looks no further
/// into a frame than to see which it is (<see cref="RawConnection"/>). The revoker has a thread of its own. Where both sides share the
/// processors, the last watcher cannot have it sooner than watchers times (server us + client us) / processors.
/// </summary>
internal static class WatchScenario
{
    private const string WatchRpc = "/clawbureau.feed.v1.FeedService/WatchRevocations", RevokeRpc = "/clawbureau.revocation.v1.RevocationService/RevokeTokens";
    private const int StreamsPerConnection = 90;
    private const int LeastProbes = 2;
    private const int LeastWarmUps = 5;
    private const int MostAttempts = 6;
    private static readonly TimeSpan MostWait = TimeSpan.FromSeconds(60);

    public static async Task RunAsync(LoadStack stack, LoadOptions options, Action<string> report, Action<IReadOnlyList<Row>> measured, CancellationToken cancellationToken)
    {
        var warmUp = 5 * options.WarmUp;            // of the first; what follows is the same code
        foreach (var count in options.Watchers)
        {
            foreach (var separate in (bool[])[false, true])
            {
                if (separate && count == 1) continue;       // the same thing
                measured([await RunAsync(stack, options, warmUp, report, count, separate, cancellationToken)]);
                warmUp = options.WarmUp;
            }
        }
    }

    private static async Task<Row> RunAsync(LoadStack stack, LoadOptions options, TimeSpan warmUp, Action<string> report, int count, bool separate, CancellationToken cancellationToken)
    {
        var name = $"watch, {count:N0} on {(separate ? "a connection each" : $"{(count + StreamsPerConnection - 1) / StreamsPerConnection:N0} connections")}";
        report($"{name}: connecting");
        int connections = separate ? count : (count + StreamsPerConnection - 1) / StreamsPerConnection;
        var arrivals = new Arrivals(count);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var watching = new Task[connections];
        try
        {
            // A few at a time: what is measured is not how fast ten thousand handshakes are.
            await Parallel.ForAsync(0, connections, new ParallelOptions { MaxDegreeOfParallelism = 32, CancellationToken = cancellationToken }, async (connection, token) =>
            {
                var watchers = Enumerable.Range(0, count).Where(watcher => watcher % connections == connection).ToArray();
                watching[connection] = await OpenAsync(stack, watchers, arrivals, stop.Token);
            });
            using var revoke = await RawConnection.ConnectAsync(stack.Stack.Issuer.Address, RevokeRpc, stack.Stack.CaFile, stack.Stack.AdminKey, cancellationToken);
            // Until what runs for every watcher is compiled for good: before that the compiler is most of what would be measured.
            var warming = Stopwatch.StartNew();
            for (int warm = 0; warm < LeastWarmUps || warming.Elapsed < warmUp; warm++) await ProbeAsync(revoke, arrivals, cancellationToken);

            var slice = options.Duration / options.Rounds;
            var counted = new Rounds();
            var rounds = await counted.RunAsync(options.Rounds, async done =>
            {
                report($"{name}: round {done + 1} of {options.Rounds}");
                var (serverBefore, clientBefore, began) = (ServerCpu(), Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
                var delays = new List<long>(LeastProbes * count);
                for (int probe = 0; probe < LeastProbes || Stopwatch.GetElapsedTime(began) < slice; probe++) delays.AddRange(await ProbeAsync(revoke, arrivals, cancellationToken));
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
        }

        TimeSpan ServerCpu()
        {
            var process = stack.Stack.Introspector.Process;
            process.Refresh();
            return process.TotalProcessorTime;
        }
    }

    /// <summary>
    /// Opens a connection with these watchers; returns once each is at the feed's head, with the task that goes on reading. A watcher that is
    /// turned away tries again, as watchers do; its handshakes are not what is measured.
    /// </summary>
    private static async Task<Task> OpenAsync(LoadStack stack, int[] watchers, Arrivals arrivals, CancellationToken cancellationToken)
    {
        var connection = await RawConnection.ConnectAsync(stack.Stack.Introspector.Address, WatchRpc, stack.Stack.CaFile, stack.Stack.AdminKey, cancellationToken);
        var watcherOf = new Dictionary<int, int>();
        try
        {
            int greeted = 0, attempts = 0;
            foreach (int watcher in watchers) await BeginAsync(watcher);
            while (greeted < watchers.Length)
            {
                var frame = await connection.ReadAsync(cancellationToken);
                switch (frame.Type)
                {
                    case RawConnection.Data:
                        if (IsGreeting(frame)) greeted++;
                        break;
                    case RawConnection.Headers when (frame.Flags & RawConnection.EndStream) == 0:
                    case RawConnection.ResetStream when IsLeftover(frame):
                        break;
                    case RawConnection.Headers when ++attempts <= MostAttempts * watchers.Length:
                        await Task.Delay(TimeSpan.FromMilliseconds(20), cancellationToken);
                        await BeginAsync(watcherOf[frame.Stream]);
                        break;
                    default:
                        throw new InvalidOperationException($"a watcher was not greeted, after {attempts} attempts: HTTP/2 frame {frame.Type}, {Convert.ToHexString(frame.Payload.Span)}");
                }
            }
        }
        catch
        {
            connection.Dispose();
            throw;
        }
        return ReadAsync();

        async Task BeginAsync(int watcher) => watcherOf[await connection.CallAsync(new WatchRevocationsRequest { Start = new Start() }, ends: false, cancellationToken)] = watcher;

        async Task ReadAsync()
        {
            using (connection)
            {
                while (true)
                {
                    var frame = await connection.ReadAsync(cancellationToken);
                    if (frame.Type == RawConnection.ResetStream && IsLeftover(frame)) continue;
                    if (frame.Type != RawConnection.Data) throw new InvalidOperationException("a watcher was cut off");
                    for (var left = frame.Payload.Span; left.Length > 0;)
                    {
                        var message = RawConnection.Frame.TakeMessage(ref left);
                        if (message[0] == (WatchRevocationsResponse.EventsFieldNumber << 3 | 2)) arrivals.Arrived(watcherOf[frame.Stream], message);
                    }
                }
            }
        }

        // Of a stream that was answered before its requests had ended: NO_ERROR.
        static bool IsLeftover(RawConnection.Frame frame) => frame.Payload.Span.IndexOfAnyExcept((byte)0) < 0;

        static bool IsGreeting(RawConnection.Frame frame) => frame.Payload.Length > 5 && frame.Payload.Span[5] == (WatchRevocationsResponse.HelloFieldNumber << 3 | 2);
    }

    /// <summary>Revokes a token and waits until every watcher has it; one delay each, zero where it was there before the answer.</summary>
    private static async Task<IEnumerable<long>> ProbeAsync(RawConnection revoke, Arrivals arrivals, CancellationToken cancellationToken)
    {
        arrivals.Begin();
        var (answer, answeredAt) = await Task.Factory.StartNew(() => Revoke(revoke), cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var arrived = await arrivals.WaitAsync(answer.Revision.RevocationSeq).WaitAsync(MostWait, cancellationToken);
        return arrived.Select(arrival => Math.Max(0, arrival - answeredAt));
    }

    private static (RevokeTokensResponse Answer, long At) Revoke(RawConnection connection)
    {
        connection.Call(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) } }, Reason = "bench" });
        RevokeTokensResponse? answer = null;
        long at = 0;
        while (true)
        {
            var frame = connection.Read();
            if (frame.Type == RawConnection.Data && frame.Payload.Length > 0)
            {
                at = Stopwatch.GetTimestamp();
                var left = frame.Payload.Span;
                answer = RevokeTokensResponse.Parser.ParseFrom(RawConnection.Frame.TakeMessage(ref left));
            }
            else if (frame.Type is not (RawConnection.Headers or RawConnection.Data)) throw new InvalidOperationException("a revocation was not answered");
            // The trailers are the last of it.
            if ((frame.Flags & RawConnection.EndStream) != 0) return (answer ?? throw new InvalidOperationException("a revocation was refused"), at);
        }
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

        /// <param name="message">A WatchRevocationsResponse with events. What is in it is read of the last arrival: it is the same for all.</param>
        public void Arrived(int watcher, ReadOnlySpan<byte> message)
        {
            _at[watcher] = Stopwatch.GetTimestamp();
            if (Interlocked.Decrement(ref _missing) != 0) return;
            Interlocked.Exchange(ref _seq, WatchRevocationsResponse.Parser.ParseFrom(message).Events.LastRevocationSeq);
            _all.TrySetResult();
        }

        public async Task<long[]> WaitAsync(long seq)
        {
            await _all.Task;
            return Interlocked.Read(ref _seq) == seq ? _at : throw new InvalidOperationException("the watchers got another revocation than the one that was made");
        }
    }
}
