using System.Diagnostics;
using System.Globalization;
using System.Runtime.Versioning;
using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>docs/one-token.md, held to its word.</summary>
public sealed partial class StoryTests
{
    [Fact]
    public async Task Every_command_of_the_page_prints_what_the_page_says()
    {
        if (OperatingSystem.IsWindows()) return;         // the page speaks to a POSIX shell
        var page = new StoryPage();
        Assert.True(page.Commands.Count > 10);
        await HoldsAsync(page);
    }

    /// <summary>Runs a page from its first command, which brings the stack up, to its last.</summary>
    [UnsupportedOSPlatform("windows")]
    internal static async Task HoldsAsync(StoryPage page)
    {
        var commands = page.Commands;
        var folder = Directory.CreateTempSubdirectory("claw-story-").FullName;
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_001_001);      // the database server's account passes through
        // What the page calls ./claw, without the build that comes first; and its stack on ports that nobody else has.
        await File.WriteAllTextAsync(Path.Combine(folder, "claw"), $"""
            #!/bin/sh
            [ "$1" != up ] || set -- "$@" --port-base {PortBases.Free()}
            exec "{Claw.Dotnet}" "{Claw.Program}" "$@"
            """);
        File.SetUnixFileMode(Path.Combine(folder, "claw"), (UnixFileMode)0b111_101_101);
        try
        {
            using var up = new RunningClaw(Bash(folder, "-c", "exec " + commands[0].Command));
            await up.PrintsAsync(commands[0].Lines[^1]);
            Assert.True(commands[0].Fits(up.Out), $"$ {commands[0].Command}\nprints\n{up.Out}");

            using (var shell = new Shell(Bash(folder)))
            {
                foreach (var told in commands.Skip(1))
                {
                    var printed = await shell.RunAsync(told.Command);
                    Assert.True(told.Fits(printed), $"$ {told.Command}\nprints\n{printed}");
                }
                // One stack a folder.
                Assert.StartsWith("claw: A stack is running in ", await shell.RunAsync("./claw up"), StringComparison.Ordinal);
                Assert.Equal("3\n", await shell.RunAsync("echo $?"));
            }

            up.Interrupt();
            var ended = await up.WaitAsync(TimeSpan.FromSeconds(30));
            Assert.True(ended.Code == 0 && ended.Error.Length == 0, ended.All);
            Assert.False(File.Exists(Path.Combine(folder, ".claw", "state", "stack.json")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Every_file_member_and_table_that_the_page_names_exists()
    {
        var page = new StoryPage();
        Assert.DoesNotContain(page.Files, f => !Path.Exists(Path.Combine(Claw.Root, f)));

        var sources = new[] { "cli", "libs", "services", "protos" }.SelectMany(f => Directory.EnumerateFiles(Path.Combine(Claw.Root, f), "*", SearchOption.AllDirectories))
            .Where(f => !f.Contains("/bin/", StringComparison.Ordinal) && !f.Contains("/obj/", StringComparison.Ordinal) && Path.GetExtension(f) is ".cs" or ".proto" or ".sql")
            .Select(f => CommentLine().Replace(File.ReadAllText(f), "")).ToList();
        Assert.True(page.Members.Count() > 30);
        Assert.DoesNotContain(page.Members.Distinct(), name => !Declares(sources, name));
        Assert.True(page.Tables.Count() > 4);
        Assert.DoesNotContain(page.Tables, table => !sources.Any(s => Regex.IsMatch(s, $@"CREATE TABLE {Regex.Escape(table)}\b")));
    }

    [Fact]
    public void The_mint_s_steps_are_told_in_its_own_words()
    {
        var page = Blank().Replace(new StoryPage().Text, " ");
        var steps = Step().Matches(File.ReadAllText(Path.Combine(Claw.Root, "services", "Issuer", "TokenMint.cs")));
        Assert.Equal(["1", "2", "3", "4", "5", "6"], steps.Select(s => s.Groups[1].Value));
        Assert.All(steps, s => Assert.Contains($" {s.Groups[1].Value}. {NextLine().Replace(s.Groups[2].Value, " ")} (", page, StringComparison.Ordinal));
    }

    [Fact]
    public void Output_that_differs_from_the_page_is_noticed()
    {
        var told = new Told("x", ["active", "  hash  …", "…", "  as of  1"]);
        Assert.True(told.Fits("active\n  hash  ab\n  sub  s\n  as of  1\n"));
        Assert.True(told.Fits("active\n  hash  ab\n  as of  1\n"));
        Assert.False(told.Fits("revoked\n  hash  ab\n  as of  1\n"));
        Assert.False(told.Fits("active\n  hash  ab\n  as of  1\nmore\n"));
        Assert.False(told.Fits("active\n  hash  ab\n"));
        Assert.False(Declares(["class Mint { void IssueAsync(); }"], "Mint.RevokeAsync"));
    }

    private static bool Declares(List<string> sources, string name)
    {
        var parts = name.Split('.');
        return sources.Any(s => Regex.IsMatch(s, $@"\b(class|record|struct|interface|enum|service|message) {parts[0]}\b")
            && (parts.Length == 1 || Regex.IsMatch(s, $@"\b{parts[1]}\b\s*(\(|<|=|\{{|;|,)")));
    }

    private static ProcessStartInfo Bash(string folder, params string[] arguments)
    {
        var start = Claw.Describe("bash", ["--noprofile", "--norc", .. arguments], null);
        start.WorkingDirectory = folder;
        return start;
    }

    [GeneratedRegex(@"^\s*(//|--).*$", RegexOptions.Multiline)]
    private static partial Regex CommentLine();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blank();

    [GeneratedRegex(@"^/// (\d)\. ([^\n]*(?:\n///    [^\n]*)*?)[;.]$", RegexOptions.Multiline)]
    private static partial Regex Step();

    [GeneratedRegex(@"\n/// +")]
    private static partial Regex NextLine();

    /// <summary>One shell, so that a variable set by a command is there for the next.</summary>
    private sealed class Shell : IDisposable
    {
        private const string End = "--- end of the command ---";
        private readonly Process _bash;

        public Shell(ProcessStartInfo bash)
        {
            _bash = Process.Start(bash)!;
            _bash.StandardInput.AutoFlush = true;
            _bash.StandardInput.Write("exec 2>&1\n");
        }

        /// <returns>What it prints on either stream; the next command finds its exit code in $?.</returns>
        public async Task<string> RunAsync(string command)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            await _bash.StandardInput.WriteAsync($"{command}\n{{ told=$?; echo '{End}'; (exit $told); }}\n");
            var printed = new List<string>();
            while (await _bash.StandardOutput.ReadLineAsync(patience.Token) is { } line && line != End) printed.Add(line);
            return string.Concat(printed.Select(l => string.Create(CultureInfo.InvariantCulture, $"{l}\n")));
        }

        public void Dispose()
        {
            _bash.Kill(entireProcessTree: true);
            _bash.Dispose();
        }
    }
}
