using ClawBureau.Hosting;
using ClawBureau.Hosting.Files;
using ClawBureau.Hosting.Keys;
using ClawBureau.Hosting.Peers;
using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>What an Issuer is told at start.</summary>
public sealed class IssuerOptions
{
    /// <summary>CLAW_DATABASE_ISSUER: the ledger's database as role claw_issuer. Required.</summary>
    public required string Database { get; init; }

    /// <summary>The issuance policy while the ledger has none: SCOPE_POLICY_JSON and the single knobs (clawscope-http.md 6). Ask
    /// <see cref="PolicyBook"/> for the one in force.</summary>
    public required ScopePolicy Policy { get; init; }

    /// <summary>CLAW_KEY_FOLDER, or the runbook's key variables (clawscope-http.md 3), each also as NAME_FILE. Required.</summary>
    public required KeySource Keys { get; init; }

    /// <summary>SCOPE_REVOCATION_TTL_SECONDS: how long a revocation is kept at least whose token the ledger does not know; longer where a token ever could live longer. Default 30 days; at least one.</summary>
    public required TimeSpan RevocationTtl { get; init; }

    /// <summary>CLAW_OWNER_MAX_REVOCATIONS: live revocations and blocks that the tokens of one owner may make. Default 10,000; operators are not counted.</summary>
    public int OwnerRows { get; init; } = 10_000;

    /// <summary>
    /// SCOPE_KEY_ROTATION_OVERLAP_SECONDS: how long a key that was replaced stays accepted at least, and what the rotation contract tells.
    /// Default 3600 s; a token that lives longer makes it longer, a rotation may say another.
    /// </summary>
    public required TimeSpan KeyOverlap { get; init; }

    /// <summary>CLAW_JWKS_MAX_AGE_SECONDS: how long a copy of the JWKS may be kept, and so how long a next key waits. Default 300 s.</summary>
    public TimeSpan JwksMaxAge { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>CLAW_KEY_ACTIVATION_MARGIN_SECONDS: how much longer than that it waits, for clocks and slow fetches. Default 60 s.</summary>
    public TimeSpan ActivationMargin { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>SCOPE_KEY_TRANSPARENCY_REFRESH_SECONDS: the oldest a transparency snapshot gets before another is made. Default 300 s.</summary>
    public TimeSpan TransparencyRefresh { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>CLAW_JWS_ALG: what a token's header calls the algorithm, EdDSA or Ed25519 (RFC 9864). Default EdDSA; both are always accepted.</summary>
    public TokenAlgorithm JwsAlgorithm { get; init; }

    /// <summary>CLAW_ISSUER_DID: the issuer's own DID, as /v1/did names it. Default did:web:clawscope.com.</summary>
    public required Did IssuerDid { get; init; }

    /// <summary>CLAW_AUDIT_SINK: https address of the AuditSink that the ledger's events are relayed to, or those of several replicas. Without it they wait in the ledger.</summary>
    public PeerAddresses? AuditSink { get; init; }

    public LedgerOptions Ledger { get; init; } = new();

    /// <exception cref="StartRefused">A setting is missing or cannot be used; the sentence names it.</exception>
    public static IssuerOptions Read(Settings settings)
    {
        try
        {
            return new IssuerOptions
            {
                Database = settings.Required("CLAW_DATABASE_ISSUER", "to a connection string of role claw_issuer; `claw migrate` makes the role"),
                Policy = ScopePolicy.Parse(settings.Text),
                Keys = ReadKeys(settings),
                RevocationTtl = settings.Seconds("SCOPE_REVOCATION_TTL_SECONDS", TimeSpan.FromDays(30), TimeSpan.FromDays(1), TimeSpan.FromDays(3650)),
                OwnerRows = settings.Number("CLAW_OWNER_MAX_REVOCATIONS", 10_000, 1, 1_000_000),
                KeyOverlap = settings.Seconds("SCOPE_KEY_ROTATION_OVERLAP_SECONDS", TimeSpan.FromHours(1), TimeSpan.Zero, TimeSpan.FromDays(3650)),
                JwksMaxAge = settings.Seconds("CLAW_JWKS_MAX_AGE_SECONDS", TimeSpan.FromMinutes(5), TimeSpan.FromSeconds(1), TimeSpan.FromDays(1)),
                ActivationMargin = settings.Seconds("CLAW_KEY_ACTIVATION_MARGIN_SECONDS", TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(1), TimeSpan.FromDays(1)),
                TransparencyRefresh = settings.Seconds("SCOPE_KEY_TRANSPARENCY_REFRESH_SECONDS", TimeSpan.FromMinutes(5), TimeSpan.FromSeconds(1), TimeSpan.FromDays(1)),
                JwsAlgorithm = TokenAlgorithms.TryParse(settings.Text("CLAW_JWS_ALG") ?? "EdDSA", out var algorithm)
                    ? algorithm
                    : throw new StartRefused("CLAW_JWS_ALG must be EdDSA or Ed25519."),
                IssuerDid = Did.TryParse(settings.Text("CLAW_ISSUER_DID") ?? "did:web:clawscope.com", out var did)
                    ? did
                    : throw new StartRefused("CLAW_ISSUER_DID is no DID: set it to one such as did:web:issuer.example, or leave it out."),
                AuditSink = PeerAddresses.Read(settings, "CLAW_AUDIT_SINK"),
            };
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.PolicyConfigInvalid)
        {
            var rule = refusal.Metadata.GetValueOrDefault("rule", "document");
            throw new StartRefused($"The policy cannot be used: look at {(rule.StartsWith("SCOPE_", StringComparison.Ordinal) ? rule : $"{rule} in SCOPE_POLICY_JSON")}.", refusal);
        }
        catch (Refusal refusal) when (refusal.Reason == Reason.SigningNotConfigured)
        {
            throw new StartRefused("No signing key: set CLAW_KEY_FOLDER to a folder that `claw keys generate` made one in, or SCOPE_SIGNING_KEY_FILE to a file (mode 0600) that holds a base64url 32-byte seed.", refusal);
        }
        catch (Refusal refusal)
        {
            throw new StartRefused("The signing keys cannot be used: look at SCOPE_SIGNING_KEY, SCOPE_SIGNING_KEYS_JSON and SCOPE_VERIFY_PUBLIC_KEYS_JSON.", refusal);
        }
    }

    private static KeySource ReadKeys(Settings settings)
    {
        if (settings.Text("CLAW_KEY_FOLDER") is not { } folder) return new KeySource(KeyRing.Parse(Variable));
        foreach (var name in (string[])["SCOPE_SIGNING_KEY", "SCOPE_SIGNING_KEYS_JSON"])
            if (settings.Text(name) is not null || settings.Text(name + "_FILE") is not null) throw new StartRefused($"Both CLAW_KEY_FOLDER and {name} say which keys sign: keep one of them.");
        var source = new KeySource(new KeyFolder(folder), KeyRing.ParseVerifyOnly(Variable));
        return source.Held.Count > 0 ? source : throw new Refusal(Reason.SigningNotConfigured);

        string? Variable(string name) => settings.Text(name) ?? FromFile(settings.Text(name + "_FILE"));
    }

    internal static string? FromFile(string? file) => file is null ? null : SecretFile.Read(file).Trim();
}
