namespace ClawBureau.Testing;

/// <summary>For conditions of another process that raise no signal: asked again and again, with a bound.</summary>
public static class Eventually
{
    /// <summary>Returns as soon as the condition holds.</summary>
    /// <param name="most">Default 20 s.</param>
    /// <exception cref="TimeoutException">It did not within that time.</exception>
    public static async Task HoldsAsync(string what, Func<Task<bool>> condition, TimeSpan? most = null)
    {
        using var patience = new CancellationTokenSource(most ?? TimeSpan.FromSeconds(20));
        while (!await condition())
        {
            if (patience.IsCancellationRequested) throw new TimeoutException($"not within {(most ?? TimeSpan.FromSeconds(20)).TotalSeconds:0} s: {what}");
            await Task.Yield();
        }
    }

    /// <summary>Returns what came as soon as it is not null.</summary>
    /// <param name="most">Default 20 s.</param>
    /// <exception cref="TimeoutException">Nothing came within that time.</exception>
    public static async Task<T> OfAsync<T>(string what, Func<Task<T?>> ask, TimeSpan? most = null)
        where T : class
    {
        T? came = null;
        await HoldsAsync(what, async () => (came = await ask()) is not null, most);
        return came!;
    }
}
