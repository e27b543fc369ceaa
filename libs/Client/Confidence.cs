using ClawBureau.Tokens;

namespace ClawBureau.Client;

/// <summary>Where a verification came from.</summary>
public enum VerificationSource
{
    /// <summary>Decided from what this process holds.</summary>
    Offline,

    /// <summary>The Introspector was asked.</summary>
    Introspection,
}

/// <summary>How much a verification is worth (runbook, section 5).</summary>
/// <param name="RevocationAge">Upper bound of the age of the revocation state that decided.</param>
/// <param name="KeyAge">Since when the keys have been held.</param>
/// <param name="LeaseLeft">Zero: none, so the next one cannot be decided offline.</param>
/// <param name="Revision">What was applied; null where nothing was.</param>
public readonly record struct Confidence(VerificationSource Source, TimeSpan RevocationAge, TimeSpan KeyAge, TimeSpan LeaseLeft, Revision? Revision)
{
    /// <summary>What holds for both.</summary>
    public static Confidence Least(Confidence a, Confidence b) => new(
        a.Source == VerificationSource.Introspection ? a.Source : b.Source,
        a.RevocationAge > b.RevocationAge ? a.RevocationAge : b.RevocationAge,
        a.KeyAge > b.KeyAge ? a.KeyAge : b.KeyAge,
        a.LeaseLeft < b.LeaseLeft ? a.LeaseLeft : b.LeaseLeft,
        Earlier(a.Revision, b.Revision));

    // Revisions of two epochs say nothing about each other.
    private static Revision? Earlier(Revision? a, Revision? b) =>
        a is null || b is null || a.Value.Epoch != b.Value.Epoch ? null : a.Value.RevocationSeq <= b.Value.RevocationSeq ? a : b;
}
