using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Files;

/// <summary>
/// What files hold, read again when they change. A change is looked for when the content is asked for, at most once per
/// interval; content that cannot be used is logged once and the former content stays.
/// </summary>
internal sealed class ReloadingFile<T>
    where T : class
{
    private readonly string[] paths;
    private readonly Func<T> load;
    private readonly ILogger logger;
    private readonly TimeProvider time;
    private readonly long interval;
    private volatile T current;
    private string seen; // written only by whoever moved nextLook
    private long nextLook; // timestamp; whoever moves it forward looks

    /// <exception cref="StartRefused">The first content cannot be used.</exception>
    public ReloadingFile(IReadOnlyList<string> paths, Func<T> load, TimeSpan interval, TimeProvider time, ILogger logger)
    {
        (this.paths, this.load, this.logger, this.time) = ([.. paths], load, logger, time);
        this.interval = (long)(interval.TotalSeconds * time.TimestampFrequency);
        seen = Stamp();
        current = load();
        nextLook = time.GetTimestamp() + this.interval;
    }

    public T Current
    {
        get
        {
            var due = Volatile.Read(ref nextLook);
            var now = time.GetTimestamp();
            if (now >= due && Interlocked.CompareExchange(ref nextLook, now + interval, due) == due) Look();
            return current;
        }
    }

    private void Look()
    {
        try
        {
            var stamp = Stamp();
            if (stamp == Volatile.Read(ref seen)) return;
            Volatile.Write(ref seen, stamp);
            current = load();
        }
        catch (Exception problem) when (problem is StartRefused or IOException or UnauthorizedAccessException)
        {
            Log.ReloadFailed(logger, string.Join(", ", paths), problem.Message);
        }
    }

    // The mode is part of it: an operator who closes a file that was refused changes nothing else.
    private string Stamp() => string.Join(';', paths.Select(path =>
        File.Exists(path)
            ? $"{File.GetLastWriteTimeUtc(path).Ticks} {new FileInfo(path).Length} {(OperatingSystem.IsWindows() ? 0 : (int)File.GetUnixFileMode(path))}"
            : "none"));
}
