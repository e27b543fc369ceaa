namespace Grpc.Core;

/// <summary>
/// A call that ended with a status other than OK: thrown to the caller, and thrown by a server method to set the
/// status and trailers it answers with. The message stays in the process; <see cref="Status.Detail"/> travels.
/// </summary>
public class RpcException : Exception
{
    public RpcException(Status status)
        : this(status, Metadata.Empty, status.ToString())
    {
    }

    public RpcException(Status status, string message)
        : this(status, Metadata.Empty, message)
    {
    }

    public RpcException(Status status, Metadata trailers)
        : this(status, trailers, status.ToString())
    {
    }

    public RpcException(Status status, Metadata trailers, string message)
        : base(message)
    {
        ArgumentNullException.ThrowIfNull(trailers);
        Status = status;
        Trailers = trailers;
    }

    public Status Status { get; }

    public StatusCode StatusCode => Status.StatusCode;

    /// <summary>The trailers that came with the status; empty when there were none.</summary>
    public Metadata Trailers { get; }
}
