using System.Buffers;

namespace Grpc.Core;

/// <summary>Where a serializer puts one message: a whole array at once, or a buffer writer that is then completed.</summary>
public abstract class SerializationContext
{
    /// <summary>Hands over the whole message; the array is the context's from here on.</summary>
    public virtual void Complete(byte[] payload) => throw new NotImplementedException();

    public virtual IBufferWriter<byte> GetBufferWriter() => throw new NotImplementedException();

    /// <summary>Tells the exact length in bytes before the first write; optional, saves a copy.</summary>
    public virtual void SetPayloadLength(int payloadLength)
    {
    }

    /// <summary>Ends what was written to the buffer writer.</summary>
    public virtual void Complete() => throw new NotImplementedException();
}
