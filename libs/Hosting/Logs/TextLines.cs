using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace ClawBureau.Hosting.Logs;

/// <summary>
/// <c>2026-01-02T03:04:05.678Z WARN  ledger.unreachable The ledger …</c>. Control characters are written as escapes, so that no
/// value makes a line of its own.
/// </summary>
internal sealed class TextLines(TimeProvider time) : ConsoleFormatter(Name)
{
    public new const string Name = "claw-text";

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        textWriter.Write(time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'"));
        textWriter.Write(logEntry.LogLevel switch
        {
            LogLevel.Trace => " TRACE ",
            LogLevel.Debug => " DEBUG ",
            LogLevel.Information => " INFO  ",
            LogLevel.Warning => " WARN  ",
            LogLevel.Error => " ERROR ",
            _ => " FATAL ",
        });
        textWriter.Write(logEntry.EventId.Name ?? logEntry.Category);
        textWriter.Write(' ');
        WriteEscaped(textWriter, logEntry.Formatter(logEntry.State, logEntry.Exception));
        if (logEntry.Exception is { } exception)
        {
            textWriter.Write(" | ");
            WriteEscaped(textWriter, exception.ToString());
        }
        textWriter.Write('\n');
    }

    private static void WriteEscaped(TextWriter writer, string text)
    {
        foreach (var character in text)
        {
            if (character == '\n') writer.Write("\\n");
            else if (char.IsControl(character)) writer.Write($"\\u{(int)character:x4}");
            else writer.Write(character);
        }
    }
}
