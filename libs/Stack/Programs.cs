using System.Diagnostics;
using System.Globalization;

namespace ClawBureau.Stack;

/// <summary>Other programs, run to their end or started and kept.</summary>
internal static class Programs
{
    /// <summary>Runs a program to its end.</summary>
    /// <returns>Exit code (-1: it could not be started or took too long) and what it printed on both streams.</returns>
    public static (int Code, string Output) Run(string program, IEnumerable<string> arguments, TimeSpan most)
    {
        try
        {
            using var process = Process.Start(Describe(program, arguments))!;
            var output = process.StandardOutput.ReadToEndAsync();
            var error = process.StandardError.ReadToEndAsync();
            process.StandardInput.Close();
            if (!process.WaitForExit(most))
            {
                process.Kill(entireProcessTree: true);
                return (-1, $"{program} did not end within {most.TotalSeconds:0} s");
            }
            return (process.ExitCode, output.Result + error.Result);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return (-1, e.Message);
        }
    }

    /// <summary>Starts a program that goes on running. Its output goes to <paramref name="logFile"/>.</summary>
    /// <exception cref="StackException">The program is not there or may not be run.</exception>
    public static Process Start(string program, IEnumerable<string> arguments, string logFile, IReadOnlyDictionary<string, string?>? environment = null)
    {
        var start = Describe(program, arguments);
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>()) start.Environment[name] = value;
        var log = new StreamWriter(new FileStream(logFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
        var process = new Process { StartInfo = start, EnableRaisingEvents = true };
        void Write(string? line)
        {
            if (line is null) return;
            lock (log) log.WriteLine(line);
        }
        process.OutputDataReceived += (_, e) => Write(e.Data);
        process.ErrorDataReceived += (_, e) => Write(e.Data);
        try
        {
            process.Start();
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            log.Dispose();
            throw new StackException($"{program} could not be started ({e.Message}): it must be installed and on PATH.", e);
        }
        process.StandardInput.Close();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    /// <summary>
    /// A number that tells a process from a later one with the same id: when it started, in ticks of a clock that nobody sets
    /// where the system has one (Linux: since boot), else by the wall clock.
    /// </summary>
    public static long StartOf(Process process) =>
        !OperatingSystem.IsLinux() ? process.StartTime.ToUniversalTime().Ticks
        : ReadStat(process.Id) is { } stat ? stat.Start
        : throw new InvalidOperationException("The process has ended.");

    /// <summary>True while the process with this id is the one of which <see cref="StartOf"/> said this.</summary>
    public static bool IsAlive(int id, long start)
    {
        if (OperatingSystem.IsLinux()) return ReadStat(id) is { } stat && stat.State != "Z" && stat.Start == start;
        try
        {
            using var process = Process.GetProcessById(id);
            return !process.HasExited && Math.Abs(process.StartTime.ToUniversalTime().Ticks - start) < TimeSpan.TicksPerSecond * 2;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>State and start (fields 3 and 22) of proc_pid_stat(5); null when there is no such process.</summary>
    private static (string State, long Start)? ReadStat(int id)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{id}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');        // the name before it may hold anything
            return (fields[0], long.Parse(fields[19], CultureInfo.InvariantCulture));
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static ProcessStartInfo Describe(string program, IEnumerable<string> arguments) => new(program, arguments)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        UseShellExecute = false,
        WorkingDirectory = Path.GetTempPath(),      // the caller's folder may be closed to another user
    };
}
