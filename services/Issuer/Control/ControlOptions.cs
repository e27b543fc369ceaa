using System.Text;
using System.Text.Json;
using ClawBureau.Hosting;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>How the control plane is run (control-plane-http.md 2).</summary>
public sealed class ControlOptions
{
    /// <summary>CLAIM_CHALLENGE_TTL_SECONDS: how long a challenge can be signed. Default 600 s.</summary>
    public TimeSpan ChallengeTtl { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>CLAIM_CHALLENGES_PER_SECOND: challenges this process makes, ten seconds' worth at once. Default 100; with their lifetime it bounds how many there are.</summary>
    public int ChallengesPerSecond { get; init; } = 100;

    /// <summary>CLAIM_CHALLENGES_PER_DID: challenges one DID can have open. Default 256; beyond it RATE_LIMITED until one is used or expires.</summary>
    public int ChallengesPerDid { get; init; } = 256;

    /// <summary>CLAIM_AGENTS_PER_CONTROLLER: default 1000; a rotation or transfer rewrites them all in one act.</summary>
    public int AgentsPerController { get; init; } = 1000;

    /// <summary>CLAIM_TRANSFER_DEADLINE_SECONDS: how long a transfer may stay pending, and the freeze with it. Default 7 days.</summary>
    public TimeSpan TransferDeadline { get; init; } = TimeSpan.FromDays(7);

    /// <summary>CLAIM_SCOPE_EXCHANGE_TTL_SECONDS: lifetime of a bootstrapped token that names none. Default 300 s.</summary>
    public TimeSpan ExchangeTtl { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>CLAIM_EXPORT_MAX_AGE_SECONDS: how old an imported bundle may be. Default one day.</summary>
    public TimeSpan BundleMaxAge { get; init; } = TimeSpan.FromDays(1);

    /// <summary>CLAIM_EXPORT_SIGNING_KEY, also as _FILE: shared key of version 1 bundles. Default none: bundles are of version 2, and version 1 is refused.</summary>
    internal byte[]? BundleHmacKey { get; init; }

    /// <summary>CLAIM_IMPORT_PUBLIC_KEYS_JSON: array of base64url Ed25519 public keys of other issuers whose version 2 bundles are taken. Default none: only our own.</summary>
    internal IReadOnlyList<VerificationKey> BundleKeys { get; init; } = [];

    /// <exception cref="StartRefused">A setting cannot be used; the sentence names it.</exception>
    public static ControlOptions Read(Settings settings) => new()
    {
        ChallengeTtl = settings.Seconds("CLAIM_CHALLENGE_TTL_SECONDS", TimeSpan.FromMinutes(10), TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
        ChallengesPerSecond = settings.Number("CLAIM_CHALLENGES_PER_SECOND", 100, 1, 100_000),
        ChallengesPerDid = settings.Number("CLAIM_CHALLENGES_PER_DID", 256, 1, 100_000),
        AgentsPerController = settings.Number("CLAIM_AGENTS_PER_CONTROLLER", 1000, 1, 10_000),
        TransferDeadline = settings.Seconds("CLAIM_TRANSFER_DEADLINE_SECONDS", TimeSpan.FromDays(7), TimeSpan.FromSeconds(1), TimeSpan.FromDays(365)),
        ExchangeTtl = settings.Seconds("CLAIM_SCOPE_EXCHANGE_TTL_SECONDS", TimeSpan.FromMinutes(5), TimeSpan.FromSeconds(30), TimeSpan.FromHours(1)),
        BundleMaxAge = settings.Seconds("CLAIM_EXPORT_MAX_AGE_SECONDS", TimeSpan.FromDays(1), TimeSpan.FromMinutes(1), TimeSpan.FromDays(365)),
        BundleHmacKey = ReadHmacKey(settings),
        BundleKeys = ReadBundleKeys(settings.Text("CLAIM_IMPORT_PUBLIC_KEYS_JSON")),
    };

    private static byte[]? ReadHmacKey(Settings settings)
    {
        const string name = "CLAIM_EXPORT_SIGNING_KEY";
        if ((settings.Text(name) ?? IssuerOptions.FromFile(settings.Text(name + "_FILE"))) is not { } key) return null;
        return key.Length >= 16 ? Encoding.UTF8.GetBytes(key) : throw new StartRefused($"{name} is shorter than 16 characters: choose a longer one.");
    }

    private static IReadOnlyList<VerificationKey> ReadBundleKeys(string? json)
    {
        if (json is null) return [];
        try
        {
            return [.. JsonSerializer.Deserialize<string[]>(json)!.Select(ToKey)];
        }
        catch (Exception e) when (e is JsonException or Refusal or NullReferenceException)
        {
            throw new StartRefused("CLAIM_IMPORT_PUBLIC_KEYS_JSON is not a JSON array of base64url Ed25519 public keys: correct it.", e);
        }

        static VerificationKey ToKey(string text)
        {
            var bytes = new byte[Ed25519.PublicKeyLength];
            return Base64UrlText.TryDecode(text.AsSpan(), bytes, out int written) && written == bytes.Length
                ? new VerificationKey(bytes)
                : throw new Refusal(Reason.SigningConfigInvalid);
        }
    }
}
