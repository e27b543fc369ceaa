namespace ClawBureau.Tokens;

/// <summary>
/// A policy's hash as it stands in a claim: 43 characters of the base64url alphabet. It is kept as text because the contract
/// checks only <c>^[A-Za-z0-9_-]{43}$</c> (1.1 rows 13, 14): its own vectors hold values such as 43 times <c>a</c>, which no
/// 32 bytes encode to. The default value is empty text.
/// </summary>
public readonly struct PolicyHash : IEquatable<PolicyHash>
{
    /// <summary>Length in characters.</summary>
    public const int Length = 43;

    private readonly string? _text;

    private PolicyHash(string text) => _text = text;

    /// <summary>Encodes a SHA-256 hash.</summary>
    /// <exception cref="ArgumentException">Not 32 bytes.</exception>
    public static PolicyHash FromBytes(ReadOnlySpan<byte> sha256) =>
        sha256.Length == Bytes32.Length
            ? new PolicyHash(Base64UrlText.Encode(sha256))
            : throw new ArgumentException("32 bytes are needed", nameof(sha256));

    /// <summary>Exactly 43 characters of the alphabet; nothing is trimmed.</summary>
    public static bool TryParse(string? text, out PolicyHash hash)
    {
        var parsed = text is { Length: Length } && !text.AsSpan().ContainsAnyExcept(Base64UrlText.Alphabet);
        hash = parsed ? new PolicyHash(text!) : default;
        return parsed;
    }

    public bool Equals(PolicyHash other) => string.Equals(ToString(), other.ToString(), StringComparison.Ordinal);

    public override bool Equals(object? obj) => obj is PolicyHash other && Equals(other);

    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    public override string ToString() => _text ?? "";

    public static bool operator ==(PolicyHash left, PolicyHash right) => left.Equals(right);

    public static bool operator !=(PolicyHash left, PolicyHash right) => !left.Equals(right);
}
