using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Grpc.Core;
using Polly;
using Polly.CircuitBreaker;
using Polly.Retry;
using Polly.Timeout;

namespace ClawBureau.Client;

/// <summary>
/// Around calls to one peer that may be repeated: a breaker, up to two tries, a timeout for each; all of it inside the caller's own
/// deadline, which its cancellation token stands for. Whatever fails arrives as a <see cref="Refusal"/>.
/// </summary>
public sealed class PeerCalls
{
    private static readonly TimeSpan Break = TimeSpan.FromSeconds(2), FirstBreak = TimeSpan.FromMilliseconds(100), MostAtFirst = TimeSpan.FromSeconds(1);
    private readonly ResiliencePipeline _pipeline;
    private readonly string _peer;
    private volatile bool _hasAnswered;

    /// <param name="peer">As sentences name it: "the Issuer".</param>
    /// <param name="timeout">For one try.</param>
    public PeerCalls(string peer, TimeSpan timeout, TimeProvider time)
    {
        _peer = peer;
        var transient = new PredicateBuilder().Handle<Refusal>(IsTransient).Handle<TimeoutRejectedException>();
        _pipeline = new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                ShouldHandle = transient,
                MaxRetryAttempts = 1,
                Delay = TimeSpan.FromMilliseconds(50),
                BackoffType = DelayBackoffType.Constant,
                UseJitter = true,
            })
            // Inside the retry, so that every try counts: half of at least 10 in 10 s opens it for 2 s. A peer that never answered is
            // being started, as this process is: it is asked again after 100 ms, then twice as long, up to 1 s.
            .AddCircuitBreaker(new CircuitBreakerStrategyOptions
            {
                ShouldHandle = transient,
                FailureRatio = 0.5,
                MinimumThroughput = 10,
                SamplingDuration = TimeSpan.FromSeconds(10),
                BreakDurationGenerator = args => ValueTask.FromResult(_hasAnswered ? Break : First(args.HalfOpenAttempts)),
            })
            .AddTimeout(timeout)
            .Build();
    }

    /// <summary>What may be over when it is tried again, and is the peer's fault, not the question's.</summary>
    public static bool IsTransient(Refusal refusal) => ReasonCatalog.TryFind(refusal.Reason, out var entry) && entry.GrpcCode == StatusCode.Unavailable;

    /// <exception cref="Refusal">The peer's own; PEER_UNAVAILABLE: no answer in time, or so many failures before that it is not asked.</exception>
    /// <exception cref="OperationCanceledException">The caller's own token fired.</exception>
    public async Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> ask, CancellationToken cancellationToken)
    {
        try
        {
            var answer = await _pipeline.ExecuteAsync(static async (call, token) => await call(token), ask, cancellationToken);
            _hasAnswered = true;
            return answer;
        }
        catch (TimeoutRejectedException e)
        {
            throw new Refusal(Reason.PeerUnavailable, $"No answer from {_peer} in time", inner: e);
        }
        catch (BrokenCircuitException e)
        {
            throw new Refusal(Reason.PeerUnavailable, $"{Capitalised(_peer)} failed too often in the last seconds; it is asked again in a moment", inner: e);
        }
    }

    private static TimeSpan First(int attempts) => FirstBreak * (1 << Math.Min(attempts, 10)) is var pause && pause < MostAtFirst ? pause : MostAtFirst;

    private static string Capitalised(string text) => char.ToUpperInvariant(text[0]) + text[1..];
}
