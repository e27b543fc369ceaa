using System.Runtime.InteropServices;

namespace ClawBureau.Load;

/// <summary>
/// CPU time of the current thread: what a loop in this process costs, whatever else the process does meanwhile. Linux tells it; elsewhere
/// the whole process is what is known.
/// </summary>
internal static unsafe class ThreadCpu
{
    private const int ClockThreadCpuTimeId = 3;

    private static readonly delegate* unmanaged<int, long*, int> ClockGetTime =
        OperatingSystem.IsLinux() && nint.Size == 8 && NativeLibrary.TryLoad("libc.so.6", out var libc) && NativeLibrary.TryGetExport(libc, "clock_gettime", out var export)
            ? (delegate* unmanaged<int, long*, int>)export
            : null;

    public static TimeSpan Now()
    {
        var time = stackalloc long[2];      // struct timespec: seconds, nanoseconds
        return ClockGetTime is not null && ClockGetTime(ClockThreadCpuTimeId, time) == 0
            ? TimeSpan.FromSeconds(time[0]) + TimeSpan.FromMicroseconds(time[1] / 1000.0)
            : Environment.CpuUsage.TotalTime;
    }
}
