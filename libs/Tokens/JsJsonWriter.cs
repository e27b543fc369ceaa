using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace ClawBureau.Tokens;

/// <summary>
/// Writes JSON as UTF-8 exactly as <c>JSON.stringify</c> does, members in the order they are given: what is signed or hashed
/// must be the existing services' bytes. System.Text.Json's encoder escapes more, and its numbers differ (contract 2.2).
/// The caller balances Begin and End; nothing here checks it.
/// </summary>
public sealed class JsJsonWriter
{
    // What JSON.stringify escapes, plus all surrogates, which need a look: a lone one is escaped too.
    private static readonly SearchValues<char> NeedsCare = SearchValues.Create(
        [.. Enumerable.Range(0, 0x20).Concat(Enumerable.Range(0xD800, 0x800)).Select(unit => (char)unit), '"', '\\']);

    private readonly ArrayBufferWriter<byte> _buffer = new(512);
    private bool _needsComma;

    /// <summary>What has been written so far; valid until the next write.</summary>
    public ReadOnlySpan<byte> Written => _buffer.WrittenSpan;

    public byte[] ToArray() => _buffer.WrittenSpan.ToArray();

    /// <summary>Begins anew with the room it has.</summary>
    public JsJsonWriter Clear()
    {
        _buffer.ResetWrittenCount();
        _needsComma = false;
        return this;
    }

    public JsJsonWriter BeginObject() => Open((byte)'{');

    public JsJsonWriter EndObject() => Close((byte)'}');

    public JsJsonWriter BeginArray() => Open((byte)'[');

    public JsJsonWriter EndArray() => Close((byte)']');

    public JsJsonWriter Name(string name)
    {
        Separate();
        WriteQuoted(name);
        Write(":"u8);
        _needsComma = false;
        return this;
    }

    public JsJsonWriter Value(string text)
    {
        Separate();
        WriteQuoted(text);
        return this;
    }

    /// <summary>An integer; exact also beyond 2^53, where JavaScript would round it.</summary>
    public JsJsonWriter Value(long number)
    {
        Separate();
        var span = _buffer.GetSpan(20);
        Utf8Formatter.TryFormat(number, span, out var written);
        _buffer.Advance(written);
        return this;
    }

    /// <exception cref="ArgumentException">NaN or infinite.</exception>
    public JsJsonWriter Value(double number)
    {
        Separate();
        _buffer.Advance(EcmaScriptNumber.Format(number, _buffer.GetSpan(EcmaScriptNumber.MaxLength)));
        return this;
    }

    public JsJsonWriter Value(bool value)
    {
        Separate();
        Write(value ? "true"u8 : "false"u8);
        return this;
    }

    public JsJsonWriter Null()
    {
        Separate();
        Write("null"u8);
        return this;
    }

    public JsJsonWriter Value(IEnumerable<string> texts)
    {
        BeginArray();
        foreach (var text in texts) Value(text);
        return EndArray();
    }

    private JsJsonWriter Open(byte bracket)
    {
        Separate();
        Write([bracket]);
        _needsComma = false;
        return this;
    }

    private JsJsonWriter Close(byte bracket)
    {
        Write([bracket]);
        _needsComma = true;
        return this;
    }

    private void Separate()
    {
        if (_needsComma) Write(","u8);
        _needsComma = true;
    }

    private void Write(ReadOnlySpan<byte> bytes) => _buffer.Write(bytes);

    private void WriteQuoted(ReadOnlySpan<char> text)
    {
        Write("\""u8);
        while (!text.IsEmpty)
        {
            var special = text.IndexOfAny(NeedsCare);
            if (special < 0) special = text.Length;
            Encoding.UTF8.GetBytes(text[..special], _buffer);
            text = text[special..];
            if (text.IsEmpty) break;

            var length = char.IsHighSurrogate(text[0]) && text.Length > 1 && char.IsLowSurrogate(text[1]) ? 2 : 1;
            if (length == 2) Encoding.UTF8.GetBytes(text[..2], _buffer);
            else WriteEscaped(text[0]);
            text = text[length..];
        }
        Write("\""u8);
    }

    private void WriteEscaped(char unit)
    {
        switch (unit)
        {
            case '"': Write("\\\""u8); break;
            case '\\': Write("\\\\"u8); break;
            case '\b': Write("\\b"u8); break;
            case '\t': Write("\\t"u8); break;
            case '\n': Write("\\n"u8); break;
            case '\f': Write("\\f"u8); break;
            case '\r': Write("\\r"u8); break;
            default:
                Write("\\u"u8);
                Utf8Formatter.TryFormat((int)unit, _buffer.GetSpan(4), out var written, new StandardFormat('x', 4));
                _buffer.Advance(written);
                break;
        }
    }
}
