using System.Buffers;
using System.Text;
using System.Text.Json;

namespace ClawBureau.Tokens;

/// <summary>
/// Takes a compact token apart, strictly: one token has one spelling, because revocation goes by the hash of the text
/// (contract section 9, item 1). The order of the checks is that of contract 5.1, rows 1 to 6.
/// </summary>
public static class TokenParser
{
    private const string NotCompact = "CST token must be a JWT (header.payload.signature)";

    /// <param name="compact">The token and nothing else; blanks around it are not trimmed.</param>
    /// <exception cref="Refusal"><see cref="Reason.TokenMalformed"/>, <see cref="Reason.TokenUnsupportedAlg"/>,
    /// <see cref="Reason.TokenUnknownVersion"/> or <see cref="Reason.TokenInvalidClaims"/>.</exception>
    public static ParsedToken Parse(string compact)
    {
        ArgumentNullException.ThrowIfNull(compact);
        if (compact.Length > TokenLimits.MaxTokenBytes) throw TooLong();
        var bytes = new byte[compact.Length];
        if (Ascii.FromUtf16(compact, bytes, out _) != OperationStatus.Done) throw new Refusal(Reason.TokenMalformed, NotCompact);
        return ParseOwned(bytes);
    }

    /// <inheritdoc cref="Parse(string)"/>
    public static ParsedToken Parse(ReadOnlySpan<byte> compact) =>
        compact.Length > TokenLimits.MaxTokenBytes ? throw TooLong() : ParseOwned(compact.ToArray());

    private static ParsedToken ParseOwned(byte[] compact)
    {
        var text = compact.AsSpan();
        var firstDot = text.IndexOf((byte)'.');
        var lastDot = text.LastIndexOf((byte)'.');
        if (firstDot < 0 || lastDot == firstDot || text[(firstDot + 1)..lastDot].Contains((byte)'.'))
            throw new Refusal(Reason.TokenMalformed, NotCompact);

        var decoded = ArrayPool<byte>.Shared.Rent(compact.Length);
        try
        {
            var header = ReadHeader(text[..firstDot], decoded);
            var claims = ReadClaims(text[(firstDot + 1)..lastDot], decoded);

            var signatureText = text[(lastDot + 1)..];
            var signature = new byte[Base64UrlText.DecodedLength(signatureText.Length)];
            return Base64UrlText.TryDecode(signatureText, signature, out _)
                ? new ParsedToken(compact, lastDot, header, claims, signature)
                : throw new Refusal(Reason.TokenMalformed, "Invalid JWT signature encoding");
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(decoded);
        }
    }

    private static TokenHeader ReadHeader(ReadOnlySpan<byte> text, byte[] buffer)
    {
        const string sentence = "Invalid JWT header encoding";
        if (!Base64UrlText.TryDecode(text, buffer, out var length)) throw new Refusal(Reason.TokenMalformed, sentence);
        try
        {
            return HeaderReader.Read(buffer.AsSpan(0, length));
        }
        catch (JsonException)
        {
            throw new Refusal(Reason.TokenMalformed, sentence); // without the cause: its message may quote the token
        }
    }

    private static TokenClaims ReadClaims(ReadOnlySpan<byte> text, byte[] buffer)
    {
        const string sentence = "Invalid JWT payload encoding";
        if (!Base64UrlText.TryDecode(text, buffer, out var length)) throw new Refusal(Reason.TokenMalformed, sentence);
        try
        {
            return ClaimsReader.Read(buffer.AsSpan(0, length));
        }
        catch (JsonException)
        {
            throw new Refusal(Reason.TokenMalformed, sentence);
        }
    }

    private static Refusal TooLong() =>
        new(Reason.TokenMalformed, $"CST token must have at most {TokenLimits.MaxTokenBytes} bytes");
}
