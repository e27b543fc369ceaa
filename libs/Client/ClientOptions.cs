namespace ClawBureau.Client;

/// <summary>How a service verifies tokens and follows revocations.</summary>
public sealed class ClientOptions
{
    /// <summary>
    /// How old the revocation state may be on which a token is found good without asking anybody. Default 3 s. The lease that the
    /// Introspector grants (3 s by default) limits it too; a smaller value means more questions, never a later revocation.
    /// </summary>
    public TimeSpan MaxStaleness { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// How long the one fetch of keys lasts that tokens of unknown keys may cause, however many they are. Default 30 s. Changes of
    /// keys arrive on the feed and do not wait for it.
    /// </summary>
    public TimeSpan KeyCoolDown { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>After this long the keys are fetched again although nobody said that they changed. Default 5 min, the JWKS max-age.</summary>
    public TimeSpan KeyMaxAge { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How long one try of a call to the Issuer or the Introspector may take. Default 2 s, and never beyond the caller's deadline.</summary>
    public TimeSpan CallTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a verification waits for the feed to confirm that it is current, before it asks the Introspector. Default 500 ms.</summary>
    public TimeSpan CatchUpTimeout { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How many verifications may ask the Introspector at one time; the others wait, within their deadline. Default 64.</summary>
    public int MostIntrospections { get; set; } = 64;

    /// <summary>Verified tokens remembered. Default 65,536.</summary>
    public int CachedTokens { get; set; } = 65_536;

    /// <summary>The pause before the feed is tried again after a first failure; it doubles up to <see cref="MostBackoff"/>, with jitter. Default 100 ms.</summary>
    public TimeSpan LeastBackoff { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Default 5 s.</summary>
    public TimeSpan MostBackoff { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>True only in the negative control of leases by echo, which this library's tests must see fail.</summary>
    internal bool LeasesFromReceipt { get; set; }

    /// <summary>True only in the negative control of reads through a relay, which the Introspector's tests must see fail.</summary>
    internal bool JoinsRenewalUnderWay { get; set; }

    /// <exception cref="ArgumentException">A value cannot be used; the message names it.</exception>
    internal void Validate()
    {
        foreach (var (name, value) in new[]
        {
            (nameof(MaxStaleness), MaxStaleness), (nameof(KeyCoolDown), KeyCoolDown), (nameof(KeyMaxAge), KeyMaxAge), (nameof(CallTimeout), CallTimeout),
            (nameof(CatchUpTimeout), CatchUpTimeout), (nameof(LeastBackoff), LeastBackoff), (nameof(MostBackoff), MostBackoff),
        })
        {
            if (value <= TimeSpan.Zero) throw new ArgumentException($"{name} must be positive.");
        }
        if (MostIntrospections < 1) throw new ArgumentException($"{nameof(MostIntrospections)} must be at least 1.");
        if (CachedTokens < 0) throw new ArgumentException($"{nameof(CachedTokens)} must not be negative.");
    }
}
