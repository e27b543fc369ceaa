using System.Buffers;
using ClawBureau.Protos.Feed.V1;
using Google.Protobuf;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>A frame of the feed as it goes over the wire: a WatchRevocationsResponse, encoded once, whoever it is sent to.</summary>
public sealed class WatchFrame
{
    /// <summary>For the one RPC that answers with them. Nobody here reads one.</summary>
    internal static readonly Marshaller<WatchFrame> Marshaller = new(Write, _ => throw new NotSupportedException("a frame is only sent"));

    private const uint EventsTag = WatchRevocationsResponse.EventsFieldNumber << 3 | 2;        // length-delimited
    private const uint EntryTag = Events.RevocationsFieldNumber << 3 | 2;
    private const uint FirstTag = Events.FirstRevocationSeqFieldNumber << 3;                  // varint
    private const uint LastTag = Events.LastRevocationSeqFieldNumber << 3;
    private readonly byte[] _bytes;

    private WatchFrame(byte[] bytes, long first, long last) => (_bytes, First, Last) = (bytes, first, last);

    /// <summary>Of events: the first of them; else 0.</summary>
    public long First { get; }

    /// <summary>Of events: the last of them; else 0.</summary>
    public long Last { get; }

    public static WatchFrame Of(WatchRevocationsResponse frame) => new(frame.ToByteArray(), frame.Events?.FirstRevocationSeq ?? 0, frame.Events?.LastRevocationSeq ?? 0);

    /// <summary>An entry as it stands in <see cref="Events"/>, with its tag and length.</summary>
    public static byte[] Encode(Revocation entry)
    {
        var (tag, size) = (CodedOutputStream.ComputeUInt32Size(EntryTag), entry.CalculateSize());
        var bytes = new byte[tag + CodedOutputStream.ComputeLengthSize(size) + size];
        using var output = new CodedOutputStream(bytes);
        output.WriteUInt32(EntryTag);
        output.WriteLength(size);
        entry.WriteTo(output);
        output.Flush();
        return bytes;
    }

    /// <summary>Entries in one frame.</summary>
    /// <param name="first">Its number; the others follow without a gap.</param>
    /// <param name="entries">Each from <see cref="Encode"/>.</param>
    public static WatchFrame Of(long first, ReadOnlySpan<byte[]> entries)
    {
        long last = first + entries.Length - 1;
        int size = CodedOutputStream.ComputeUInt32Size(FirstTag) + CodedOutputStream.ComputeInt64Size(first) + CodedOutputStream.ComputeUInt32Size(LastTag) + CodedOutputStream.ComputeInt64Size(last);
        foreach (var entry in entries) size += entry.Length;
        var bytes = new byte[CodedOutputStream.ComputeUInt32Size(EventsTag) + CodedOutputStream.ComputeLengthSize(size) + size];
        int head;
        using (var output = new CodedOutputStream(bytes))
        {
            output.WriteUInt32(EventsTag);
            output.WriteLength(size);
            output.WriteUInt32(FirstTag);
            output.WriteInt64(first);
            output.WriteUInt32(LastTag);
            output.WriteInt64(last);
            output.Flush();
            head = (int)output.Position;
        }
        foreach (var entry in entries)
        {
            entry.CopyTo(bytes, head);
            head += entry.Length;
        }
        return new WatchFrame(bytes, first, last);
    }

    /// <summary>What is sent; for tests.</summary>
    internal byte[] ToArray() => [.. _bytes];

    private static void Write(WatchFrame frame, SerializationContext context)
    {
        context.SetPayloadLength(frame._bytes.Length);
        context.GetBufferWriter().Write(frame._bytes);
        context.Complete();
    }
}
