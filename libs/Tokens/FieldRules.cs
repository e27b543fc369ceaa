namespace ClawBureau.Tokens;

/// <summary>Rules that several fields of a request share. Each refusal names its field.</summary>
internal static class FieldRules
{
    /// <summary>Bounded and storable; null passes.</summary>
    internal static void RequireText(string? text, string field, int limit)
    {
        if (text is null) return;
        if (text.Length > limit)
        {
            throw new Refusal(Reason.FieldTooLong, $"{field} must have <= {limit} chars",
                new Dictionary<string, string> { ["field"] = field, ["limit"] = limit.ToString() });
        }
        StorableText.Require(text, field);
    }

    /// <summary>As <see cref="RequireText"/>, and not blank if it is there.</summary>
    internal static void RequireNoBlank(string? text, string field, int limit, Reason reason)
    {
        if (text is not null && JsText.IsBlank(text)) throw Refusal.OfField(reason, field);
        RequireText(text, field, limit);
    }

    /// <summary>Trimmed; blank is absent (contract 1.1 row 9).</summary>
    internal static Did? OptionalDid(string? text, string field, Reason reason)
    {
        var trimmed = JsText.Trim(text ?? "");
        if (trimmed.Length == 0) return null;
        return Did.TryParse(trimmed, out var did) ? did : throw Refusal.OfField(reason, field);
    }

    internal static PolicyHash? OptionalHash(string? text, string field, Reason reason)
    {
        if (text is null) return null;
        return PolicyHash.TryParse(text, out var hash) ? hash : throw Refusal.OfField(reason, field);
    }
}
