using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// The claim <c>token_scope_hash_b64u</c>: SHA-256 of a grant's canonical JSON (contract section 2.2), so that issuing the
/// same grant again gives the same value. Written as 43 base64url characters.
/// </summary>
public readonly struct ScopeHash : IEquatable<ScopeHash>
{
    /// <summary>Size in bytes.</summary>
    public const int Length = Bytes32.Length;

    private readonly Bytes32 _bytes;

    private ScopeHash(in Bytes32 bytes) => _bytes = bytes;

    /// <summary>Hashes canonical JSON; <see cref="ScopeHashInput.Compute"/> makes that from a grant.</summary>
    public static ScopeHash Of(ReadOnlySpan<byte> canonicalJson)
    {
        var bytes = default(Bytes32);
        SHA256.HashData(canonicalJson, bytes);
        return new ScopeHash(bytes);
    }

    /// <exception cref="ArgumentException">Not 32 bytes.</exception>
    public static ScopeHash FromBytes(ReadOnlySpan<byte> bytes) => new(Bytes32.From(bytes));

    /// <summary>43 characters of canonical base64url, nothing around them.</summary>
    public static bool TryParse(string? text, out ScopeHash hash)
    {
        var bytes = default(Bytes32);
        var parsed = text is not null && Base64UrlText.TryDecode(text, bytes, out var written) && written == Length;
        hash = parsed ? new ScopeHash(bytes) : default;
        return parsed;
    }

    public byte[] ToArray() => ((ReadOnlySpan<byte>)_bytes).ToArray();

    public void CopyTo(Span<byte> destination) => ((ReadOnlySpan<byte>)_bytes).CopyTo(destination);

    public bool Equals(ScopeHash other) => Bytes32.Same(_bytes, other._bytes);

    public override bool Equals(object? obj) => obj is ScopeHash other && Equals(other);

    public override int GetHashCode() => Bytes32.HashCodeOf(_bytes);

    /// <summary>43 base64url characters.</summary>
    public override string ToString() => Base64UrlText.Encode(_bytes);

    public static bool operator ==(ScopeHash left, ScopeHash right) => left.Equals(right);

    public static bool operator !=(ScopeHash left, ScopeHash right) => !left.Equals(right);
}
