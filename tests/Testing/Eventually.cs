namespace ClawBureau.Testing;

/// <summary>For conditions of another process that raise no signal: asked again and again, with a bound.</summary>
public static class Eventually
{
    /// <summary>Returns as soon as the condition holds.</summary>
    /// <exception cref="TimeoutException">It did not within 20 s.</exception>
    public static async Task HoldsAsync(string what, Func<Task<bool>> condition)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!await condition())
        {
            if (patience.IsCancellationRequested) throw new TimeoutException($"not within 20 s: {what}");
            await Task.Yield();
        }
    }
}
