using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace ClawBureau.Tokens;

/// <summary>
/// Judges JSON that somebody else wrote before anybody reads it: RFC 8259 and nothing beside it, no member twice in one object, no text
/// that is not Unicode, bounded depth and counts. Where two parsers may disagree about a document, it is refused. What passes,
/// <see cref="Utf8JsonReader"/> reads without a fault; it cannot be asked itself, because it throws.
/// </summary>
internal ref struct StrictJson
{
    // What ends the plain part of a string: a quote, a backslash, or a control character, which may not stand there.
    private static readonly SearchValues<byte> Special =
        SearchValues.Create([.. Enumerable.Range(0, 0x20).Select(control => (byte)control), (byte)'"', (byte)'\\']);

    private readonly ReadOnlySpan<byte> _utf8;
    private int _at;

    private StrictJson(ReadOnlySpan<byte> utf8) => _utf8 = utf8;

    /// <summary>One value, with nothing but blanks around it.</summary>
    internal static bool IsStrict(ReadOnlySpan<byte> utf8)
    {
        if (!Utf8.IsValid(utf8)) return false;
        var json = new StrictJson(utf8);
        if (!json.PassValue(TokenLimits.MaxJsonDepth)) return false;
        json.PassBlanks();
        return json._at == utf8.Length;
    }

    /// <summary>Reads what <see cref="IsStrict"/> passed.</summary>
    internal static Utf8JsonReader Reader(ReadOnlySpan<byte> strict) =>
        new(strict, new JsonReaderOptions { MaxDepth = TokenLimits.MaxJsonDepth });

    /// <summary>Moves to the next member's name; false at the end of the object.</summary>
    internal static bool NextMember(ref Utf8JsonReader json)
    {
        json.Read();
        return json.TokenType == JsonTokenType.PropertyName;
    }

    /// <summary>Moves to the next item; false at the end of the array.</summary>
    internal static bool NextItem(ref Utf8JsonReader json)
    {
        json.Read();
        return json.TokenType != JsonTokenType.EndArray;
    }

    /// <param name="depth">How many objects and arrays may still be opened.</param>
    private bool PassValue(int depth)
    {
        PassBlanks();
        if (_at == _utf8.Length) return false;
        return _utf8[_at] switch
        {
            (byte)'{' => depth > 0 && PassObject(depth - 1),
            (byte)'[' => depth > 0 && PassArray(depth - 1),
            (byte)'"' => PassString(out _),
            (byte)'t' => PassLiteral("true"u8),
            (byte)'f' => PassLiteral("false"u8),
            (byte)'n' => PassLiteral("null"u8),
            _ => PassNumber(),
        };
    }

    [SkipLocalsInit]
    private bool PassObject(int depth)
    {
        _at++;
        if (Passes((byte)'}')) return true;
        var names = new NameSet(stackalloc ulong[TokenLimits.MaxJsonMembers], stackalloc long[TokenLimits.MaxJsonMembers]);
        do
        {
            PassBlanks();
            var start = _at + 1;
            if (_at == _utf8.Length || _utf8[_at] != '"' || !PassString(out var isEscaped)) return false;
            if (!names.Add(_utf8, start, _at - 1 - start, isEscaped)) return false;
            if (!Passes((byte)':') || !PassValue(depth)) return false;
        }
        while (Passes((byte)','));
        return Passes((byte)'}');
    }

    private bool PassArray(int depth)
    {
        _at++;
        if (Passes((byte)']')) return true;
        do
        {
            if (!PassValue(depth)) return false;
        }
        while (Passes((byte)','));
        return Passes((byte)']');
    }

    /// <param name="isEscaped">It has a backslash in it: its bytes are not yet its text.</param>
    private bool PassString(out bool isEscaped)
    {
        isEscaped = false;
        _at++;
        while (true)
        {
            var plain = _utf8[_at..].IndexOfAny(Special);
            if (plain < 0) return false;
            _at += plain;
            switch (_utf8[_at++])
            {
                case (byte)'"': return true;
                case (byte)'\\' when PassEscape(): isEscaped = true; break;
                default: return false;
            }
        }
    }

    private bool PassEscape()
    {
        if (_at == _utf8.Length) return false;
        var kind = _utf8[_at++];
        if (kind != 'u') return "\"\\/bfnrt"u8.Contains(kind);
        if (!PassUnit(out var unit)) return false;
        if (!char.IsSurrogate(unit)) return true;
        // A first half needs its second half right behind it; a second half alone is nothing.
        if (!char.IsHighSurrogate(unit) || !_utf8[_at..].StartsWith("\\u"u8)) return false;
        _at += 2;
        return PassUnit(out unit) && char.IsLowSurrogate(unit);
    }

    private bool PassUnit(out char unit)
    {
        unit = default;
        if (_utf8.Length - _at < 4) return false;
        var value = 0;
        foreach (var digit in _utf8.Slice(_at, 4))
        {
            if (!char.IsAsciiHexDigit((char)digit)) return false;
            value = (value << 4) | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
        }
        _at += 4;
        unit = (char)value;
        return true;
    }

    private bool PassNumber()
    {
        if (_utf8[_at] == '-') _at++;
        if (IsAt((byte)'0')) _at++;
        else if (!PassDigits()) return false;
        if (IsAt((byte)'.'))
        {
            _at++;
            if (!PassDigits()) return false;
        }
        if (!IsAt((byte)'e') && !IsAt((byte)'E')) return true;
        _at++;
        if (IsAt((byte)'+') || IsAt((byte)'-')) _at++;
        return PassDigits();
    }

    private bool PassDigits()
    {
        var start = _at;
        while (_at < _utf8.Length && char.IsAsciiDigit((char)_utf8[_at])) _at++;
        return _at > start;
    }

    private bool PassLiteral(ReadOnlySpan<byte> literal)
    {
        if (!_utf8[_at..].StartsWith(literal)) return false;
        _at += literal.Length;
        return true;
    }

    /// <summary>Whether this character comes next, after blanks; if so it is behind us.</summary>
    private bool Passes(byte character)
    {
        PassBlanks();
        if (!IsAt(character)) return false;
        _at++;
        return true;
    }

    private readonly bool IsAt(byte character) => _at < _utf8.Length && _utf8[_at] == character;

    private void PassBlanks()
    {
        while (_at < _utf8.Length && _utf8[_at] is (byte)' ' or (byte)'\t' or (byte)'\n' or (byte)'\r') _at++;
    }

    /// <summary>
    /// The names of one object so far. Found by a word made of each name's bytes; two names with one word are compared, so whoever looks for
    /// collisions gains at most 64 comparisons each.
    /// </summary>
    private ref struct NameSet(Span<ulong> words, Span<long> places)
    {
        private readonly Span<ulong> _words = words;
        private readonly Span<long> _places = places;       // start and length, or the number of an unescaped name and -1
        private List<byte[]>? _unescaped;
        private int _count;

        /// <returns>False: it stands there already, or there are too many.</returns>
        internal bool Add(ReadOnlySpan<byte> utf8, int start, int length, bool isEscaped)
        {
            if (_count == TokenLimits.MaxJsonMembers) return false;
            var name = utf8.Slice(start, length);
            var place = ((long)start << 32) | (uint)length;
            if (isEscaped)
            {
                // "s\u0075b" is sub too, and must not pass as a second, different member.
                name = Unescaped(utf8.Slice(start - 1, length + 2));
                (_unescaped ??= []).Add(name.ToArray());
                place = ((long)(_unescaped.Count - 1) << 32) | uint.MaxValue;
            }
            var word = WordOf(name);
            for (var from = 0; _words[from.._count].IndexOf(word) is >= 0 and var found; from += found + 1)
            {
                if (At(utf8, _places[from + found]).SequenceEqual(name)) return false;
            }
            _words[_count] = word;
            _places[_count++] = place;
            return true;
        }

        private readonly ReadOnlySpan<byte> At(ReadOnlySpan<byte> utf8, long place)
        {
            var (start, length) = ((int)(place >> 32), (uint)place);
            return length == uint.MaxValue ? _unescaped![start] : utf8.Slice(start, (int)length);
        }

        private static ulong WordOf(ReadOnlySpan<byte> name)
        {
            var word = (ulong)name.Length;
            foreach (var eight in MemoryMarshal.Cast<byte, ulong>(name)) word = (word ^ eight) * 0x9E37_79B9_7F4A_7C15;
            foreach (var one in name[(name.Length & ~7)..]) word = (word ^ one) * 0x9E37_79B9_7F4A_7C15;
            return word;
        }

        private static byte[] Unescaped(ReadOnlySpan<byte> quoted)
        {
            var json = new Utf8JsonReader(quoted);
            json.Read();
            return Encoding.UTF8.GetBytes(json.GetString()!);
        }
    }
}
