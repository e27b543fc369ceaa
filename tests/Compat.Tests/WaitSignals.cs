namespace ClawBureau.Compat.Tests;

/// <summary>What the server saw of a waiting call, for the test that made it.</summary>
internal sealed class WaitSignals
{
    public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public TaskCompletionSource Cancelled { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
