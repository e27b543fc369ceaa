using System.Text.RegularExpressions;

namespace ClawBureau.Suite.Tests;

/// <summary>The first tokens of README.md, on a stack that stands already.</summary>
[Collection(SharedDetachedStack.Name)]
public sealed partial class ReadmeTests(DetachedStack stack) : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("claw-readme-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [CurlFact]
    public async Task The_first_token_of_the_command_and_of_http_is_issued_and_revoked()
    {
        if (OperatingSystem.IsWindows()) return;        // the page speaks to a POSIX shell
        // The page is read at the top of a tree: there are its command, and the state folder of a stack that runs.
        Directory.CreateDirectory(Path.Combine(_folder, ".claw"));
        Directory.CreateSymbolicLink(Path.Combine(_folder, ".claw", "state"), stack.State);
        await File.WriteAllTextAsync(Path.Combine(_folder, "claw"), $"""
            #!/bin/sh
            [ "$1" = up ] || exec "{Claw.Dotnet}" "{Claw.Program}" "$@"
            """);
        File.SetUnixFileMode(Path.Combine(_folder, "claw"), (UnixFileMode)0b111_101_101);

        var command = await RunAsync("bash", "-c", Block("sh", 0));
        Assert.True(command.Code == 1, command.All);                    // the last line asks about a revoked token
        Assert.Matches(@"\Aactive\n(.*\n)*revoked\n(.*\n)*revoked\n", command.Out);

        var http = await RunAsync("bash", "-c", Block("sh", 1));
        Assert.True(http.Code == 0, http.All);
        Assert.Matches("\"status\": \"revoked\"(.|\n)*\"active\": false(.|\n)*\"revoked\": true", http.Out);
    }

    [NodeFact]
    public async Task The_first_token_over_grpc_is_issued()
    {
        var script = Block("js", 0).Replace("../../.claw/state", stack.State, StringComparison.Ordinal);
        var start = Claw.Describe("node", ["--input-type=module", "-e", script], null);
        start.WorkingDirectory = ForeignClients.Folder;
        using var node = new RunningClaw(start);
        var ran = await node.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(ran.Code == 0 && ran.Out.Trim().Split('.').Length == 3, ran.All);
    }

    private async Task<Ran> RunAsync(string program, params string[] arguments)
    {
        var start = Claw.Describe(program, arguments, null);
        start.WorkingDirectory = _folder;
        using var running = new RunningClaw(start);
        return await running.WaitAsync(TimeSpan.FromSeconds(120));
    }

    /// <summary>The n-th block of a language, with this stack's ports; five lines, as the page promises.</summary>
    private string Block(string language, int number)
    {
        var text = Blocks().Matches(File.ReadAllText(Path.Combine(Claw.Root, "README.md"))).Where(m => m.Groups[1].Value == language).ElementAt(number).Groups[2].Value;
        Assert.Equal(5, text.TrimEnd('\n').Split('\n').Length);
        return text.Replace("127.0.0.1:7405", $"127.0.0.1:{stack.PortBase + 5}", StringComparison.Ordinal).Replace("localhost:7410", $"localhost:{stack.PortBase + 10}", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"^```(\w+)\n(.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Blocks();
}
