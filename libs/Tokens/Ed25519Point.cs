using System.Numerics;

namespace ClawBureau.Tokens;

/// <summary>
/// What can be said of an encoded curve point without computing with it (RFC 8032 section 5.1.3). Works on public values
/// only, so nothing here needs constant time. Encoding: y in 255 bits, little-endian, and the sign of x in the top bit.
/// </summary>
internal static class Ed25519Point
{
    private static readonly BigInteger P = BigInteger.Pow(2, 255) - 19;
    private static readonly BigInteger D = BigInteger.Remainder(-121665 * BigInteger.ModPow(121666, P - 2, P), P) + P;

    // The y of all eight points whose order divides 8: 0 (order 4), 1 (the identity), -1 (order 2), and two of order 8.
    private static readonly BigInteger[] SmallOrderYs =
    [
        BigInteger.Zero,
        BigInteger.One,
        P - 1,
        BigInteger.Parse("2707385501144840649318225287225658788936804267575313519463743609750303402022"),
        BigInteger.Parse("55188659117513257062467267217118295137698188065244968500265048394206261417927"),
    ];

    private static readonly byte[][] SmallOrderEncodings = [.. SmallOrderYs.Concat([P, P + 1]).Select(Encode)];

    /// <summary>A public key this suite loads: canonical, on the curve, and not of small order.</summary>
    internal static bool IsUsableKey(ReadOnlySpan<byte> encoded) =>
        encoded.Length == Ed25519.PublicKeyLength && IsCanonical(encoded) && !HasSmallOrder(encoded) && IsOnCurve(encoded);

    /// <summary>y is below p = 2^255 - 19, and no sign is given to an x of zero.</summary>
    internal static bool IsCanonical(ReadOnlySpan<byte> encoded)
    {
        var belowP = (encoded[31] & 0x7F) != 0x7F || encoded[0] < 0xED || encoded[1..31].ContainsAnyExcept((byte)0xFF);
        var isSigned = (encoded[31] & 0x80) != 0;
        return belowP && !(isSigned && (SameY(encoded, SmallOrderEncodings[1]) || SameY(encoded, SmallOrderEncodings[2])));
    }

    /// <summary>One of the eight points of order 1, 2, 4 or 8, in whatever encoding.</summary>
    internal static bool HasSmallOrder(ReadOnlySpan<byte> encoded)
    {
        foreach (var small in SmallOrderEncodings)
        {
            if (SameY(encoded, small)) return true;
        }
        return false;
    }

    /// <summary>x² = (y² - 1) / (d·y² + 1) has a root: Euler's criterion. Slow (a big power); for loading keys only.</summary>
    private static bool IsOnCurve(ReadOnlySpan<byte> encoded)
    {
        Span<byte> yBytes = stackalloc byte[32];
        encoded.CopyTo(yBytes);
        yBytes[31] &= 0x7F;
        var y = new BigInteger(yBytes, isUnsigned: true);
        var ySquared = y * y % P;
        // u/v is a square exactly when u·v is.
        var product = (ySquared + P - 1) * (D * ySquared + 1) % P;
        return product.IsZero || BigInteger.ModPow(product, (P - 1) / 2, P).IsOne;
    }

    private static bool SameY(ReadOnlySpan<byte> encoded, ReadOnlySpan<byte> y) =>
        encoded[..31].SequenceEqual(y[..31]) && (encoded[31] & 0x7F) == y[31];

    private static byte[] Encode(BigInteger y)
    {
        var bytes = new byte[32];
        y.ToByteArray(isUnsigned: true).CopyTo(bytes, 0);
        return bytes;
    }
}
