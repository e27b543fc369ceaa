using ClawBureau.Hosting;
using ClawBureau.Hosting.Keys;
using ClawBureau.Ledger.Reading;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>
/// Where this process has its keys from: a key folder, whose keys the ledger moves through their states, or the runbook's
/// variables, which say themselves which key signs. Verify-only keys come from a variable in either case.
/// </summary>
public sealed class KeySource
{
    private volatile IReadOnlyList<SigningKey> _held = [];

    /// <exception cref="StartRefused">The folder holds what it must not.</exception>
    public KeySource(KeyFolder folder, IReadOnlyList<VerificationKey> verifyOnly)
    {
        (Folder, VerifyOnly) = (folder, verifyOnly);
        Reload();
    }

    public KeySource(KeyRing ring) => (Ring, VerifyOnly) = (ring, ring.VerifyOnlyKeys);

    /// <summary>Null: the keys come from variables.</summary>
    public KeyFolder? Folder { get; }

    /// <summary>Null: the keys come from a folder.</summary>
    public KeyRing? Ring { get; }

    public IReadOnlyList<VerificationKey> VerifyOnly { get; }

    /// <summary>What the folder held when it was last read, the key written last first.</summary>
    public IReadOnlyList<SigningKey> Held => _held;

    /// <summary>The private half, if it is here. Says nothing of whether it may sign.</summary>
    public SigningKey? Find(KeyId keyId)
    {
        if (Ring is not null) return Ring.FindSigningKey(keyId);
        if (FindHeld(keyId) is { } held) return held;
        try
        {
            Reload();               // another replica may have made it a moment ago
        }
        catch (StartRefused)
        {
            return null;            // the keeper says what is wrong with the folder
        }
        return FindHeld(keyId);
    }

    private SigningKey? FindHeld(KeyId keyId)
    {
        foreach (var key in _held)
            if (key.KeyId == keyId) return key;
        return null;
    }

    /// <summary>The key to sign with now: the ledger's active one, and no other.</summary>
    /// <param name="view">The ledger as last read.</param>
    /// <exception cref="Refusal">NOT_READY; SIGNING_NOT_CONFIGURED: no key is active; SIGNING_KEY_NOT_ACTIVE: it is not here, or past its own cut-off.</exception>
    public SigningKey ActiveIn(ControlView? view, DateTimeOffset now)
    {
        if (view is null) throw new Refusal(Reason.NotReady);
        if (view.ActiveKey is not { } active) throw new Refusal(Reason.SigningNotConfigured, "No key is active in the ledger");
        if (!view.Accepts(active, now.ToUnixTimeSeconds())) throw new Refusal(Reason.SigningKeyNotActive, $"The active key {active} is past its cut-off: rotate");
        return Find(active) ?? throw new Refusal(Reason.SigningKeyNotActive, MissingSeed(active));
    }

    internal static string MissingSeed(KeyId active) => $"The ledger's active key {active} is not among this Issuer's keys: it signs nothing until the seed is there";

    /// <summary>Reads the folder again, if it changed.</summary>
    /// <exception cref="StartRefused">The folder holds what it must not; what was read before stays.</exception>
    public void Reload()
    {
        if (Folder is not null) _held = Folder.Read();
    }
}
