using System.Buffers;
using System.Security.Cryptography;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>An HTTP answer: status and one JSON document, compact as <c>JSON.stringify</c> writes it.</summary>
internal sealed record Answer(int Status, byte[] Json)
{
    /// <summary>Laid out with two spaces, as <c>JSON.stringify(value, null, 2)</c> does; clawverify alone answers compactly.</summary>
    public bool IsIndented { get; init; } = true;

    public string ContentType { get; init; } = "application/json; charset=utf-8";

    /// <summary>Which clawverify this is, where it is one.</summary>
    public string? ClawverifyVersion { get; init; }

    public string? CacheControl { get; init; }

    /// <summary>Further headers.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers { get; init; } = [];

    /// <summary>Set where the body is written as it comes, until it ends or the caller leaves; the document is then empty.</summary>
    public Func<Stream, CancellationToken, Task>? Stream { get; init; }

    /// <summary>Set where a copy may be kept: the answer carries an ETag, and 304 is answered to whoever has it.</summary>
    public bool IsCacheable => CacheControl is not null;

    public static Answer Ok(Action<JsJsonWriter> members) => new(StatusCodes.Status200OK, Write(members));

    /// <summary><c>{"error","message"}</c> with the reason's own HTTP status (clawscope-http.md 0).</summary>
    public static Answer Refused(Refusal refusal)
    {
        if (!ReasonCatalog.TryFind(refusal.Reason, out var entry)) entry = ReasonCatalog.Of(Reason.Internal);
        return Error(entry.HttpStatus, entry.Code, refusal.Sentence ?? entry.Sentence);
    }

    /// <summary>A token that is not good: the contract's error, and beside it what RFC 7662 would say.</summary>
    public static Answer Inactive(Refusal refusal)
    {
        var entry = ReasonCatalog.Of(refusal.Reason);
        return new(entry.HttpStatus, Write(json => json
            .Name("error").Value(entry.Code)
            .Name("message").Value(refusal.Sentence ?? entry.Sentence)
            .Name("active").Value(false)));
    }

    /// <summary>The same, but for one reason that has another status where it is asked.</summary>
    public static Answer Refused(Refusal refusal, Reason reason, int status) =>
        refusal.Reason == reason ? Refused(refusal) with { Status = status } : Refused(refusal);

    public static Answer Error(int status, string code, string message) =>
        new(status, Write(json => json.Name("error").Value(code).Name("message").Value(message)));

    public byte[] ToBody() => IsIndented ? Indent(Json) : Json;

    public static string ETagOf(ReadOnlySpan<byte> body) => $"\"{Convert.ToHexStringLower(SHA256.HashData(body).AsSpan(0, 16))}\"";

    public static byte[] Write(Action<JsJsonWriter> members)
    {
        var json = new JsJsonWriter().BeginObject();
        members(json);
        return json.EndObject().ToArray();
    }

    /// <summary>Compact JSON laid out anew; nothing inside strings is touched, and what is empty stays on its line.</summary>
    internal static byte[] Indent(ReadOnlySpan<byte> compact)
    {
        var laidOut = new ArrayBufferWriter<byte>(compact.Length * 2);
        int depth = 0;
        bool inText = false;
        for (int i = 0; i < compact.Length; i++)
        {
            byte c = compact[i];
            if (inText)
            {
                laidOut.Write([c]);
                if (c == '\\') laidOut.Write([compact[++i]]);
                else if (c == '"') inText = false;
                continue;
            }
            switch (c)
            {
                case (byte)'{' or (byte)'[' when compact[i + 1] == c + 2:       // the bracket that closes it
                    laidOut.Write([c, compact[++i]]);
                    break;
                case (byte)'{' or (byte)'[':
                    laidOut.Write([c]);
                    NewLine(++depth);
                    break;
                case (byte)'}' or (byte)']':
                    NewLine(--depth);
                    laidOut.Write([c]);
                    break;
                case (byte)',':
                    laidOut.Write([c]);
                    NewLine(depth);
                    break;
                case (byte)':':
                    laidOut.Write(": "u8);
                    break;
                default:
                    laidOut.Write([c]);
                    inText = c == '"';
                    break;
            }
        }
        return laidOut.WrittenSpan.ToArray();

        void NewLine(int indent)
        {
            laidOut.Write("\n"u8);
            for (int i = 0; i < indent; i++) laidOut.Write("  "u8);
        }
    }
}
