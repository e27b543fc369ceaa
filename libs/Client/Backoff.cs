namespace ClawBureau.Client;

/// <summary>How long to wait before the next try: doubled from try to try, with jitter, so that those who lost one peer at the same moment do not come back at the same moment.</summary>
internal sealed class Backoff(ClientOptions options)
{
    private int _failures;

    /// <param name="most">Default <see cref="ClientOptions.MostBackoff"/>.</param>
    public TimeSpan Next(TimeSpan? most = null)
    {
        var pause = options.LeastBackoff * Math.Pow(2, Math.Min(_failures++, 20));
        if (pause > options.MostBackoff) pause = options.MostBackoff;
        if (pause > most) pause = most.Value;
        return pause * (0.5 + Random.Shared.NextDouble() / 2);
    }

    public void Reset() => _failures = 0;
}
