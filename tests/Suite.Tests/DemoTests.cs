using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>`claw demo`, each with a temporary folder of its own, so that what it leaves behind is seen.</summary>
public sealed partial class DemoTests : IDisposable
{
    private readonly DirectoryInfo _temporary = Directory.CreateTempSubdirectory("claw-demo-test-");
    private readonly Dictionary<string, string?> _environment;

    public DemoTests()
    {
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_temporary.FullName, (UnixFileMode)0b111_001_001);   // the server's account passes through
        _environment = new() { ["TMPDIR"] = _temporary.FullName };
    }

    public void Dispose() => _temporary.Delete(recursive: true);

    private static readonly string[] Steps = ["start", "issue", "retry", "refuse", "introspect", "verify", "watch", "revoke", "revoked", "streamed", "verify-revoked", "audit", "stop"];

    [Fact]
    public async Task A_demo_that_was_killed_is_swept_by_the_next_one_which_tells_its_steps_as_json()
    {
        using var demo = new RunningClaw(["demo"], _environment);
        await demo.PrintsAsync("audit-sink-0");
        demo.Signal("KILL");
        await demo.WaitAsync(TimeSpan.FromSeconds(10));
        var left = LeftBehind();
        var processes = ProcessesOf(demo.Out);
        Assert.Single(left);
        Assert.All(processes, p => Assert.True(IsRunning(p), $"process {p} ended by itself: nothing was shown"));

        var next = await Claw.RunAsync(["demo", "--json"], _environment);

        Assert.True(next.Code == 0, next.All);
        Assert.Empty(LeftBehind());
        Assert.All(processes, p => Assert.False(IsRunning(p), $"process {p} was left"));
        Assert.DoesNotContain(CommandLines(), c => c.Contains(left[0], StringComparison.Ordinal));

        var told = JsonDocument.Parse(next.LastLine).RootElement;
        Assert.Equal(CliPage.Shape(CliPage.Sections["demo"].Json!.Value), CliPage.Shape(told));
        Assert.True(told.GetProperty("ok").GetBoolean());
        Assert.Equal(Steps, told.GetProperty("steps").EnumerateArray().Select(s => s.GetProperty("name").GetString()));
        Assert.All(told.GetProperty("steps").EnumerateArray(), s => Assert.True(s.GetProperty("ok").GetBoolean() && s.GetProperty("ms").GetDouble() >= 0));
        Assert.Equal("", next.Error);
    }

    [Theory]
    [InlineData("database  ")]          // while the services start
    [InlineData("introspector-0")]      // when the stack stands
    public async Task Ctrl_C_takes_everything_down(string moment)
    {
        using var demo = new RunningClaw(["demo"], _environment);
        await demo.PrintsAsync(moment);
        int interrupted = demo.Interrupt();
        var ran = await demo.WaitAsync(TimeSpan.FromSeconds(30));

        Assert.Equal(interrupted, ran.Code);
        Assert.Equal("claw: interrupted\n", ran.Error);
        Assert.Empty(LeftBehind());
        Assert.All(ProcessesOf(ran.Out), p => Assert.False(IsRunning(p), $"process {p} was left"));
        Assert.DoesNotContain(CommandLines(), c => c.Contains(_temporary.FullName, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("Host=127.0.0.1;Port=1;Username=postgres;Password=x", 3, "CLAW_DATABASE")]
    [InlineData("nonsense", 2, "CLAW_DATABASE")]
    public async Task With_a_database_that_cannot_be_used_the_demo_says_so_in_a_sentence_with_a_remedy(string database, int code, string names)
    {
        var ran = await Claw.RunAsync(["demo", "--json"], new Dictionary<string, string?>(_environment)
        {
            ["CLAW_DATABASE"] = database,
            ["CLAW_DATABASE_ISSUER"] = database,
            ["CLAW_DATABASE_INTROSPECTOR"] = database,
            ["CLAW_DATABASE_AUDIT"] = database,
        });

        Assert.True(code == ran.Code, ran.All);
        Assert.StartsWith("claw: ", ran.Error, StringComparison.Ordinal);
        Assert.Contains(names, ran.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", ran.Error, StringComparison.Ordinal);
        Assert.True(ran.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length <= 2, ran.All);
        Assert.False(JsonDocument.Parse(ran.LastLine).RootElement.GetProperty("ok").GetBoolean());
        Assert.Empty(LeftBehind());
    }

    private List<string> LeftBehind() => [.. Directory.EnumerateFileSystemEntries(_temporary.FullName, "claw-*")];

    private static List<int> ProcessesOf(string output) => [.. ProcessId().Matches(output).Select(m => int.Parse(m.Groups[1].Value))];

    private static bool IsRunning(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    /// <summary>Of every process whose command line one may read; Linux only, elsewhere the ids have to do.</summary>
    private static List<string> CommandLines()
    {
        var lines = new List<string>();
        if (!OperatingSystem.IsLinux()) return lines;
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(d => char.IsAsciiDigit(Path.GetFileName(d)[0])))
        {
            try
            {
                lines.Add(File.ReadAllText(Path.Combine(folder, "cmdline")));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is somebody else's.
            }
        }
        return lines;
    }

    [GeneratedRegex(@"pid (\d+)")]
    private static partial Regex ProcessId();
}
