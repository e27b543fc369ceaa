namespace ClawBureau.Suite.Tests;

/// <summary>docs/operating.md on the control plane, held to its word: the runbook's sections 3 and 4 by hand.</summary>
public sealed class OperatingTests
{
    [Fact]
    public async Task Every_command_of_the_control_plane_prints_what_the_page_says()
    {
        if (OperatingSystem.IsWindows()) return;         // the page speaks to a POSIX shell
        var page = new StoryPage("operating.md", "The control plane, by hand");
        Assert.True(page.Commands.Count > 20);
        await StoryTests.HoldsAsync(page);
    }
}
