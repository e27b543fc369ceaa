using ClawBureau.Load;
using Perfolizer.Horology;

namespace ClawBureau.Micro;

/// <summary>The measuring thread's CPU time, so that what else the machine does is not in the figures. Steal is: look at the error column.</summary>
internal sealed class CpuClock : IClock
{
    public string Title => "CPU time of the thread";

    public bool IsAvailable => true;

    public Frequency Frequency => new(TimeSpan.TicksPerSecond);

    public long GetTimestamp() => ThreadCpu.Now().Ticks;
}
