using System.Diagnostics;
using System.Globalization;
using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>POSIX signals to processes of a stack.</summary>
internal static class Signals
{
    public static void Send(string name, Process process)
    {
        var (code, output) = Programs.Run("kill", ["-" + name, process.Id.ToString(CultureInfo.InvariantCulture)], TimeSpan.FromSeconds(5));
        Assert.True(code == 0, output);
    }

    /// <summary>Whether the system says that it stands still: state T, behind the name in parentheses (proc(5)).</summary>
    public static bool IsStopped(Process process)
    {
        var stat = File.ReadAllText($"/proc/{process.Id}/stat");
        return stat[stat.LastIndexOf(')') + 2] == 'T';
    }
}
