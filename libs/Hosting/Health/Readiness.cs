using System.Collections.Immutable;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Health;

/// <summary>
/// Whether this process should be given work. It serves once it has started and while every named condition holds; it stops
/// serving the moment shutdown begins. A part that can be down declares its condition early with <see cref="SetNotReady"/>.
/// </summary>
public sealed class Readiness
{
    private readonly IHostApplicationLifetime lifetime;
    private readonly ILogger<Readiness> logger;
    private readonly Lock changing = new();
    private volatile State state = new(ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal));

    public Readiness(IHostApplicationLifetime lifetime, ILogger<Readiness> logger)
    {
        (this.lifetime, this.logger) = (lifetime, logger);
        lifetime.ApplicationStarted.Register(() => Change(conditions => conditions));
        lifetime.ApplicationStopping.Register(() => Change(conditions => conditions));
    }

    public bool IsReady => state.NotReady.IsEmpty && IsRunning;

    /// <summary>The conditions that do not hold, each with its sentence.</summary>
    public IReadOnlyDictionary<string, string> NotReady => state.NotReady;

    private bool IsRunning => lifetime.ApplicationStarted.IsCancellationRequested && !lifetime.ApplicationStopping.IsCancellationRequested;

    public void SetReady(string condition)
    {
        if (!state.NotReady.ContainsKey(condition)) return;
        if (Change(conditions => conditions.Remove(condition))) Log.ReadinessChanged(logger, condition, "ready");
    }

    /// <param name="condition">Such as <c>ledger</c>.</param>
    /// <param name="sentence">What is missing, for operators.</param>
    public void SetNotReady(string condition, string sentence)
    {
        if (state.NotReady.TryGetValue(condition, out var known) && known == sentence) return;
        if (Change(conditions => conditions.SetItem(condition, sentence))) Log.ReadinessChanged(logger, condition, sentence);
    }

    /// <summary>The present answer, and a task that ends when it may have changed.</summary>
    internal (bool IsReady, Task Changed) Observe()
    {
        var observed = state; // before the answer: a change in between ends the task
        return (IsReady, observed.Changed.Task);
    }

    private bool Change(Func<ImmutableSortedDictionary<string, string>, ImmutableSortedDictionary<string, string>> change)
    {
        State former;
        bool differs;
        lock (changing)
        {
            former = state;
            var conditions = change(former.NotReady);
            differs = conditions != former.NotReady;
            state = new State(conditions);
        }
        former.Changed.SetResult();
        return differs;
    }

    private sealed record State(ImmutableSortedDictionary<string, string> NotReady)
    {
        public TaskCompletionSource Changed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
