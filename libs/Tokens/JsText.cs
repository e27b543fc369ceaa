using System.Buffers;

namespace ClawBureau.Tokens;

/// <summary>Text as the existing services see it: they are written in JavaScript, and its idea of a blank is not .NET's.</summary>
public static class JsText
{
    // U+FEFF is trimmed there and kept by String.Trim; with U+0085 it is the other way round (contract 2.2, ".NET traps").
    private static readonly SearchValues<char> Blanks = SearchValues.Create(
        "\u0009\u000A\u000B\u000C\u000D\u0020\u00A0\u1680"
        + "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A"
        + "\u2028\u2029\u202F\u205F\u3000\uFEFF");

    /// <summary>What <c>String.prototype.trim</c> leaves; the same instance when there is nothing to trim.</summary>
    public static string Trim(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var trimmed = Trim(text.AsSpan());
        return trimmed.Length == text.Length ? text : trimmed.ToString();
    }

    /// <inheritdoc cref="Trim(string)"/>
    public static ReadOnlySpan<char> Trim(ReadOnlySpan<char> text)
    {
        var first = text.IndexOfAnyExcept(Blanks);
        return first < 0 ? [] : text[first..(text.LastIndexOfAnyExcept(Blanks) + 1)];
    }

    /// <summary>Nothing but blanks, or nothing at all.</summary>
    public static bool IsBlank(ReadOnlySpan<char> text) => !text.ContainsAnyExcept(Blanks);
}
