using System.Globalization;

namespace ClawBureau.Load;

/// <summary>CPU of a process and of all that it started: a database server's sessions are processes of their own. Linux tells it.</summary>
internal static class ProcessTree
{
    private const double TicksPerSecond = 100;          // USER_HZ, the same on every architecture we run on

    /// <returns>Null where the system does not tell.</returns>
    public static TimeSpan? CpuOf(int root)
    {
        if (!File.Exists("/proc/self/stat")) return null;
        var processes = new Dictionary<int, (int Parent, long Ticks)>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out int id) && Read(folder) is { } process) processes[id] = process;
        }
        long ticks = 0;
        foreach (var (id, process) in processes)
        {
            int ancestor = id;
            while (ancestor != root && processes.TryGetValue(ancestor, out var known)) ancestor = known.Parent;
            if (ancestor == root) ticks += process.Ticks;
        }
        return TimeSpan.FromSeconds(ticks / TicksPerSecond);
    }

    // proc(5), /proc/pid/stat: behind the name in parentheses state, ppid, …, utime, stime, cutime, cstime: those of children that ended count too.
    private static (int Parent, long Ticks)? Read(string folder)
    {
        try
        {
            var stat = File.ReadAllText(Path.Combine(folder, "stat"));
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (int.Parse(fields[1], CultureInfo.InvariantCulture), fields[11..15].Sum(ticks => long.Parse(ticks, CultureInfo.InvariantCulture)));
        }
        catch (IOException)
        {
            return null;        // it has ended meanwhile
        }
    }
}
