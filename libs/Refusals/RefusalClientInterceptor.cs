using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace ClawBureau.Hosting.Refusals;

/// <summary>
/// The client's half of <see cref="RefusalStatus"/>: whatever a call, its headers or its streams throw arrives as a
/// <see cref="Refusal"/>, and as OperationCanceledException when it was the caller's own token.
/// </summary>
public sealed class RefusalClientInterceptor : Interceptor
{
    // The overloads that take a state read the headers only when somebody asks for them.
    private static readonly object NoState = new();

    public override TResponse BlockingUnaryCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context, BlockingUnaryCallContinuation<TRequest, TResponse> continuation)
    {
        try
        {
            return continuation(request, context);
        }
        catch (RpcException exception)
        {
            throw Translate(exception, context.Options.CancellationToken);
        }
    }

    public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncUnaryCallContinuation<TRequest, TResponse> continuation)
    {
        var call = continuation(request, context);
        var cancelled = context.Options.CancellationToken;
        return new AsyncUnaryCall<TResponse>(
            Translated(call.ResponseAsync, cancelled),
            _ => Translated(call.ResponseHeadersAsync, cancelled),
            _ => call.GetStatus(),
            _ => call.GetTrailers(),
            _ => call.Dispose(),
            NoState);
    }

    public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncServerStreamingCallContinuation<TRequest, TResponse> continuation)
    {
        var call = continuation(request, context);
        var cancelled = context.Options.CancellationToken;
        return new AsyncServerStreamingCall<TResponse>(
            new Reader<TResponse>(call.ResponseStream, cancelled),
            _ => Translated(call.ResponseHeadersAsync, cancelled),
            _ => call.GetStatus(),
            _ => call.GetTrailers(),
            _ => call.Dispose(),
            NoState);
    }

    public override AsyncClientStreamingCall<TRequest, TResponse> AsyncClientStreamingCall<TRequest, TResponse>(
        ClientInterceptorContext<TRequest, TResponse> context, AsyncClientStreamingCallContinuation<TRequest, TResponse> continuation)
    {
        var call = continuation(context);
        var cancelled = context.Options.CancellationToken;
        return new AsyncClientStreamingCall<TRequest, TResponse>(
            new Writer<TRequest>(call.RequestStream, cancelled),
            Translated(call.ResponseAsync, cancelled),
            _ => Translated(call.ResponseHeadersAsync, cancelled),
            _ => call.GetStatus(),
            _ => call.GetTrailers(),
            _ => call.Dispose(),
            NoState);
    }

    public override AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(
        ClientInterceptorContext<TRequest, TResponse> context, AsyncDuplexStreamingCallContinuation<TRequest, TResponse> continuation)
    {
        var call = continuation(context);
        var cancelled = context.Options.CancellationToken;
        return new AsyncDuplexStreamingCall<TRequest, TResponse>(
            new Writer<TRequest>(call.RequestStream, cancelled),
            new Reader<TResponse>(call.ResponseStream, cancelled),
            _ => Translated(call.ResponseHeadersAsync, cancelled),
            _ => call.GetStatus(),
            _ => call.GetTrailers(),
            _ => call.Dispose(),
            NoState);
    }

    private static async Task<T> Translated<T>(Task<T> task, CancellationToken cancelled)
    {
        try
        {
            return await task.ConfigureAwait(false);
        }
        catch (RpcException exception)
        {
            throw Translate(exception, cancelled);
        }
    }

    private static Exception Translate(RpcException exception, CancellationToken cancelled) =>
        exception.StatusCode == StatusCode.Cancelled && cancelled.IsCancellationRequested
            ? new OperationCanceledException("The call was cancelled.", exception, cancelled)
            : RefusalStatus.ToRefusal(exception);

    private sealed class Reader<T>(IAsyncStreamReader<T> inner, CancellationToken cancelled) : IAsyncStreamReader<T>
    {
        public T Current => inner.Current;

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            try
            {
                return await inner.MoveNext(cancellationToken).ConfigureAwait(false);
            }
            catch (RpcException exception)
            {
                throw Translate(exception, cancellationToken.IsCancellationRequested ? cancellationToken : cancelled);
            }
        }
    }

    private sealed class Writer<T>(IClientStreamWriter<T> inner, CancellationToken cancelled) : IClientStreamWriter<T>
    {
        public WriteOptions? WriteOptions
        {
            get => inner.WriteOptions;
            set => inner.WriteOptions = value;
        }

        public Task WriteAsync(T message) => WriteAsync(message, CancellationToken.None);

        public async Task WriteAsync(T message, CancellationToken cancellationToken)
        {
            try
            {
                await inner.WriteAsync(message, cancellationToken).ConfigureAwait(false);
            }
            catch (RpcException exception)
            {
                throw Translate(exception, cancellationToken.IsCancellationRequested ? cancellationToken : cancelled);
            }
        }

        public async Task CompleteAsync()
        {
            try
            {
                await inner.CompleteAsync().ConfigureAwait(false);
            }
            catch (RpcException exception)
            {
                throw Translate(exception, cancelled);
            }
        }
    }
}
