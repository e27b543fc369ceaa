using System.Text.Json;
using ClawBureau.Hosting.Logs;
using ClawBureau.Hosting.Tests.Processes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace ClawBureau.Hosting.Tests;

public sealed class LogLineTests
{
    private static readonly ManualTime Time = new();

    [Fact]
    public void Text_is_one_line_whatever_a_value_holds()
    {
        var line = Write(new TextLines(Time), "a\nforged 2026-01-01 line\r\u001b[31m", new InvalidDataException("x\ny"));

        Assert.Equal(line.Length - 1, line.IndexOf('\n'));
        Assert.DoesNotContain('\u001b', line);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN  thing\.happened a\\nforged", line);
    }

    [Fact]
    public void Json_is_one_object_with_the_values_as_members()
    {
        var line = Write(new JsonLines(Time), "a\nb", null);

        Assert.Equal(line.Length - 1, line.IndexOf('\n'));
        var json = JsonDocument.Parse(line).RootElement;
        Assert.Equal(("warning", "thing.happened", "a\nb"), (json.GetProperty("level").GetString(), json.GetProperty("event").GetString(), json.GetProperty("message").GetString()));
        Assert.Equal(3, json.GetProperty("values").GetProperty("Count").GetInt32());
    }

    private static string Write(ConsoleFormatter formatter, string message, Exception? exception)
    {
        using var writer = new StringWriter();
        IReadOnlyList<KeyValuePair<string, object?>> state = [KeyValuePair.Create("Count", (object?)3), KeyValuePair.Create("{OriginalFormat}", (object?)"x")];
        formatter.Write(new LogEntry<IReadOnlyList<KeyValuePair<string, object?>>>(
            LogLevel.Warning, "Category", new EventId(1, "thing.happened"), state, exception, (_, _) => message), null, writer);
        return writer.ToString();
    }
}
