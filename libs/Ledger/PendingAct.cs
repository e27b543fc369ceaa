using System.Diagnostics;

namespace ClawBureau.Ledger;

/// <summary>An act in the queue and the answer somebody waits for.</summary>
internal sealed class PendingAct(Act act)
{
    private readonly TaskCompletionSource<ActOutcome> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Act Act { get; } = act;

    /// <summary>The call that waits for it.</summary>
    public ActivityContext Trace { get; } = BatchTrace.Current;

    /// <summary>Place in the batch; set by the batch, never reused across batches.</summary>
    public int Ordinal { get; set; }

    /// <summary>What the database said, not yet answered: the batch may still fail to commit.</summary>
    public ActOutcome? Outcome { get; set; }

    public Task<ActOutcome> Answer => _answer.Task;

    public void Confirm() => _answer.TrySetResult(Outcome ?? throw new InvalidOperationException("the batch committed without judging this act"));
    public void Refuse(Exception why) => _answer.TrySetException(why);
}
