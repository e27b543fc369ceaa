using System.Buffers.Binary;
using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// A key's name, the header's <c>kid</c>: the first 8 bytes of the SHA-256 of the raw 32-byte public key, as 16 lower-case hex
/// digits (contract section 2; not RFC 7638). The default value is sixteen zeros, which names no key.
/// </summary>
public readonly record struct KeyId
{
    /// <summary>Length in characters.</summary>
    public const int Length = 16;

    private readonly ulong _value;

    private KeyId(ulong value) => _value = value;

    /// <exception cref="ArgumentException">Not a 32-byte public key.</exception>
    public static KeyId Of(ReadOnlySpan<byte> publicKey)
    {
        if (publicKey.Length != Ed25519.PublicKeyLength)
            throw new ArgumentException("a public key is 32 bytes", nameof(publicKey));
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(publicKey, hash);
        return new KeyId(BinaryPrimitives.ReadUInt64BigEndian(hash));
    }

    /// <summary>Exactly 16 lower-case hex digits: a kid is looked up as it is written, never folded.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out KeyId keyId)
    {
        keyId = default;
        if (text.Length != Length) return false;
        ulong value = 0;
        foreach (var digit in text)
        {
            if (!char.IsAsciiHexDigitLower(digit)) return false;
            value = (value << 4) | (uint)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
        }
        keyId = new KeyId(value);
        return true;
    }

    /// <exception cref="FormatException">Not 16 lower-case hex digits.</exception>
    public static KeyId Parse(string text) =>
        TryParse(text, out var keyId) ? keyId : throw new FormatException("a key id is 16 lower-case hex digits");

    public override string ToString() => _value.ToString("x16");
}
