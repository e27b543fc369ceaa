namespace Grpc.Core.Interceptors;

/// <summary>An outgoing call as an interceptor sees it.</summary>
public readonly struct ClientInterceptorContext<TRequest, TResponse>
    where TRequest : class
    where TResponse : class
{
    public ClientInterceptorContext(Method<TRequest, TResponse> method, string? host, CallOptions options)
    {
        Method = method;
        Host = host;
        Options = options;
    }

    public Method<TRequest, TResponse> Method { get; }

    /// <summary>The host to ask for; null for the channel's own.</summary>
    public string? Host { get; }

    public CallOptions Options { get; }
}
