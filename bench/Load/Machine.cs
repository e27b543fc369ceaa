using System.Runtime.InteropServices;
using ClawBureau.Tokens;

namespace ClawBureau.Load;

/// <summary>The machine a run is on, and how much of it the hypervisor gave to others.</summary>
internal static class Machine
{
    /// <summary>More than this share of all CPU time taken away spoils a round.</summary>
    public const double MostStolen = 0.01;

    public static string Describe()
    {
        var model = File.Exists("/proc/cpuinfo")
            ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[^1].Trim()
            : null;
        return $"{model ?? RuntimeInformation.ProcessArchitecture.ToString()} x {Environment.ProcessorCount}, {RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}, {Ed25519.Backend}";
    }

    /// <summary>Ticks stolen and ticks altogether since the machine started (proc(5), /proc/stat); zeros where that is not told.</summary>
    public static (long Stolen, long All) ReadCpu()
    {
        if (!File.Exists("/proc/stat")) return (0, 0);
        // cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are in user and nice already.
        var ticks = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(8).Select(long.Parse).ToArray();
        return (ticks.Length > 7 ? ticks[7] : 0, ticks.Sum());
    }

    public static bool IsStolen((long Stolen, long All) before, (long Stolen, long All) after) =>
        after.All > before.All && (double)(after.Stolen - before.Stolen) / (after.All - before.All) > MostStolen;
}
