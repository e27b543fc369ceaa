using System.Diagnostics;
using System.Globalization;

namespace ClawBureau.Tokens.Tests;

/// <summary>How far a test is whose length can be chosen. CLAW_PROGRESS_FILE: where it says so, a line about every ten seconds.</summary>
internal sealed class LongRun(string name, long count)
{
    /// <summary>A thread a core: left alone, the pool adds threads to loops that never wait.</summary>
    public static readonly ParallelOptions OnEveryCore = new() { MaxDegreeOfParallelism = Environment.ProcessorCount };

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(10);

    private readonly string? _file = Environment.GetEnvironmentVariable("CLAW_PROGRESS_FILE");
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly Lock _lock = new();
    private long _done;
    private TimeSpan _said;

    public long Done => Interlocked.Read(ref _done);

    public static long Setting(string name, long byDefault) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? long.Parse(text, CultureInfo.InvariantCulture) : byDefault;

    public void Did(long more)
    {
        var done = Math.Min(count, Interlocked.Add(ref _done, more));
        if (string.IsNullOrEmpty(_file)) return;
        lock (_lock)
        {
            if (_watch.Elapsed - _said < Pause && done < count) return;
            _said = _watch.Elapsed;
            File.AppendAllText(_file, string.Create(CultureInfo.InvariantCulture, $"{name}: {done:N0} of {count:N0}, {done / _watch.Elapsed.TotalSeconds:N0} a second\n"));
        }
    }
}
