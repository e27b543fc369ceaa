using System.Text.Json;

namespace ClawBureau.Edge.Tests;

/// <summary>One event of a stream: its name, the id to resume from, and its data.</summary>
public sealed record ServerEvent(string Name, string? Id, JsonElement Data);

/// <summary>Reads server-sent events as WHATWG HTML 9.2 has them: fields, then a blank line.</summary>
public sealed class EventStream(HttpResponseMessage response, Stream body) : IDisposable
{
    private readonly StreamReader _lines = new(body);

    /// <returns>Null: the server ended the stream.</returns>
    public async Task<ServerEvent?> NextAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var (name, id, data) = ("message", (string?)null, "");
        while (await _lines.ReadLineAsync(patience.Token) is { } line)
        {
            if (line.Length == 0 && data.Length > 0) return new ServerEvent(name, id, JsonDocument.Parse(data).RootElement);
            if (line.StartsWith("event: ", StringComparison.Ordinal)) name = line["event: ".Length..];
            else if (line.StartsWith("id: ", StringComparison.Ordinal)) id = line["id: ".Length..];
            else if (line.StartsWith("data: ", StringComparison.Ordinal)) data += line["data: ".Length..];
        }
        return null;
    }

    public void Dispose()
    {
        _lines.Dispose();
        response.Dispose();
    }
}
