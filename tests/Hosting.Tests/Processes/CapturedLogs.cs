using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tests.Processes;

/// <summary>Everything a process logs, at every level, the framework's messages included.</summary>
internal sealed class CapturedLogs : ILoggerProvider
{
    private readonly ConcurrentQueue<CapturedLine> lines = new();

    public IReadOnlyCollection<CapturedLine> Lines => lines;

    public ILogger CreateLogger(string categoryName) => new Logger(lines);

    public void Dispose()
    {
    }

    private sealed class Logger(ConcurrentQueue<CapturedLine> lines) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(new(logLevel, eventId.Name ?? "", $"{formatter(state, exception)} {exception}"));
    }
}

internal sealed record CapturedLine(LogLevel Level, string Event, string Text);
