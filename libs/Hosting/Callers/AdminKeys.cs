using System.Security.Cryptography;
using System.Text;
using ClawBureau.Hosting.Files;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Callers;

/// <summary>
/// The admin keys of this process and what each opens. Only their SHA-256 is kept. Keys come from <c>CLAW_ADMIN_KEYS_FILE</c>
/// (named, scoped, read again when the file changes) and, with every scope, from <c>SCOPE_ADMIN_KEY</c> and
/// <c>SCOPE_ADMIN_KEYS_JSON</c> (clawscope-http.md 0.1 B).
/// </summary>
public sealed class AdminKeys
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    private readonly AdminKeyTable fixedKeys = new([]);
    private readonly bool invalid;
    private readonly ReloadingFile<AdminKeyTable>? file;

    /// <exception cref="StartRefused">The key file is missing, open to others or malformed.</exception>
    public AdminKeys(Settings settings, TimeProvider time, ILogger<AdminKeys> logger)
    {
        try
        {
            fixedKeys = new(AdminKeySources.FromVariables(settings.Text("SCOPE_ADMIN_KEY"), settings.Text("SCOPE_ADMIN_KEYS_JSON")));
        }
        catch (FormatException problem)
        {
            // The contract answers this per call (503), so that the rest of the service stays up.
            invalid = true;
            Log.AdminKeysInvalid(logger, problem.Message);
        }

        if (settings.Text("CLAW_ADMIN_KEYS_FILE") is { } path)
            file = new(
                [path],
                () =>
                {
                    var keys = AdminKeySources.FromFile(path);
                    var names = string.Join(", ", keys.Select(key => key.Name));
                    Log.AdminKeysLoaded(logger, keys.Count, names);
                    return fixedKeys.With(keys);
                },
                LookInterval,
                time,
                logger);
    }

    /// <summary>Judges the value of metadata <c>authorization</c>: <c>Bearer KEY</c> or the bare key.</summary>
    /// <exception cref="Refusal">ADMIN_KEY_CONFIG_INVALID, ADMIN_KEY_NOT_CONFIGURED, UNAUTHORIZED.</exception>
    public Caller.AdminKey Authenticate(string? authorization)
    {
        var keys = Current;
        if (invalid) throw new Refusal(Reason.AdminKeyConfigInvalid);
        if (keys.Count == 0) throw new Refusal(Reason.AdminKeyNotConfigured);
        if (string.IsNullOrWhiteSpace(authorization)) throw new Refusal(Reason.Unauthorized, "Missing Authorization header");

        return keys.Find(HashOf(authorization)) ?? throw new Refusal(Reason.Unauthorized, "Invalid admin token");
    }

    private AdminKeyTable Current => file?.Current ?? fixedKeys;

    /// <summary>True when this is one of the keys, whatever it looks like.</summary>
    internal bool Knows(string authorization) => !invalid && Current.Find(HashOf(authorization)) is not null;

    /// <summary>The caller as his key stands now, or null when the key has been withdrawn.</summary>
    internal Caller.AdminKey? Refresh(Caller.AdminKey caller) => invalid ? null : Current.Find(caller.KeyHash.AsSpan());

    private static byte[] HashOf(string authorization) => SHA256.HashData(Encoding.UTF8.GetBytes(WithoutScheme(authorization)));

    private static string WithoutScheme(string authorization)
    {
        var value = authorization.Trim();
        return value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? value["Bearer ".Length..].Trim() : value;
    }
}
