namespace ClawBureau.Compat.Tests;

/// <summary>How long a test waits for something that must happen, before it fails instead of hanging.</summary>
internal static class Patience
{
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>A token that fires when patience ends.</summary>
    public static CancellationToken Token() => new CancellationTokenSource(Limit).Token;
}
