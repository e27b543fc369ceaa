using Grpc.Core;

namespace ClawBureau.Hosting.Calls;

/// <summary>
/// Writes nothing once this process has ended the call. The framework takes a write under a token that has fired for an abort of
/// the call, and the caller would not learn the reason.
/// </summary>
internal sealed class StoppableWriter<T>(IServerStreamWriter<T> inner, CallContext call) : IServerStreamWriter<T>
{
    public WriteOptions? WriteOptions
    {
        get => inner.WriteOptions;
        set => inner.WriteOptions = value;
    }

    public Task WriteAsync(T message) => inner.WriteAsync(message);

    public Task WriteAsync(T message, CancellationToken cancellationToken) => cancellationToken.IsCancellationRequested && call.EndedBy is not null
        ? Task.FromCanceled(cancellationToken)
        : inner.WriteAsync(message, cancellationToken);
}
