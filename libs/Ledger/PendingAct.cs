using System.Diagnostics;

namespace ClawBureau.Ledger;

/// <summary>An act in the queue and the answer somebody waits for.</summary>
internal sealed class PendingAct(Act act)
{
    private const int GroupSize = 16;

    // Whoever waits goes on in the thread that answers, which is never the writer's: AnswerTogether.
    private readonly TaskCompletionSource<ActOutcome> _answer = new();

    public Act Act { get; } = act;

    /// <summary>The call that waits for it.</summary>
    public ActivityContext Trace { get; } = BatchTrace.Current;

    /// <summary>Place in the batch; set by the batch, never reused across batches.</summary>
    public int Ordinal { get; set; }

    /// <summary>What the database said, not yet answered: the batch may still fail to commit.</summary>
    public ActOutcome? Outcome { get; set; }

    public Task<ActOutcome> Answer => _answer.Task;

    public void Refuse(Exception why) => ThreadPool.UnsafeQueueUserWorkItem(static told => told.Answer.TrySetException(told.Why), (Answer: _answer, Why: why), preferLocal: false);

    /// <summary>
    /// Tells acts what became of them, in groups, each on a thread of its own: one hop to the thread pool for each of them would cost a
    /// good part of what is left to do for it, and one for all would leave the other processors idle.
    /// </summary>
    /// <exception cref="InvalidOperationException">One was not judged; nobody has been told anything.</exception>
    public static void AnswerTogether(IReadOnlyList<PendingAct> acts)
    {
        foreach (var act in acts)
            if (act.Outcome is null) throw new InvalidOperationException("the batch committed without judging this act");
        foreach (var group in acts.Chunk(GroupSize))
        {
            ThreadPool.UnsafeQueueUserWorkItem(static told =>
            {
                foreach (var act in told) act._answer.TrySetResult(act.Outcome!);
            }, group, preferLocal: false);
        }
    }
}
