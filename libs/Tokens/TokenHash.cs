using System.Buffers;
using System.Security.Cryptography;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// The name of a token wherever the token itself must not stand: SHA-256 of the UTF-8 bytes of the whole compact text
/// (contract section 2). Written as 64 lower-case hex digits. The default value is 32 zero bytes, which no token has.
/// </summary>
public readonly struct TokenHash : IEquatable<TokenHash>
{
    /// <summary>Size in bytes.</summary>
    public const int Length = Bytes32.Length;

    private readonly Bytes32 _bytes;

    private TokenHash(in Bytes32 bytes) => _bytes = bytes;

    /// <summary>Hashes exactly this text. It is not parsed: revocation takes any string (contract 1.3).</summary>
    public static TokenHash Of(string compact)
    {
        ArgumentNullException.ThrowIfNull(compact);
        var rented = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(compact.Length));
        try
        {
            return Of(rented.AsSpan(0, Encoding.UTF8.GetBytes(compact, rented)));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented, clearArray: true);
        }
    }

    /// <summary>Hashes the UTF-8 bytes of a compact token.</summary>
    public static TokenHash Of(ReadOnlySpan<byte> compactUtf8)
    {
        var bytes = default(Bytes32);
        SHA256.HashData(compactUtf8, bytes);
        return new TokenHash(bytes);
    }

    /// <summary>A hash read back from storage or the wire.</summary>
    /// <exception cref="ArgumentException">Not 32 bytes.</exception>
    public static TokenHash FromBytes(ReadOnlySpan<byte> bytes) => new(Bytes32.From(bytes));

    /// <summary>64 hex digits, trimmed and lower-cased first (contract 1.3).</summary>
    public static bool TryParse(string? text, out TokenHash hash)
    {
        hash = default;
        if (text is null) return false;
        var trimmed = JsText.Trim(text.AsSpan());
        if (trimmed.Length != 2 * Length) return false;
        var bytes = default(Bytes32);
        if (Convert.FromHexString(trimmed, bytes, out _, out _) != OperationStatus.Done) return false;
        hash = new TokenHash(bytes);
        return true;
    }

    /// <exception cref="FormatException">Not 64 hex digits.</exception>
    public static TokenHash Parse(string text) =>
        TryParse(text, out var hash) ? hash : throw new FormatException("a token hash is 64 hex digits");

    public byte[] ToArray() => ((ReadOnlySpan<byte>)_bytes).ToArray();

    /// <summary>Writes the 32 bytes; the destination must have room.</summary>
    public void CopyTo(Span<byte> destination) => ((ReadOnlySpan<byte>)_bytes).CopyTo(destination);

    /// <summary>False, and nothing written, if the destination is shorter than 32 bytes.</summary>
    public bool TryWriteBytes(Span<byte> destination) => ((ReadOnlySpan<byte>)_bytes).TryCopyTo(destination);

    public bool Equals(TokenHash other) => Bytes32.Same(_bytes, other._bytes);

    internal Bytes32 Bytes => _bytes;

    public override bool Equals(object? obj) => obj is TokenHash other && Equals(other);

    public override int GetHashCode() => Bytes32.HashCodeOf(_bytes);

    /// <summary>64 lower-case hex digits.</summary>
    public override string ToString() => Convert.ToHexStringLower(_bytes);

    public static bool operator ==(TokenHash left, TokenHash right) => left.Equals(right);

    public static bool operator !=(TokenHash left, TokenHash right) => !left.Equals(right);
}
