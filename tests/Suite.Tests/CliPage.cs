using System.Text.Json;
using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>What docs/cli.md says of one verb.</summary>
/// <param name="Text">Its whole section.</param>
/// <param name="Json">The answer it shows; null: none.</param>
internal sealed record CliSection(string Text, JsonElement? Json)
{
    /// <summary>True where the text has it between backquotes, alone or with what belongs to it (`--state DIR`).</summary>
    public bool Names(string option) => Regex.IsMatch(Text, $@"`{Regex.Escape(option)}[ `]");

    public bool TellsExitCodes => Regex.IsMatch(Text, "^Exit codes: 0 ", RegexOptions.Multiline);
}

/// <summary>docs/cli.md: a section `## claw VERB` for every verb.</summary>
internal static partial class CliPage
{
    public static string Text { get; } = File.ReadAllText(Path.Combine(Claw.Root, "docs", "cli.md"));

    /// <summary>What stands before the first verb: it holds for all.</summary>
    public static string Preface { get; } = Text[..Text.IndexOf("\n## ", StringComparison.Ordinal)];

    public static IReadOnlyDictionary<string, CliSection> Sections { get; } = Section().Matches(Text)
        .ToDictionary(m => m.Groups[1].Value, m => new CliSection(m.Groups[2].Value, Shown().Match(m.Groups[2].Value) is { Success: true } json ? Parse(json.Groups[1].Value) : null), StringComparer.Ordinal);

    /// <summary>The names of an answer's members, of what it holds too; of a list, those of its first entry.</summary>
    public static IEnumerable<string> Shape(JsonElement value, string path = "") => value.ValueKind switch
    {
        JsonValueKind.Object => value.EnumerateObject().SelectMany(m => Shape(m.Value, $"{path}.{m.Name}").Prepend($"{path}.{m.Name}")),
        JsonValueKind.Array when value.GetArrayLength() > 0 => Shape(value[0], path + "[]"),
        _ => [],
    };

    private static JsonElement Parse(string text)
    {
        using var document = JsonDocument.Parse(text);
        return document.RootElement.Clone();
    }

    [GeneratedRegex(@"^## claw ([^\n]+)\n(.*?)(?=^## |\z)", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Section();

    [GeneratedRegex(@"^```json\n(.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Shown();
}
