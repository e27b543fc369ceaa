namespace ClawBureau.Tokens;

/// <summary>
/// What one scope gives the right to: itself, and, written <c>family:*</c>, everything of its own family, the part before the
/// first colon. No wildcard crosses families: <c>proxy:*</c> gives no <c>control:</c> right, and a bare <c>*</c> none at all
/// but itself (contract section 9, item 2, tells what happens otherwise).
/// </summary>
public static class ScopeRule
{
    public static bool Satisfies(string held, string required)
    {
        if (string.Equals(held, required, StringComparison.Ordinal)) return true;
        var colon = held.IndexOf(':', StringComparison.Ordinal);
        return colon > 0
            && held.AsSpan(colon + 1) is "*"
            && required.StartsWith(held.AsSpan(0, colon + 1), StringComparison.Ordinal);
    }

    /// <summary>The part before the first colon; all of it where there is none.</summary>
    internal static ReadOnlySpan<char> FamilyOf(string scope) =>
        scope.IndexOf(':', StringComparison.Ordinal) is var colon and >= 0 ? scope.AsSpan(0, colon) : scope;

    /// <summary>At least one of the scopes held gives the right.</summary>
    public static bool SatisfiesAny(IReadOnlyList<string> held, string required)
    {
        for (int i = 0; i < held.Count; i++)        // no enumerator: this stands on the path that allocates nothing
        {
            if (Satisfies(held[i], required)) return true;
        }
        return false;
    }
}
