
namespace ClawBureau.Testing;

/// <summary>For conditions of another process that raise no signal: asked again and again, with a bound.</summary>
public static class Eventually
{
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(20), Pause = TimeSpan.FromMilliseconds(10);

    /// <summary>Returns as soon as the condition holds.</summary>
    /// <param name="most">Default 20 s.</param>
    /// <param name="pause">What passes between two times it is asked. Default 10 ms: what is waited for needs the processor too.</param>
    /// <exception cref="TimeoutException">It did not within that time.</exception>
    public static async Task HoldsAsync(string what, Func<Task<bool>> condition, TimeSpan? most = null, TimeSpan? pause = null)
    {
        using var patience = new CancellationTokenSource(most ?? Most);
        while (!await condition())
        {
            if (patience.IsCancellationRequested) throw new TimeoutException($"not within {(most ?? Most).TotalSeconds:0} s: {what}");
            await Task.Delay(pause ?? Pause, CancellationToken.None);
        }
    }

    /// <inheritdoc cref="HoldsAsync(string, Func{Task{bool}}, TimeSpan?, TimeSpan?)"/>
    public static Task HoldsAsync(string what, Func<bool> condition, TimeSpan? most = null, TimeSpan? pause = null) =>
        HoldsAsync(what, () => Task.FromResult(condition()), most, pause);

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
