using System.Diagnostics;
using System.Text;
using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>What a run of the command left behind.</summary>
internal sealed record Ran(int Code, string Out, string Error)
{
    public string LastLine => Out.TrimEnd('\n').Split('\n')[^1];

    /// <summary>Everything, for the message of a failed test.</summary>
    public string All => $"exit code {Code}\n--- stdout\n{Out}\n--- stderr\n{Error}";
}

/// <summary>The `claw` command as its own process, as a person's shell would run it, in an environment that holds nothing of the suite's.</summary>
internal static class Claw
{
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(90);

    /// <summary>The command's program in the build that this test is part of.</summary>
    public static string Program { get; } = Find();

    public static string Dotnet { get; } =
        Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet";

    /// <summary>The top of the source tree.</summary>
    public static string Root { get; } = FindRoot();

    public static Task<Ran> RunAsync(params string[] arguments) => RunAsync(arguments, null);

    public static async Task<Ran> RunAsync(IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment, string input = "")
    {
        using var claw = new RunningClaw(arguments, environment, input);
        return await claw.WaitAsync(Most);
    }

    /// <summary>How to start the command, in a folder where no state of a stack lies.</summary>
    public static ProcessStartInfo Describe(string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach (var name in start.Environment.Keys.Where(n => n.StartsWith("CLAW_", StringComparison.Ordinal) || n.StartsWith("SCOPE_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(name);
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>()) start.Environment[name] = value;
        return start;
    }

    private static string Find()
    {
        const string file = "ClawBureau.Cli.dll";
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        string[] candidates =
        [
            Path.Combine(here.FullName, "..", "..", "Cli", here.Name, file),                                        // --artifacts-path
            Path.Combine(FindRoot(), "cli", "bin", here.Parent!.Name, here.Name, file),
        ];
        return candidates.First(File.Exists);
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(SourceFolder()); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "ClawBureau.sln"))) return folder.FullName;
        throw new InvalidOperationException("the source tree is not where this test was compiled");
    }

    private static string SourceFolder([System.Runtime.CompilerServices.CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}

/// <summary>A command that is still running.</summary>
internal sealed class RunningClaw : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _out = new();        // locked by itself
    private readonly StringBuilder _error = new();      // locked by itself
    private readonly SemaphoreSlim _printed = new(0);

    public RunningClaw(IEnumerable<string> arguments, IReadOnlyDictionary<string, string?>? environment = null, string input = "")
        : this(Claw.Describe(Claw.Dotnet, [Claw.Program, .. arguments], environment), input)
    {
    }

    public RunningClaw(ProcessStartInfo start, string input = "")
    {
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, e) => Keep(_out, e.Data);
        _process.ErrorDataReceived += (_, e) => Keep(_error, e.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        _process.StandardInput.Write(input);
        _process.StandardInput.Close();
    }

    public int Id => _process.Id;

    public string Out
    {
        get { lock (_out) return _out.ToString(); }
    }

    public string Error
    {
        get { lock (_error) return _error.ToString(); }
    }

    /// <summary>Returns as soon as what was printed, on either stream, contains the text.</summary>
    public async Task PrintsAsync(string text)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!Out.Contains(text, StringComparison.Ordinal) && !Error.Contains(text, StringComparison.Ordinal))
        {
            if (_process.HasExited) throw new InvalidOperationException($"it ended before it printed \"{text}\":\n{Out}\n{Error}");
            try
            {
                await _printed.WaitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"it did not print \"{text}\" within 60 s:\n{Out}\n{Error}");
            }
        }
    }

    /// <param name="name">INT, TERM, KILL.</param>
    public void Signal(string name)
    {
        var (code, output) = Programs.Run("kill", ["-" + name, $"{_process.Id}"], TimeSpan.FromSeconds(5));
        if (code != 0) throw new InvalidOperationException(output);
    }

    /// <summary>Ctrl-C; or, in a process that was told to ignore it (a shell's background job is), the request to terminate.</summary>
    /// <returns>The exit code of one that was interrupted so.</returns>
    public int Interrupt()
    {
        const int sigInt = 1 << 1;
        var ignored = !OperatingSystem.IsLinux() ? 0 : File.ReadLines($"/proc/{Id}/status").Where(l => l.StartsWith("SigIgn:", StringComparison.Ordinal))
            .Select(l => Convert.ToInt64(l[7..].Trim(), 16)).First();
        bool isIgnored = (ignored & sigInt) != 0;
        Signal(isIgnored ? "TERM" : "INT");
        return isIgnored ? 143 : 130;
    }

    public async Task<Ran> WaitAsync(TimeSpan most)
    {
        using var patience = new CancellationTokenSource(most);
        try
        {
            await _process.WaitForExitAsync(patience.Token);        // and for the end of both streams
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"it did not end within {most.TotalSeconds:0} s:\n{Out}\n{Error}");
        }
        return new Ran(_process.ExitCode, Out, Error);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
        _printed.Dispose();
    }

    private void Keep(StringBuilder text, string? line)
    {
        if (line is not null)
        {
            lock (text) text.Append(line).Append('\n');
        }
        try
        {
            _printed.Release();
        }
        catch (ObjectDisposedException)
        {
            // Nobody waits any more.
        }
    }
}
