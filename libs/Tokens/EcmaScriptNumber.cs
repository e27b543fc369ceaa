using System.Globalization;

namespace ClawBureau.Tokens;

/// <summary>
/// ECMAScript's Number::toString for base 10 (ECMA-262 6.1.6.1.20), which RFC 8785 section 3.2.2.3 asks for: <c>1e-7</c>,
/// <c>1e+21</c>, <c>0.1</c>, <c>1</c>. .NET finds the same shortest digits but lays them out differently.
/// </summary>
internal static class EcmaScriptNumber
{
    /// <summary>Enough for a sign, 17 digits, a point and an exponent, or 21 digits.</summary>
    internal const int MaxLength = 32;

    /// <summary>Writes the number as ASCII and returns its length.</summary>
    /// <exception cref="ArgumentException">NaN or infinite: JSON has no such numbers.</exception>
    internal static int Format(double value, Span<byte> destination)
    {
        if (!double.IsFinite(value))
            throw new ArgumentException("JSON holds finite numbers only", nameof(value));
        var written = 0;
        if (value == 0)
        {
            destination[written++] = (byte)'0'; // -0 too
            return written;
        }

        Span<byte> digits = stackalloc byte[MaxLength];
        var (count, point) = ShortestDigits(Math.Abs(value), digits);
        digits = digits[..count];
        if (value < 0) destination[written++] = (byte)'-';

        switch (point)
        {
            case > 0 and <= 21 when count <= point: // 1200
                Append(digits, destination, ref written);
                AppendZeros(point - count, destination, ref written);
                break;
            case > 0 and <= 21: // 12.5
                Append(digits[..point], destination, ref written);
                destination[written++] = (byte)'.';
                Append(digits[point..], destination, ref written);
                break;
            case > -6 and <= 0: // 0.00125
                Append("0."u8, destination, ref written);
                AppendZeros(-point, destination, ref written);
                Append(digits, destination, ref written);
                break;
            default: // 1.25e+21, 1e-7
                destination[written++] = digits[0];
                if (count > 1)
                {
                    destination[written++] = (byte)'.';
                    Append(digits[1..], destination, ref written);
                }
                destination[written++] = (byte)'e';
                destination[written++] = point > 0 ? (byte)'+' : (byte)'-';
                Math.Abs(point - 1).TryFormat(destination[written..], out var exponent, default, CultureInfo.InvariantCulture);
                written += exponent;
                break;
        }
        return written;
    }

    /// <summary>The value is 0.d₁d₂… × 10^point, with neither leading nor trailing zeros among the digits.</summary>
    private static (int Count, int Point) ShortestDigits(double value, Span<byte> digits)
    {
        Span<byte> text = stackalloc byte[MaxLength];
        value.TryFormat(text, out var length, "R", CultureInfo.InvariantCulture);
        // At some powers of two, 2^-25 for one, .NET 10 gives one digit too few: the text reads back as the neighbour below.
        // Seventeen digits always suffice.
        if (double.Parse(text[..length], CultureInfo.InvariantCulture) != value)
            value.TryFormat(text, out length, "E16", CultureInfo.InvariantCulture);
        text = text[..length];

        var exponent = 0;
        var mark = text.IndexOf((byte)'E');
        if (mark >= 0)
        {
            exponent = int.Parse(text[(mark + 1)..], CultureInfo.InvariantCulture);
            text = text[..mark];
        }
        var dot = text.IndexOf((byte)'.');
        var point = exponent + (dot < 0 ? text.Length : dot);

        var count = 0;
        foreach (var digit in text)
        {
            if (digit == '.') continue;
            if (digit == '0' && count == 0) point--;
            else digits[count++] = digit;
        }
        while (digits[count - 1] == '0') count--;
        return (count, point);
    }

    private static void Append(ReadOnlySpan<byte> bytes, Span<byte> destination, ref int written)
    {
        bytes.CopyTo(destination[written..]);
        written += bytes.Length;
    }

    private static void AppendZeros(int count, Span<byte> destination, ref int written)
    {
        destination.Slice(written, count).Fill((byte)'0');
        written += count;
    }
}
