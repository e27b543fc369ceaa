using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// Reading JSON that somebody else wrote: no member twice in one object, no text that is not Unicode, bounded counts. Where
/// two parsers may disagree about a document, it is refused. Every method throws <see cref="JsonException"/>.
/// </summary>
internal static class StrictJson
{
    internal static Utf8JsonReader Reader(ReadOnlySpan<byte> utf8) =>
        new(utf8, new JsonReaderOptions { MaxDepth = TokenLimits.MaxJsonDepth });

    /// <summary>The current string or member name.</summary>
    internal static string Text(ref Utf8JsonReader json)
    {
        try
        {
            return json.GetString()!;
        }
        catch (InvalidOperationException notUnicode)
        {
            throw new JsonException("a string is not Unicode", notUnicode);
        }
    }

    /// <summary>Passes over the current value, checking it as strictly as if it were read.</summary>
    internal static void Skip(ref Utf8JsonReader json)
    {
        switch (json.TokenType)
        {
            case JsonTokenType.StartObject:
                var names = new HashSet<string>(StringComparer.Ordinal);
                while (NextMember(ref json))
                {
                    AddOnce(names, Text(ref json));
                    json.Read();
                    Skip(ref json);
                }
                break;
            case JsonTokenType.StartArray:
                while (NextItem(ref json)) Skip(ref json);
                break;
            case JsonTokenType.String:
                Text(ref json);
                break;
        }
    }

    /// <summary>Moves to the next member's name; false at the end of the object.</summary>
    internal static bool NextMember(ref Utf8JsonReader json)
    {
        json.Read();
        return json.TokenType == JsonTokenType.PropertyName;
    }

    /// <summary>Moves to the next item; false at the end of the array.</summary>
    internal static bool NextItem(ref Utf8JsonReader json)
    {
        json.Read();
        return json.TokenType != JsonTokenType.EndArray;
    }

    internal static void AddOnce(HashSet<string> names, string name)
    {
        if (!names.Add(name)) throw new JsonException("a member stands twice in one object");
        if (names.Count > TokenLimits.MaxJsonMembers) throw new JsonException("an object has too many members");
    }

    /// <summary>Nothing but blanks may follow the document.</summary>
    internal static void RequireEnd(ref Utf8JsonReader json)
    {
        if (json.Read()) throw new JsonException("something follows the document");
    }
}
