using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>Operators alarm on events by number or name: within a project neither may mean two things.</summary>
public sealed partial class LogTests
{
    [Fact]
    public void Every_event_of_a_project_has_a_number_and_a_name_of_its_own()
    {
        var files = new[] { "libs", "services", "cli" }.SelectMany(folder => Directory.EnumerateFiles(Path.Combine(Claw.Root, folder), "Log.cs", SearchOption.AllDirectories)).ToList();
        Assert.True(files.Count > 5);
        Assert.All(files, file =>
        {
            var events = Event().Matches(File.ReadAllText(file));
            Assert.NotEmpty(events);
            Assert.Equal(events.Count, events.Select(found => found.Groups[1].Value).Distinct().Count());
            Assert.Equal(events.Count, events.Select(found => found.Groups[2].Value).Distinct().Count());
        });
    }

    [GeneratedRegex(@"EventId = (\d+), EventName = ""([a-z_.]+)""")]
    private static partial Regex Event();
}
