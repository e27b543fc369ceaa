using System.Text;
using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>One command of the page and what the page says it prints.</summary>
internal sealed record Told(string Command, IReadOnlyList<string> Lines)
{
    /// <summary>`…` is any text within a line, and any number of lines where it is all of one.</summary>
    public bool Fits(string printed)
    {
        var pattern = new StringBuilder(@"\A");
        foreach (var line in Lines)
            pattern.Append(line == "…" ? @"(.*\n)*?" : string.Join(".*?", line.Split('…').Select(Regex.Escape)) + @"\n");
        return Regex.IsMatch(printed, pattern + @"\z", RegexOptions.None, TimeSpan.FromSeconds(5));
    }
}

/// <summary>A page of docs that tells commands and what they print: the commands, and what it names.</summary>
internal sealed partial class StoryPage
{
    public StoryPage(string page = "one-token.md", string? section = null)
    {
        Text = File.ReadAllText(Path.Combine(Claw.Root, "docs", page));
        if (section is null) return;
        int begin = Text.IndexOf($"## {section}\n", StringComparison.Ordinal), end = Text.IndexOf("\n## ", begin + 1, StringComparison.Ordinal);
        Text = end < 0 ? Text[begin..] : Text[begin..end];
    }

    public string Text { get; }

    /// <summary>In the order of the page: a line that begins with `$ ` is a command (`\` at its end joins the next), the others are its output.</summary>
    public IReadOnlyList<Told> Commands
    {
        get
        {
            var told = new List<(string Command, List<string> Lines)>();
            foreach (Match block in Console().Matches(Text))
            {
                bool joins = false;
                foreach (var line in block.Groups[1].Value.TrimEnd('\n').Split('\n'))
                {
                    if (joins) told[^1] = (told[^1].Command + "\n" + line, told[^1].Lines);
                    else if (line.StartsWith("$ ", StringComparison.Ordinal)) told.Add((line[2..], []));
                    else told[^1].Lines.Add(line);
                    joins = (joins || line.StartsWith("$ ", StringComparison.Ordinal)) && line.EndsWith('\\');
                }
            }
            return [.. told.Select(t => new Told(t.Command, t.Lines))];
        }
    }

    /// <summary>Files it links to or names, relative to the top of the tree.</summary>
    public IEnumerable<string> Files =>
        Links().Matches(Text).Select(m => m.Groups[1].Value[3..]).Concat(Names().Where(n => n.Contains('/', StringComparison.Ordinal) && n.EndsWith(".cs", StringComparison.Ordinal)));

    /// <summary>`Type` or `Type.Member`.</summary>
    public IEnumerable<string> Members => Names().Where(n => Identifier().IsMatch(n));

    /// <summary>`ledger.table`.</summary>
    public IEnumerable<string> Tables => Names().Where(n => n.StartsWith("ledger.", StringComparison.Ordinal));

    private IEnumerable<string> Names() => Code().Matches(Console().Replace(Text, "")).Select(m => m.Groups[1].Value);

    [GeneratedRegex(@"^```console\n(.*?)^```$", RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex Console();

    [GeneratedRegex(@"\]\((\.\./[^)#]+)\)")]
    private static partial Regex Links();

    [GeneratedRegex(@"`([^`\n]+)`")]
    private static partial Regex Code();

    [GeneratedRegex(@"^[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]+)?$")]
    private static partial Regex Identifier();
}
