namespace ClawBureau.Tokens;

/// <summary>
/// The claim <c>aud</c>: a string or an array of strings, kept exactly as it was asked for, because consumers see the
/// difference (contract 2.1). Two audiences are equal when form and values are.
/// </summary>
public sealed class Audience : IEquatable<Audience>
{
    private readonly string[] _values;

    private Audience(string[] values, bool isArray) => (_values, IsArray) = (values, isArray);

    /// <summary>Whether the claim is an array; an array of one is still an array.</summary>
    public bool IsArray { get; }

    /// <summary>In the order given; nothing is trimmed or dropped.</summary>
    public IReadOnlyList<string> Values => _values;

    public static Audience Of(string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        return new Audience([value], isArray: false);
    }

    public static Audience Of(IEnumerable<string> values) => new([.. values], isArray: true);

    /// <summary>Exact, ordinal comparison.</summary>
    public bool Contains(string value) => _values.AsSpan().Contains(value);

    public bool Equals(Audience? other) =>
        other is not null && IsArray == other.IsArray && _values.AsSpan().SequenceEqual(other._values);

    public override bool Equals(object? obj) => Equals(obj as Audience);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (var value in _values) hash.Add(value, StringComparer.Ordinal);
        return hash.ToHashCode();
    }

    public override string ToString() => string.Join(", ", _values);
}
