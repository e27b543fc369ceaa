using System.Numerics;
using System.Text;

namespace ClawBureau.Tokens.Tests;

/// <summary>Makes tokens that are almost right, of good ones: as text, as JSON under the encoding, and as a signature. Not safe for concurrent use.</summary>
internal sealed class TokenMutator(int seed, IReadOnlyList<string> corpus)
{
    private static readonly BigInteger GroupOrder = BigInteger.Pow(2, 252) + BigInteger.Parse("27742317777372353535851937790883648493");

    // What parsers stumble over, as members and values.
    private static readonly byte[][] Pieces = [.. new[]
    {
        ",\"alg\":\"none\"", "\"alg\":\"HS256\",", ",\"kid\":\"9f5ef94aaeb7425d\"", ",\"kid\":null", ",\"crit\":[\"exp\"]", ",\"b64\":false", ",\"jwk\":{}", "\"zip\":\"DEF\",",
        ",\"exp\":9999999999", ",\"exp\":1e400", ",\"exp\":1795195499.5", ",\"iat\":-1", ",\"iat\":9223372036854775808", ",\"sub\":\"admin\"", ",\"s\\u0075b\":\"admin\"",
        ",\"scope\":[\"control:*\"]", ",\"scope\":[]", ",\"scope\":[null]", ",\"aud\":{}", ",\"token_version\":1", ",\"token_version\":\"2\"", ",\"token_lane\":\"other\"",
        ",\"spend_cap\":-0", ",\"spend_cap\":1e-400", ",\"jti\":\"\\ud800\"", ",\"x\":\"\\u0000\"", ",\"__proto__\":{}", "[[[[[[[[[[[[[[[[[[", "{\"a\":", "}", "]", "\"", "\\", "\\u", ",", ":",
        "null", "true", "NaN", "-", "0", "1e9", " ", "\n", "\t", "/*x*/", "\uFEFF", "\u2028", "é", "\0",
    }.Select(Encoding.UTF8.GetBytes)];

    private readonly Random _random = new(seed);

    /// <summary>One of the corpus, changed one to four times; now and then what results is the same again.</summary>
    public byte[] NextUnsigned()
    {
        var token = Encoding.ASCII.GetBytes(Pick(corpus));
        for (var changes = Few(); changes > 0; changes--)
        {
            token = _random.Next(10) switch
            {
                < 4 => ChangeText(token),
                < 8 => ChangeJson(token),
                8 => ChangeSignature(token),
                _ => Splice(token),
            };
        }
        return token;
    }

    /// <summary>Header and payload changed as JSON, then signed by the key: nothing but reading stands between them and acceptance.</summary>
    public byte[] NextSigned(SigningKey key)
    {
        var parts = Pick(corpus).Split('.');
        var (header, payload) = (Decode(parts[0]), Decode(parts[1]));
        for (var changes = Few(); changes > 0; changes--)
        {
            if (_random.Next(3) == 0) header = ChangeBytes(header);
            else payload = ChangeBytes(payload);
        }
        return Encoding.ASCII.GetBytes(TestTokens.Compact(header, payload, key));
    }

    private byte[] ChangeText(byte[] token)
    {
        if (token.Length == 0) return "."u8.ToArray();
        var at = _random.Next(token.Length);
        switch (_random.Next(12))
        {
            case 0: token[at] ^= (byte)(1 << _random.Next(8)); return token;
            case 1: token[at] = (byte)_random.Next(256); return token;
            case 2: token[at] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"u8[_random.Next(64)]; return token;
            case 3: return [.. token[..at], (byte)_random.Next(256), .. token[at..]];
            case 4: return [.. token[..at], .. token[(at + 1)..]];
            case 5: return token[..at];
            case 6: return [.. token, .. Pick(Tails)];
            case 7: return [.. Pick(Tails), .. token];
            case 8: // The unused bits of the last character of a part.
                var end = Array.IndexOf(token, (byte)'.', at) is var dot and > 0 ? dot - 1 : token.Length - 1;
                token[end] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"u8[_random.Next(64)];
                return token;
            case 9: return [.. token.Select(b => b == '-' ? (byte)'+' : b == '_' ? (byte)'/' : b)];
            case 10: return [.. token[..at], .. token[_random.Next(token.Length)..]];
            default: token[at] = (byte)'.'; return token;
        }
    }

    private static readonly byte[][] Tails = ["="u8.ToArray(), "=="u8.ToArray(), " "u8.ToArray(), "    "u8.ToArray(), "\n"u8.ToArray(), "."u8.ToArray(), "A"u8.ToArray(), "\0"u8.ToArray(), "é"u8.ToArray()];

    private byte[] ChangeJson(byte[] token)
    {
        var parts = Encoding.Latin1.GetString(token).Split('.');
        var part = _random.Next(Math.Min(2, parts.Length));
        var json = Decode(parts[part]);
        if (json.Length == 0) return token;
        parts[part] = Base64UrlText.Encode(ChangeBytes(json));
        return Encoding.Latin1.GetBytes(string.Join('.', parts));
    }

    private byte[] ChangeBytes(byte[] json)
    {
        var at = _random.Next(json.Length + 1);
        switch (_random.Next(7))
        {
            case 0 when json.Length > 0: json = [.. json]; json[_random.Next(json.Length)] ^= (byte)(1 << _random.Next(8)); return json;
            case 1 when at < json.Length: return [.. json[..at], .. json[(at + 1)..]];
            case 2: // A member twice, or a piece of one.
                var from = _random.Next(json.Length + 1);
                var to = _random.Next(from, json.Length + 1);
                return [.. json[..at], .. json[from..to], .. json[at..]];
            case 3: return [.. json[..Math.Max(0, json.Length - 1)], .. Pick(Pieces), (byte)'}'];
            default: return [.. json[..at], .. Pick(Pieces), .. json[at..]];
        }
    }

    private byte[] ChangeSignature(byte[] token)
    {
        var parts = Encoding.Latin1.GetString(token).Split('.');
        var signature = Decode(parts[^1]);
        if (signature.Length != 64) return token;
        switch (_random.Next(6))
        {
            case 0: _random.NextBytes(signature); break;
            case 1: signature.AsSpan().Clear(); break;
            case 2: signature[31] ^= 0x80; break;
            case 3: signature = signature[..63]; break;
            case 4: signature = [.. signature, 0]; break;
            default: // S + L: the same signature to a lax verifier
                var s = new byte[32];
                if ((new BigInteger(signature.AsSpan(32), isUnsigned: true) + GroupOrder).TryWriteBytes(s, out _, isUnsigned: true)) s.CopyTo(signature, 32);
                break;
        }
        parts[^1] = Base64UrlText.Encode(signature);
        return Encoding.Latin1.GetBytes(string.Join('.', parts));
    }

    private byte[] Splice(byte[] token)
    {
        var (parts, others) = (Encoding.Latin1.GetString(token).Split('.'), Pick(corpus).Split('.'));
        parts[_random.Next(parts.Length)] = others[_random.Next(others.Length)];
        return Encoding.Latin1.GetBytes(string.Join('.', parts));
    }

    /// <summary>Mostly one: two faults rarely get past what catches the first.</summary>
    private int Few() => _random.Next(3) < 2 ? 1 : _random.Next(2, 5);

    private T Pick<T>(IReadOnlyList<T> from) => from[_random.Next(from.Count)];

    private static byte[] Decode(string part)
    {
        var bytes = new byte[Base64UrlText.DecodedLength(part.Length)];
        return Base64UrlText.TryDecode(part, bytes, out var length) ? bytes[..length] : [];
    }
}
