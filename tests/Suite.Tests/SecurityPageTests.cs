using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>docs/security.md names a test for every promise; a test that was renamed or deleted takes its name from the page.</summary>
public sealed partial class SecurityPageTests
{
    [Fact]
    public void Every_test_and_file_that_the_page_names_exists()
    {
        var page = File.ReadAllText(Path.Combine(Claw.Root, "docs", "security.md"));
        var sources = Directory.EnumerateFiles(Path.Combine(Claw.Root, "tests"), "*Tests.cs", SearchOption.AllDirectories)
            .GroupBy(file => Path.GetFileNameWithoutExtension(file), File.ReadAllText)
            .ToDictionary(group => group.Key, string.Concat);
        var named = Named().Matches(page).Select(match => (Class: match.Groups[1].Value, Test: match.Groups[2].Value)).ToList();

        Assert.True(named.Count > 20);
        Assert.DoesNotContain(named, test => !sources.TryGetValue(test.Class, out var text) || !text.Contains($" {test.Test}(", StringComparison.Ordinal));
        Assert.DoesNotContain(Linked().Matches(page).Select(match => match.Groups[1].Value), file => !Path.Exists(Path.Combine(Claw.Root, "docs", file)));
    }

    [GeneratedRegex(@"`(\w+Tests)\.(\w+)`")]
    private static partial Regex Named();

    [GeneratedRegex(@"\]\(([^)#:]+)\)")]
    private static partial Regex Linked();
}
