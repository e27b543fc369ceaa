using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Suite.Tests;

/// <summary>Calls that may be repeated, until they are answered: a process that is down, or a machine that is busy, says UNAVAILABLE.</summary>
internal static class Answered
{
    private const int MostAttempts = 2000;

    /// <param name="call">Safe to repeat.</param>
    /// <param name="interrupted">Told of every attempt without an answer.</param>
    public static async Task<T> ByAsync<T>(Func<AsyncUnaryCall<T>> call, Action? interrupted = null)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await call();
            }
            catch (Refusal refusal) when (attempt < MostAttempts && IsWorthRepeating(refusal))
            {
                interrupted?.Invoke();
                await Task.Delay(10);       // so that what is down has a processor to come up on
            }
        }
    }

    private static bool IsWorthRepeating(Refusal refusal) =>
        ReasonCatalog.Of(refusal.Reason).GrpcCode is StatusCode.Unavailable or StatusCode.ResourceExhausted or StatusCode.DeadlineExceeded || refusal.Reason == Reason.LedgerOutcomeUnknown;
}
