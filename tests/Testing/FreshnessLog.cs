using System.Collections.Concurrent;
using System.Diagnostics;

namespace ClawBureau.Testing;

/// <summary>
/// What concurrent callers saw, by one monotonic clock: when a revocation was answered, when each introspection began and what
/// it said. A revocation is written once, so one comparison per answer decides linearizability (I36).
/// </summary>
/// <param name="staleness">How old an answer's state may be; zero: it is linearizable.</param>
public sealed class FreshnessLog(TimeSpan staleness = default)
{
    private readonly ConcurrentDictionary<int, long> _revoked = new();
    private readonly ConcurrentQueue<(int Token, long Started, bool Active)> _answers = new();

    public static long Now() => Stopwatch.GetTimestamp();

    public int Answers => _answers.Count;

    /// <summary>Answers that began after the revocation of their token was answered, and may not miss it any more: the ones that prove something.</summary>
    public int AnswersAfterRevoke => _answers.Count(IsAfterRevoke);
    public int ActiveAnswers => _answers.Count(a => a.Active);

    /// <summary>Call it after the revocation was answered.</summary>
    public void Revoked(int token) => _revoked[token] = Now();

    /// <param name="started">From <see cref="Now"/>, before the introspection was sent.</param>
    public void Answered(int token, long started, bool active) => _answers.Enqueue((token, started, active));

    /// <param name="bound">How old the state may be that an answer rests on; none: it has to be linearizable.</param>
    public IReadOnlyList<string> FindViolations(TimeSpan bound = default) =>
        [.. _answers.Where(a => a.Active && IsAfterRevoke(a) && Stopwatch.GetElapsedTime(_revoked[a.Token], a.Started) >= bound).Select(a => $"token {a.Token} is active {Stopwatch.GetElapsedTime(_revoked[a.Token], a.Started).TotalMilliseconds} ms after its revocation was answered")];

    private bool IsAfterRevoke((int Token, long Started, bool Active) answer) => _revoked.TryGetValue(answer.Token, out long at) && answer.Started > at && Stopwatch.GetElapsedTime(at, answer.Started) > staleness;
}
