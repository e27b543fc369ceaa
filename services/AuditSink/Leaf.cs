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

    public static byte[] Commit(ReadOnlySpan<byte> salt, ReadOnlySpan<byte> payload)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(salt);
        hash.AppendData(payload);
        return hash.GetHashAndReset();
    }

    /// <summary>A point in time as leaves write it.</summary>
    public static string Time(long seconds, int nanos) =>
        DateTimeOffset.FromUnixTimeSeconds(seconds).ToString("yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture) + "." + nanos.ToString("D9", CultureInfo.InvariantCulture) + "Z";

    public byte[] Encode() => new JsJsonWriter().BeginObject()
        .Name("commitment").Value(Base64UrlText.Encode(Commitment))
        .Name("epoch").Value(Epoch.ToString())
        .Name("kind").Value(Kind)
        .Name("recorded_at").Value(RecordedAt)
        .Name("seq").Value(Seq)
        .Name("source").Value(Source)
        .Name("v").Value(1)
        .EndObject().ToArray();

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
internal static class Packed
{
    /// <summary>An entry bundle of C2SP tlog-tiles: u16 lengths.</summary>
    public static byte[] Bundle(IReadOnlyCollection<byte[]> items) => Pack(items, sizeof(ushort));

    public static byte[] Blob(IReadOnlyCollection<byte[]> items) => Pack(items, sizeof(uint));

    public static List<ReadOnlyMemory<byte>> OpenBundle(byte[] packed) => Open(packed, sizeof(ushort));

    public static List<ReadOnlyMemory<byte>> OpenBlob(byte[] packed) => Open(packed, sizeof(uint));

    private static byte[] Pack(IReadOnlyCollection<byte[]> items, int prefix)
    {
        var packed = new byte[items.Sum(i => prefix + i.Length)];
        int at = 0;
        foreach (var item in items)
        {
            if (prefix == sizeof(ushort)) BinaryPrimitives.WriteUInt16BigEndian(packed.AsSpan(at), checked((ushort)item.Length));
            else BinaryPrimitives.WriteUInt32BigEndian(packed.AsSpan(at), (uint)item.Length);
            item.CopyTo(packed, at + prefix);
            at += prefix + item.Length;
        }
        return packed;
    }

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
