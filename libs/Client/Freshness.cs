using ClawBureau.Tokens;

namespace ClawBureau.Client;

/// <summary>How fresh the revocation state has to be on which a token is found good.</summary>
public readonly record struct Freshness
{
    private Freshness(FreshnessMode mode, TimeSpan bound, Revision revision) => (Mode, Bound, Revision) = (mode, bound, revision);

    /// <summary>What this process holds, while it is younger than <see cref="ClientOptions.MaxStaleness"/>; else the Introspector is asked.</summary>
    public static Freshness Default => default;

    /// <summary>Nothing that was acknowledged before the call may be missing: the feed is asked to confirm that, or the Introspector.</summary>
    public static Freshness Linearizable { get; } = new(FreshnessMode.Linearizable, default, default);

    internal FreshnessMode Mode { get; }

    internal TimeSpan Bound { get; }

    internal Revision Revision { get; }

    /// <summary>Known state no older than this.</summary>
    public static Freshness Within(TimeSpan bound) =>
        bound > TimeSpan.Zero ? new(FreshnessMode.Bounded, bound, default) : throw new ArgumentOutOfRangeException(nameof(bound), "must be positive");

    /// <summary>At least what this revision holds, such as the one that a revocation was answered with; and no older than the default.</summary>
    public static Freshness AtLeast(Revision revision) => new(FreshnessMode.AtLeast, default, revision);
}

internal enum FreshnessMode
{
    Default = 0,
    Linearizable,
    Bounded,
    AtLeast,
}
