using System.Diagnostics;
using System.Runtime.InteropServices;
using ClawBureau.Stack;

namespace ClawBureau.Cli;

/// <summary>
/// `claw up --detach`: the same command line as a process of its own, in a session of its own, which writes to a log; this one
/// shows what is written there until the stack stands.
/// </summary>
internal static class Detached
{
    /// <summary>Says to the second process where to write; nobody else has a use for it.</summary>
    public const string LogOption = "--log";

    /// <summary>The second process's last line before it is left alone; not shown.</summary>
    public const string Stands = "the stack stands";

    /// <returns>The exit code: that of the second process where it ended before the stack stood.</returns>
    /// <exception cref="StackException">A stack is running in the folder already.</exception>
    public static async Task<int> StartAsync(string state, CancellationToken cancellationToken)
    {
        if (StackFolder.OwnerOf(state) is not null) throw new StackException($"A stack is running in {state}: `claw down` ends it, or choose another folder with --state.");
        var log = Path.Combine(PrivateFile.Folder(Path.Combine(Directory.CreateDirectory(state).FullName, "logs")), "up.log");
        File.Delete(log);
        var arguments = Environment.GetCommandLineArgs();
        var start = new ProcessStartInfo(Environment.ProcessPath!, [.. Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? arguments : arguments.Skip(1)])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        start.ArgumentList.Remove("--detach");
        start.ArgumentList.Add(LogOption);
        start.ArgumentList.Add(log);
        using var process = Process.Start(start)!;
        process.StandardInput.Close();

        using var shown = new LogTail(log);
        var to = Console.Out;
        while (true)
        {
            bool ended = process.HasExited;         // before the last look, so that nothing it wrote is missed
            while (shown.NextLine() is { } line)
            {
                if (line == Stands) return ExitCode.Done;
                if (line.StartsWith("claw: ", StringComparison.Ordinal)) to = Console.Error;        // why it ends
                await to.WriteLineAsync(line);
            }
            if (ended) return process.ExitCode;
            try
            {
                await Task.Delay(50, cancellationToken);
            }
            catch (OperationCanceledException)
            {
                process.Kill();                     // whatever it started so far is swept by the next start
                throw;
            }
        }
    }

    /// <summary>Lets go of the terminal: what is written goes to the log, and Ctrl-C there reaches neither this process nor those it starts.</summary>
    public static void Enter(string log)
    {
        var writer = new StreamWriter(new FileStream(log, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
        var shared = TextWriter.Synchronized(writer);
        Console.SetOut(shared);
        Console.SetError(shared);
        if (!OperatingSystem.IsWindows() && SetSid() < 0) throw new StackException("This process could not be given a session of its own: start the stack without --detach.");
    }

    [DllImport("libc", EntryPoint = "setsid")]
    private static extern int SetSid();

    /// <summary>Complete lines of a file that grows.</summary>
    private sealed class LogTail(string file) : IDisposable
    {
        private readonly char[] _buffer = new char[4096];
        private StreamReader? _reader;
        private string _rest = "";

        public string? NextLine()
        {
            if (_reader is null && File.Exists(file)) _reader = new StreamReader(new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
            if (_reader is not null) _rest += new string(_buffer, 0, _reader.Read(_buffer));
            int end = _rest.IndexOf('\n', StringComparison.Ordinal);
            if (end < 0) return null;
            var line = _rest[..end];
            _rest = _rest[(end + 1)..];
            return line;
        }

        public void Dispose() => _reader?.Dispose();
    }
}
