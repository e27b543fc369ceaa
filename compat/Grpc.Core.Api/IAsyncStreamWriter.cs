namespace Grpc.Core;

/// <summary>Messages to the other side, one at a time. One write may be pending.</summary>
public interface IAsyncStreamWriter<in T>
{
    /// <summary>Options of the writes that follow; null for the defaults.</summary>
    WriteOptions? WriteOptions { get; set; }

    Task WriteAsync(T message);

    /// <summary>Writes a message; cancelling ends the call.</summary>
    /// <exception cref="NotSupportedException">The token can fire and this writer cannot cancel.</exception>
    Task WriteAsync(T message, CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
        {
            throw new NotSupportedException("This stream cannot cancel a write.");
        }

        return WriteAsync(message);
    }
}
