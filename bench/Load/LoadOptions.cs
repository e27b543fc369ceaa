namespace ClawBureau.Load;

/// <summary>What a run measures.</summary>
public sealed record LoadOptions
{
    /// <summary>Names of scenarios; all of <see cref="LoadRun.Names"/> by default.</summary>
    public IReadOnlyList<string> Names { get; init; } = LoadRun.Names;

    /// <summary>How long each side of a comparison is measured, over all rounds. Default 5 s.</summary>
    public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Calls under way at one time. Default 64.</summary>
    public int Clients { get; init; } = 64;

    /// <summary>Rounds that the duration is cut into: in each, every side has its turn. 5.</summary>
    public int Rounds { get; init; } = 5;

    /// <summary>Before anything is counted, each side runs this long, and again until it did <see cref="WarmUpCalls"/>. 2 s.</summary>
    public TimeSpan WarmUp { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How many watch at one time in the watch scenario, one after the other. 1, 100, 1,000 and 10,000.</summary>
    public IReadOnlyList<int> Watchers { get; init; } = [1, 100, 1_000, 10_000];

    /// <summary>30,000.</summary>
    public long WarmUpCalls { get; init; } = 30_000;

    /// <summary>Live revocations of the mass scenario. A million.</summary>
    public int LiveRevocations { get; init; } = 1_000_000;

    /// <summary>Tokens of the one mission that the mass scenario blocks. 100,000.</summary>
    public int MissionTokens { get; init; } = 100_000;
}
