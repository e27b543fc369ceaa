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
public readonly record struct Confidence(VerificationSource Source, TimeSpan RevocationAge, TimeSpan KeyAge, TimeSpan LeaseLeft, Revision? Revision);
