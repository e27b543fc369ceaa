using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using ClawBureau.Hosting.Files;

namespace ClawBureau.Hosting.Callers;

/// <summary>Reads admin keys from where operators put them. Messages name what is wrong, never a key.</summary>
internal static partial class AdminKeySources
{
    private static readonly JsonSerializerOptions Strict = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
        AllowDuplicateProperties = false,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    /// <param name="single"><c>SCOPE_ADMIN_KEY</c>; null when blank.</param>
    /// <param name="json"><c>SCOPE_ADMIN_KEYS_JSON</c>: a JSON array of keys; null when blank.</param>
    /// <exception cref="FormatException">The JSON is no array of non-blank strings.</exception>
    public static IReadOnlyList<AdminKeyRecord> FromVariables(string? single, string? json)
    {
        var keys = new List<AdminKeyRecord>();
        if (single is not null) keys.Add(OfText("scope-admin", single));
        if (json is null) return keys;

        string?[]? entries;
        try
        {
            entries = JsonSerializer.Deserialize<string?[]>(json);
        }
        catch (JsonException)
        {
            entries = null; // its message may quote the text, which holds keys
        }
        if (entries is null || entries.Any(string.IsNullOrWhiteSpace))
            throw new FormatException("SCOPE_ADMIN_KEYS_JSON is not a JSON array of non-blank strings");
        for (var i = 0; i < entries.Length; i++)
        {
            keys.Add(OfText($"scope-admin-{i + 1}", entries[i]!.Trim()));
        }
        return keys;
    }

    /// <exception cref="StartRefused">The file is open to others, or not what <see cref="AdminKeys"/> describes.</exception>
    public static IReadOnlyList<AdminKeyRecord> FromFile(string path)
    {
        PrivateFile.RequirePrivate(path);
        FileEntry[]? entries;
        try
        {
            entries = JsonSerializer.Deserialize<FileEntry[]>(File.ReadAllBytes(path), Strict);
        }
        catch (JsonException problem)
        {
            throw new StartRefused($"{path} is not a JSON array of {{name, sha256, scopes}} (line {problem.LineNumber + 1}): correct it.");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        return [.. (entries ?? []).Select((entry, index) => Checked(path, index, entry, names))];
    }

    private static AdminKeyRecord Checked(string path, int index, FileEntry? entry, HashSet<string> names)
    {
        string? problem = entry switch
        {
            null => "is null",
            _ when !NamePattern().IsMatch(entry.Name) => "has a name that is not 1 to 64 of a-z, 0-9, '.', '_', '-'",
            _ when !HashPattern().IsMatch(entry.Sha256) => "has no sha256 of 64 hex digits",
            _ when entry.Scopes.Length == 0 || entry.Scopes.Any(string.IsNullOrWhiteSpace) => "has no scopes, or a blank one",
            _ when !names.Add(entry.Name) => "has the name of another entry",
            _ => null,
        };
        return problem is null
            ? new AdminKeyRecord(entry!.Name, [.. Convert.FromHexString(entry.Sha256)], [.. entry.Scopes])
            : throw new StartRefused($"Entry {index + 1} of {path} {problem}: correct it.");
    }

    private static AdminKeyRecord OfText(string name, string key) =>
        new(name, ImmutableArray.Create(SHA256.HashData(Encoding.UTF8.GetBytes(key))), ["*"]);

    [GeneratedRegex(@"\A[a-z0-9._-]{1,64}\z")]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"\A[0-9a-fA-F]{64}\z")]
    private static partial Regex HashPattern();

    private sealed record FileEntry(string Name, string Sha256, string[] Scopes);
}
