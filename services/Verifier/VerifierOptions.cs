using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;

namespace ClawBureau.Verifier;

/// <summary>What a Verifier is told at start.</summary>
public sealed class VerifierOptions
{
    /// <summary>CLAW_ISSUER: https address of the Issuer, or of its replicas with commas between. Required: keys, key transparency and control chains come from there.</summary>
    public required PeerAddresses Issuer { get; init; }

    /// <summary>CLAW_INTROSPECTOR: https address of the Introspector, or of its replicas. Required: revocations come from there.</summary>
    public required PeerAddresses Introspector { get; init; }

    /// <summary>CLAW_MAX_STALENESS_SECONDS: how old the revocation state may be on which a token is found good without asking. Default 3 s.</summary>
    public TimeSpan MaxStaleness { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>CLAW_KEY_COOL_DOWN_SECONDS: how long the one fetch of keys lasts that tokens of unknown keys may cause. Default 30 s.</summary>
    public TimeSpan KeyCoolDown { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>CONTROL_VERIFY_TIMEOUT_MS: how long one try of a call to another service may take. Default 2 s, from 500 to 15,000 ms.</summary>
    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>CONTROL_KEY_TRANSPARENCY_MAX_AGE_SECONDS: how old a key transparency snapshot may be. Default 3,600 s, from 60.</summary>
    public TimeSpan TransparencyMaxAge { get; init; } = TimeSpan.FromHours(1);

    /// <summary>CLAW_VERIFIED_TOKENS: verified tokens remembered. Default 65,536.</summary>
    public int CachedTokens { get; init; } = 65_536;

    /// <summary>CLAW_PUBLIC_VERIFICATION: whether anybody may verify through the Edge. Default 1, as the contract has it.</summary>
    public bool IsPublic { get; init; } = true;

    /// <summary>CLAW_PUBLIC_VERIFICATION_RATE: verifications per second that this process gives the public. Default 500.</summary>
    public int PublicPerSecond { get; init; } = 500;

    /// <exception cref="StartRefused">A setting is missing or cannot be used; the sentence names it.</exception>
    public static VerifierOptions Read(Settings settings) => new()
    {
        Issuer = PeerAddresses.Require(settings, "CLAW_ISSUER", "to the Issuer's address, such as https://127.0.0.1:7410"),
        Introspector = PeerAddresses.Require(settings, "CLAW_INTROSPECTOR", "to the Introspector's address, such as https://127.0.0.1:7420"),
        MaxStaleness = settings.Seconds("CLAW_MAX_STALENESS_SECONDS", TimeSpan.FromSeconds(3), TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(1)),
        KeyCoolDown = settings.Seconds("CLAW_KEY_COOL_DOWN_SECONDS", TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
        CallTimeout = TimeSpan.FromMilliseconds(settings.Number("CONTROL_VERIFY_TIMEOUT_MS", 2000, 500, 15_000)),
        TransparencyMaxAge = settings.Seconds("CONTROL_KEY_TRANSPARENCY_MAX_AGE_SECONDS", TimeSpan.FromHours(1), TimeSpan.FromMinutes(1), TimeSpan.FromDays(1)),
        CachedTokens = settings.Number("CLAW_VERIFIED_TOKENS", 65_536, 0, 10_000_000),
        IsPublic = settings.Text("CLAW_PUBLIC_VERIFICATION") is null || settings.Flag("CLAW_PUBLIC_VERIFICATION"),
        PublicPerSecond = settings.Number("CLAW_PUBLIC_VERIFICATION_RATE", 500, 1, 1_000_000),
    };
}
