using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// JSON canonicalisation, RFC 8785: members sorted by UTF-16 code unit, no blanks, strings and numbers as ECMAScript writes
/// them. The result is UTF-8.
/// </summary>
public static class CanonicalJson
{
    /// <summary>Canonicalises JSON text.</summary>
    /// <exception cref="JsonException">Not JSON, or deeper than 64.</exception>
    /// <exception cref="ArgumentException">A member stands twice in one object, or a number is too large for a double.</exception>
    public static byte[] Of(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        using var document = JsonDocument.ParseValue(ref reader);
        return reader.Read() ? throw new JsonException("more than one value") : Of(document.RootElement);
    }

    /// <inheritdoc cref="Of(ReadOnlySpan{byte})"/>
    public static byte[] Of(JsonElement value)
    {
        var writer = new JsJsonWriter();
        Write(writer, value);
        return writer.ToArray();
    }

    private static void Write(JsJsonWriter writer, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object: WriteObject(writer, value); break;
            case JsonValueKind.Array:
                writer.BeginArray();
                foreach (var item in value.EnumerateArray()) Write(writer, item);
                writer.EndArray();
                break;
            case JsonValueKind.String: writer.Value(value.GetString()!); break;
            case JsonValueKind.Number: writer.Value(value.GetDouble()); break;
            case JsonValueKind.True: writer.Value(true); break;
            case JsonValueKind.False: writer.Value(false); break;
            case JsonValueKind.Null: writer.Null(); break;
            default: throw new ArgumentException("an undefined element is no JSON", nameof(value));
        }
    }

    private static void WriteObject(JsJsonWriter writer, JsonElement value)
    {
        var members = value.EnumerateObject().ToArray();
        Array.Sort(members, (left, right) => string.CompareOrdinal(left.Name, right.Name));
        writer.BeginObject();
        string? previous = null;
        foreach (var member in members)
        {
            if (member.Name == previous)
                throw new ArgumentException($"the member '{member.Name}' stands twice in one object", nameof(value));
            previous = member.Name;
            writer.Name(member.Name);
            Write(writer, member.Value);
        }
        writer.EndObject();
    }
}
