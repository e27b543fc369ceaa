using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// The runbook's variables, read as contract section 3 says:
/// <c>SCOPE_SIGNING_KEYS_JSON</c> (array of seeds, the first one signs) before <c>SCOPE_SIGNING_KEY</c> (one seed), and
/// <c>SCOPE_VERIFY_PUBLIC_KEYS_JSON</c> (array of public keys, or objects with x, kid, not_after_unix, source_label).
/// No signing key is "not configured"; whatever is there and wrong is "invalid", and says no more: it is secret.
/// </summary>
internal static class KeyVariables
{
    internal static KeyRing Read(Func<string, string?> variables)
    {
        var secrets = ReadSeeds(variables("SCOPE_SIGNING_KEYS_JSON"), variables("SCOPE_SIGNING_KEY"));
        try
        {
            var verifyOnly = ReadVerifyOnly(variables);
            return KeyRing.FromSeeds(secrets.Select(secret => (ReadOnlyMemory<byte>)secret), verifyOnly);
        }
        finally
        {
            foreach (var secret in secrets) CryptographicOperations.ZeroMemory(secret);
        }
    }

    internal static List<VerificationKey> ReadVerifyOnly(Func<string, string?> variables) => ReadVerifyKeys(variables("SCOPE_VERIFY_PUBLIC_KEYS_JSON"));

    private static List<byte[]> ReadSeeds(string? list, string? single)
    {
        if (!IsBlank(list))
        {
            var seeds = new List<byte[]>();
            foreach (var entry in ReadArray(list))
                seeds.Add(Decode(Text(entry)));
            return seeds.Count == 0 ? throw Invalid() : seeds;
        }
        return IsBlank(single) ? throw new Refusal(Reason.SigningNotConfigured) : [Decode(single)];
    }

    private static List<VerificationKey> ReadVerifyKeys(string? list)
    {
        var keys = new List<VerificationKey>();
        if (IsBlank(list)) return keys;
        foreach (var entry in ReadArray(list))
        {
            keys.Add(entry.ValueKind switch
            {
                JsonValueKind.String => new VerificationKey(Decode(Text(entry))),
                JsonValueKind.Object => ReadVerifyKey(entry),
                _ => throw Invalid(),
            });
        }
        return keys;
    }

    private static VerificationKey ReadVerifyKey(JsonElement entry)
    {
        if (!entry.TryGetProperty("x", out var x)) throw Invalid();
        long? notAfter = null;
        if (entry.TryGetProperty("not_after_unix", out var cutOff))
        {
            if (cutOff.ValueKind != JsonValueKind.Number || !cutOff.TryGetDouble(out var seconds)) throw Invalid();
            if (!(seconds > 0)) throw Invalid();
            notAfter = (long)Math.Min(Math.Floor(seconds), TokenLimits.MaxEpochSeconds);
        }
        var key = new VerificationKey(Decode(Text(x)), KeyState.VerifyOnly, notAfter);
        var hasOwnKid = !entry.TryGetProperty("kid", out var kid)
            || JsText.Trim(Text(kid)) == key.KeyId.ToString();
        return hasOwnKid ? key : throw Invalid();
    }

    private static JsonElement.ArrayEnumerator ReadArray(string json)
    {
        try
        {
            var root = JsonElement.Parse(json);
            return root.ValueKind == JsonValueKind.Array ? root.EnumerateArray() : throw Invalid();
        }
        catch (JsonException)
        {
            throw Invalid(); // without the cause: its message may quote the text
        }
    }

    private static string Text(JsonElement entry)
    {
        if (entry.ValueKind != JsonValueKind.String) throw Invalid();
        try
        {
            return entry.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Invalid(); // half of a surrogate pair, escaped
        }
    }

    /// <summary>Operators paste keys in either base64 alphabet, padded or not, and the existing services take them.</summary>
    private static byte[] Decode(string text)
    {
        var canonical = JsText.Trim(text).TrimEnd('=').Replace('+', '-').Replace('/', '_');
        var bytes = new byte[Base64UrlText.DecodedLength(canonical.Length)];
        return bytes.Length > 0 && Base64UrlText.TryDecode(canonical, bytes, out _) ? bytes : throw Invalid();
    }

    private static bool IsBlank([NotNullWhen(false)] string? text) =>
        text is null || JsText.IsBlank(text);

    private static Refusal Invalid() => new(Reason.SigningConfigInvalid);
}
