namespace ClawBureau.Tokens;

/// <summary>
/// Text that PostgreSQL can hold and UTF-8 can carry: no U+0000 and no half of a surrogate pair. What fails this is refused
/// before it is queued, so that one bad item never fails its batch (DESIGN "The ledger", rule 1).
/// </summary>
public static class StorableText
{
    public static bool IsStorable(ReadOnlySpan<char> text)
    {
        while (true)
        {
            var suspect = text.IndexOfAnyInRange('\uD800', '\uDFFF');
            if ((suspect < 0 ? text : text[..suspect]).Contains('\0')) return false;
            if (suspect < 0) return true;
            if (!char.IsHighSurrogate(text[suspect]) || suspect + 1 == text.Length || !char.IsLowSurrogate(text[suspect + 1]))
                return false;
            text = text[(suspect + 2)..];
        }
    }

    /// <summary>Refuses text that cannot be stored, and names the field.</summary>
    /// <exception cref="Refusal"><see cref="Reason.TextNotStorable"/></exception>
    public static void Require(string? text, string field)
    {
        if (text is not null && !IsStorable(text))
            throw Refusal.OfField(Reason.TextNotStorable, field, $"{field} holds U+0000 or half of a surrogate pair");
    }
}
