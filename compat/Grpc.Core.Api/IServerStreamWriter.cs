namespace Grpc.Core;

/// <summary>The server's side of a response stream. It ends when the server method returns.</summary>
public interface IServerStreamWriter<in T> : IAsyncStreamWriter<T>
{
}
