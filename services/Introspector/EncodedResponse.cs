using System.Buffers;
using Google.Protobuf;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>
/// A response of which parts are encoded already. Encodings of one message type that stand one after another are read as one message:
/// fields merge, lists append (protobuf.dev, Encoding, "Last One Wins").
/// </summary>
/// <param name="parts">Encodings of the response's own type. Nobody changes them any more.</param>
/// <param name="rest">What is said this time only, of the same type.</param>
public sealed class EncodedResponse(IReadOnlyList<ReadOnlyMemory<byte>> parts, IMessage rest)
{
    /// <summary>For RPCs that answer with them. Nobody here reads one.</summary>
    internal static readonly Marshaller<EncodedResponse> Marshaller = new(Write, _ => throw new NotSupportedException("an encoded response is only sent"));

    private static void Write(EncodedResponse response, SerializationContext context)
    {
        int size = response.Rest.CalculateSize();
        for (int i = 0; i < response.Parts.Count; i++) size += response.Parts[i].Length;
        context.SetPayloadLength(size);
        var writer = context.GetBufferWriter();
        for (int i = 0; i < response.Parts.Count; i++) writer.Write(response.Parts[i].Span);
        response.Rest.WriteTo(writer);
        context.Complete();
    }

    private IReadOnlyList<ReadOnlyMemory<byte>> Parts { get; } = parts;

    private IMessage Rest { get; } = rest;
}
