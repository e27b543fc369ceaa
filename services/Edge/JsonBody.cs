using System.Text;
using System.Text.Json;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>
/// A request body read as the existing services read theirs: members of another type than asked for are as if absent, of two
/// with one name the last counts, and an array is an object without members (clawscope-http.md 1.1).
/// </summary>
internal sealed class JsonBody : IDisposable
{
    private readonly JsonDocument _document;
    private readonly Dictionary<string, JsonElement> _members = new(StringComparer.Ordinal);

    private JsonBody(JsonDocument document)
    {
        _document = document;
        if (document.RootElement.ValueKind != JsonValueKind.Object) return;
        foreach (var member in document.RootElement.EnumerateObject())
        {
            if (NameOf(member) is { } name) _members[name] = member.Value;
        }
    }

    /// <exception cref="Refusal">INVALID_JSON; INVALID_REQUEST: neither object nor array.</exception>
    public static JsonBody Parse(ReadOnlyMemory<byte> utf8)
    {
        if (utf8.Span.StartsWith("\uFEFF"u8)) utf8 = utf8["\uFEFF"u8.Length..];
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(utf8);
        }
        catch (JsonException)
        {
            throw new Refusal(Reason.InvalidJson);          // what led to it would quote the body
        }
        if (document.RootElement.ValueKind is JsonValueKind.Object or JsonValueKind.Array) return new JsonBody(document);
        document.Dispose();
        throw new Refusal(Reason.InvalidRequest, "Request body must be a JSON object");
    }

    /// <exception cref="Refusal">TEXT_NOT_STORABLE: it is not Unicode.</exception>
    public string? Text(string name) => Find(name) is { ValueKind: JsonValueKind.String } member ? TextOf(member, name) : null;

    /// <summary>Infinite where the digits are more than a double holds.</summary>
    public double? Number(string name) => Find(name) is { ValueKind: JsonValueKind.Number } member ? member.GetDouble() : null;

    /// <summary>Null as well when one item is no string.</summary>
    /// <exception cref="Refusal">TEXT_NOT_STORABLE: one is not Unicode.</exception>
    public IReadOnlyList<string>? Texts(string name) => Find(name) is { ValueKind: JsonValueKind.Array } member
        && member.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
            ? [.. member.EnumerateArray().Select(item => TextOf(item, name))]
            : null;

    /// <summary>The member is there, and not null.</summary>
    public bool Has(string name) => Find(name) is { ValueKind: not JsonValueKind.Null };

    /// <summary>An object as it was written; null where the member is none.</summary>
    public byte[]? Json(string name) => Find(name) is { ValueKind: JsonValueKind.Object } member ? Encoding.UTF8.GetBytes(member.GetRawText()) : null;

    public void Dispose() => _document.Dispose();

    private JsonElement? Find(string name) => _members.TryGetValue(name, out var member) ? member : null;

    // A name that is not Unicode is none that anybody asks for.
    private static string? NameOf(JsonProperty member)
    {
        try
        {
            return member.Name;
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static string TextOf(JsonElement text, string name)
    {
        try
        {
            return text.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Refusal.OfField(Reason.TextNotStorable, name);
        }
    }
}
