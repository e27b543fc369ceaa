using System.Buffers;
using System.Buffers.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// Canonical base64url (RFC 4648 section 5, RFC 7515 section 2): every byte string has exactly one spelling. No padding, no
/// blanks, no <c>+</c> or <c>/</c>, unused bits zero. A laxer decoder is how a revoked token used to come back to life under
/// another hash (contract section 9, item 1).
/// </summary>
public static class Base64UrlText
{
    internal static readonly SearchValues<char> Alphabet =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    private static readonly SearchValues<byte> AlphabetUtf8 =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"u8);

    public static string Encode(ReadOnlySpan<byte> bytes) => Base64Url.EncodeToString(bytes);

    /// <summary>Length in bytes of what <paramref name="characters"/> characters decode to, if they decode.</summary>
    public static int DecodedLength(int characters) => characters / 4 * 3 + (characters % 4 * 3 / 4);

    /// <summary>Decodes UTF-8 text; false if it is not canonical or the destination is too short.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> text, Span<byte> destination, out int written)
    {
        written = 0;
        return HasCanonicalForm(text)
            && destination.Length >= DecodedLength(text.Length)
            && Base64Url.DecodeFromUtf8(text, destination, out _, out written) == OperationStatus.Done;
    }

    /// <inheritdoc cref="TryDecode(ReadOnlySpan{byte}, Span{byte}, out int)"/>
    public static bool TryDecode(ReadOnlySpan<char> text, Span<byte> destination, out int written)
    {
        written = 0;
        return !text.ContainsAnyExcept(Alphabet)
            && text.Length % 4 != 1
            && UnusedBitsAreZero(text.Length, text.IsEmpty ? 'A' : text[^1])
            && destination.Length >= DecodedLength(text.Length)
            && Base64Url.DecodeFromChars(text, destination, out _, out written) == OperationStatus.Done;
    }

    private static bool HasCanonicalForm(ReadOnlySpan<byte> text) =>
        !text.ContainsAnyExcept(AlphabetUtf8)
        && text.Length % 4 != 1
        && UnusedBitsAreZero(text.Length, text.IsEmpty ? 'A' : (char)text[^1]);

    // With 2 or 3 characters left over, the last one carries 4 or 2 bits that belong to no byte.
    private static bool UnusedBitsAreZero(int length, char last) => (length % 4) switch
    {
        2 => "AQgw".Contains(last, StringComparison.Ordinal),
        3 => "AEIMQUYcgkosw048".Contains(last, StringComparison.Ordinal),
        _ => true,
    };
}
