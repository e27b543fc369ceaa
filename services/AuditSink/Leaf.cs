using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using ClawBureau.Tokens;

namespace ClawBureau.AuditSink;

/// <summary>
/// What stands in the tree for one event, as canonical JSON: written once, stored and hashed as written. It says where the
/// event came from and when it happened, and commits to the payload without showing it.
/// </summary>
/// <param name="RecordedAt">RFC 3339 in UTC with nine digits of fraction.</param>
/// <param name="Commitment">SHA-256(salt || payload), 32 bytes.</param>
internal sealed record Leaf(string Source, Guid Epoch, long Seq, string Kind, string RecordedAt, byte[] Commitment)
{
    public const int SaltLength = 32;

    /// <summary>About what a leaf takes: room to begin with, no bound.</summary>
    public const int UsualLength = 320;

    public static byte[] Commit(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> payload)
    {
        // In one piece: a hash of several pieces costs an allocation outside the runtime and three calls there.
        int length = salt.Length + payload.Length;
        Span<byte> input = length <= 1024 ? stackalloc byte[length] : new byte[length];
        salt.CopyTo(input);
        payload.CopyTo(input[salt.Length..]);
        return SHA256.HashData(input);
    }

    /// <summary>A point in time as leaves write it.</summary>
    public static string Time(long seconds, int nanos) =>
        string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.FromUnixTimeSeconds(seconds):s}.{nanos:D9}Z");

    /// <returns>The leaf, in the writer's own memory.</returns>
    public ReadOnlySpan<byte> WriteTo(JsJsonWriter empty) => empty.BeginObject()
        .Name("commitment").Value(Base64UrlText.Encode(Commitment))
        .Name("epoch").Value(Epoch.ToString())
        .Name("kind").Value(Kind)
        .Name("recorded_at").Value(RecordedAt)
        .Name("seq").Value(Seq)
        .Name("source").Value(Source)
        .Name("v").Value(1)
        .EndObject().Written;

    /// <summary>The kind alone.</summary>
    /// <exception cref="InvalidDataException">It is no leaf of this build's.</exception>
    public static string KindOf(ReadOnlySpan<byte> leaf)
    {
        try
        {
            var reader = new Utf8JsonReader(leaf);
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                bool isKind = reader.ValueTextEquals("kind"u8);
                reader.Read();
                if (isKind) return reader.GetString()!;
                reader.Skip();
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new InvalidDataException("a leaf of the audit log cannot be read", e);
        }
        throw new InvalidDataException("a leaf of the audit log states no kind");
    }

    /// <exception cref="InvalidDataException">It is no leaf of this build's.</exception>
    public static Leaf Decode(ReadOnlySpan<byte> leaf)
    {
        try
        {
            var reader = new Utf8JsonReader(leaf);
            using var document = JsonDocument.ParseValue(ref reader);
            var root = document.RootElement;
            var commitment = new byte[MerkleHash.Length];
            if (!Base64UrlText.TryDecode(root.GetProperty("commitment").GetString(), commitment, out int length) || length != commitment.Length)
                throw new InvalidDataException("a leaf's commitment is not 32 bytes");
            return new Leaf(
                root.GetProperty("source").GetString()!, root.GetProperty("epoch").GetGuid(), root.GetProperty("seq").GetInt64(),
                root.GetProperty("kind").GetString()!, root.GetProperty("recorded_at").GetString()!, commitment);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new InvalidDataException("a leaf of the audit log cannot be read", e);
        }
    }
}

/// <summary>Several byte strings as one: each behind its length, big-endian.</summary>
internal sealed class Packed
{
    private readonly ArrayBufferWriter<byte> _packed;
    private readonly int _prefix;
    private readonly int[] _ends;
    private int _count;

    private Packed(int prefix, int count, int bytes) => (_prefix, _ends, _packed) = (prefix, new int[count], new ArrayBufferWriter<byte>(prefix * count + bytes));

    public int Length => _packed.WrittenCount;

    /// <summary>An entry bundle of C2SP tlog-tiles: u16 lengths.</summary>
    /// <param name="bytes">Of all items; a guess is good enough.</param>
    public static Packed Bundle(int count, int bytes) => new(sizeof(ushort), count, bytes);

    public static Packed Blob(int count, int bytes) => new(sizeof(uint), count, bytes);

    public void Add(ReadOnlySpan<byte> item)
    {
        var room = _packed.GetSpan(_prefix + item.Length);
        if (_prefix == sizeof(ushort)) BinaryPrimitives.WriteUInt16BigEndian(room, checked((ushort)item.Length));
        else BinaryPrimitives.WriteUInt32BigEndian(room, (uint)item.Length);
        item.CopyTo(room[_prefix..]);
        _packed.Advance(_prefix + item.Length);
        _ends[_count++] = _packed.WrittenCount;
    }

    /// <summary>The items from first on and before end.</summary>
    public ReadOnlyMemory<byte> Slice(int first, int end) => _packed.WrittenMemory[(first == 0 ? 0 : _ends[first - 1]).._ends[end - 1]];

    public static List<ReadOnlyMemory<byte>> OpenBundle(byte[] packed) => Open(packed, sizeof(ushort));

    public static List<ReadOnlyMemory<byte>> OpenBlob(byte[] packed) => Open(packed, sizeof(uint));

    private static List<ReadOnlyMemory<byte>> Open(byte[] packed, int prefix)
    {
        var items = new List<ReadOnlyMemory<byte>>();
        for (int at = 0; at < packed.Length;)
        {
            long length = at + prefix > packed.Length ? long.MaxValue
                : prefix == sizeof(ushort) ? BinaryPrimitives.ReadUInt16BigEndian(packed.AsSpan(at))
                : BinaryPrimitives.ReadUInt32BigEndian(packed.AsSpan(at));
            if (at + prefix + length > packed.Length) throw new InvalidDataException("a run of the audit log is cut short");
            items.Add(packed.AsMemory(at + prefix, (int)length));
            at += prefix + (int)length;
        }
        return items;
    }
}
