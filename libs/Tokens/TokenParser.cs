using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// Takes a compact token apart, strictly: one token has one spelling, because revocation goes by the hash of the text
/// (contract section 9, item 1). The order of the checks is that of contract 5.1, rows 1 to 6.
/// </summary>
public static class TokenParser
{
    private const int OnStack = 2048;

    /// <param name="compact">The token and nothing else; blanks around it are not trimmed.</param>
    /// <exception cref="Refusal"><see cref="Reason.TokenMalformed"/>, <see cref="Reason.TokenUnsupportedAlg"/>,
    /// <see cref="Reason.TokenUnknownVersion"/> or <see cref="Reason.TokenInvalidClaims"/>.</exception>
    public static ParsedToken Parse(string compact) => TryParse(compact, out var token, out var fault) ? token : throw fault.ToRefusal();

    /// <inheritdoc cref="Parse(string)"/>
    public static ParsedToken Parse(ReadOnlySpan<byte> compact) => TryParse(compact, out var token, out var fault) ? token : throw fault.ToRefusal();

    /// <summary>As <see cref="Parse(string)"/>, but what is wrong is an answer. Throws nothing.</summary>
    [SkipLocalsInit]
    public static bool TryParse(string compact, [NotNullWhen(true)] out ParsedToken? token, [NotNullWhen(false)] out TokenFault? fault)
    {
        ArgumentNullException.ThrowIfNull(compact);
        token = null;
        fault = TokenFault.TooLong;
        if (compact.Length > TokenLimits.MaxTokenBytes) return false;
        byte[]? rented = null;
        Span<byte> bytes = compact.Length <= OnStack ? stackalloc byte[OnStack] : rented = ArrayPool<byte>.Shared.Rent(compact.Length);
        fault = Ascii.FromUtf16(compact, bytes, out var length) == OperationStatus.Done ? Read(bytes[..length], out token) : TokenFault.NotCompact;
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented, clearArray: true);
        return token is not null;
    }

    /// <inheritdoc cref="TryParse(string, out ParsedToken?, out TokenFault?)"/>
    public static bool TryParse(ReadOnlySpan<byte> compact, [NotNullWhen(true)] out ParsedToken? token, [NotNullWhen(false)] out TokenFault? fault)
    {
        token = null;
        fault = compact.Length > TokenLimits.MaxTokenBytes ? TokenFault.TooLong : Read(compact, out token);
        return token is not null;
    }

    [SkipLocalsInit]
    private static TokenFault? Read(ReadOnlySpan<byte> compact, out ParsedToken? token)
    {
        token = null;
        var firstDot = compact.IndexOf((byte)'.');
        var lastDot = compact.LastIndexOf((byte)'.');
        if (firstDot < 0 || lastDot == firstDot || compact[(firstDot + 1)..lastDot].Contains((byte)'.')) return TokenFault.NotCompact;

        byte[]? rented = null;
        Span<byte> decoded = compact.Length <= OnStack ? stackalloc byte[OnStack] : rented = ArrayPool<byte>.Shared.Rent(compact.Length);
        var fault = Read(compact, firstDot, lastDot, decoded, out token);
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented, clearArray: true);
        return fault;
    }

    private static TokenFault? Read(ReadOnlySpan<byte> compact, int firstDot, int lastDot, Span<byte> decoded, out ParsedToken? token)
    {
        token = null;
        if (!Base64UrlText.TryDecode(compact[..firstDot], decoded, out var length)) return TokenFault.HeaderEncoding;
        if (HeaderReader.Read(decoded[..length], out var header) is { } inHeader) return inHeader;

        if (!Base64UrlText.TryDecode(compact[(firstDot + 1)..lastDot], decoded, out length)) return TokenFault.PayloadEncoding;
        if (ClaimsReader.Read(decoded[..length], out var claims) is { } inPayload) return inPayload;

        var signatureText = compact[(lastDot + 1)..];
        var signature = new byte[Base64UrlText.DecodedLength(signatureText.Length)];
        if (!Base64UrlText.TryDecode(signatureText, signature, out _)) return TokenFault.SignatureEncoding;
        token = new ParsedToken(compact.ToArray(), lastDot, header, claims!, signature);
        return null;
    }
}
