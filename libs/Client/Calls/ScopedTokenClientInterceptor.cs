using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace ClawBureau.Client.Calls;

/// <summary>
/// Shows the token of a <see cref="TokenSource"/> with every call, in metadata <c>x-cst</c>. A unary call that is rejected because of the
/// token's key is made once more with a new one (runbook, section 5); streams are not: what was sent cannot be sent again here.
/// </summary>
public sealed class ScopedTokenClientInterceptor(TokenSource tokens) : Interceptor
{
    private static readonly object NoState = new();

    public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncUnaryCallContinuation<TRequest, TResponse> continuation)
    {
        var call = new RetriedCall<TRequest, TResponse>(tokens, request, context, continuation);
        return new AsyncUnaryCall<TResponse>(
            call.ResponseAsync(), static state => ((IRetriedCall)state).HeadersAsync(), static state => ((IRetriedCall)state).Status(), static state => ((IRetriedCall)state).Trailers(),
            static state => ((IRetriedCall)state).Dispose(), call);
    }

    public override TResponse BlockingUnaryCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context, BlockingUnaryCallContinuation<TRequest, TResponse> continuation) =>
        throw new NotSupportedException("Call the asynchronous form: getting a token may take a call of its own.");

    public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncServerStreamingCallContinuation<TRequest, TResponse> continuation) =>
        continuation(request, WithCredentials(context));

    public override AsyncClientStreamingCall<TRequest, TResponse> AsyncClientStreamingCall<TRequest, TResponse>(
        ClientInterceptorContext<TRequest, TResponse> context, AsyncClientStreamingCallContinuation<TRequest, TResponse> continuation) =>
        continuation(WithCredentials(context));

    public override AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(
        ClientInterceptorContext<TRequest, TResponse> context, AsyncDuplexStreamingCallContinuation<TRequest, TResponse> continuation) =>
        continuation(WithCredentials(context));

    // The framework waits for call credentials before it starts a call; they need TLS, as a token does anyway.
    private ClientInterceptorContext<TRequest, TResponse> WithCredentials<TRequest, TResponse>(ClientInterceptorContext<TRequest, TResponse> context)
        where TRequest : class
        where TResponse : class =>
        new(context.Method, context.Host, context.Options.WithCredentials(CallCredentials.FromInterceptor(
            async (auth, metadata) => metadata.Add(ScopedTokenHeaders.Token, (await tokens.GetAsync(auth.CancellationToken)).Compact))));

    private interface IRetriedCall : IDisposable
    {
        Task<Metadata> HeadersAsync();
        Status Status();
        Metadata Trailers();
    }

    private sealed class RetriedCall<TRequest, TResponse>(
        TokenSource tokens, TRequest request, ClientInterceptorContext<TRequest, TResponse> context, AsyncUnaryCallContinuation<TRequest, TResponse> continuation) : IRetriedCall
        where TRequest : class
        where TResponse : class
    {
        private readonly TaskCompletionSource<AsyncUnaryCall<TResponse>> _last = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly CancellationTokenSource _disposed = new();
        private int _isDisposed;

        public async Task<TResponse> ResponseAsync()
        {
            try
            {
                using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.Options.CancellationToken, _disposed.Token);
                var token = await tokens.GetAsync(ended.Token);
                var call = Begin(token);
                try
                {
                    var response = await call.ResponseAsync;
                    _last.TrySetResult(call);
                    return response;
                }
                catch (Exception e) when (ReasonOf(e) is { } reason && TokenSource.IsKeyRejection(reason))
                {
                    if (await tokens.ReplaceAsync(token, ended.Token) is not { } replacement)
                    {
                        _last.TrySetResult(call);
                        throw;
                    }
                    call.Dispose();
                    call = Begin(replacement);
                    _last.TrySetResult(call);
                    return await call.ResponseAsync;
                }
                catch (Exception)
                {
                    _last.TrySetResult(call);
                    throw;
                }
            }
            catch (Exception e)
            {
                _last.TrySetException(e);
                _ = _last.Task.Exception;       // nobody may ask for headers
                throw;
            }
        }

        public async Task<Metadata> HeadersAsync() => await (await _last.Task).ResponseHeadersAsync;

        public Status Status() => Last.GetStatus();

        public Metadata Trailers() => Last.GetTrailers();

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isDisposed, 1) != 0) return;
            _disposed.Cancel();
            _disposed.Dispose();
            if (_last.Task.IsCompletedSuccessfully) _last.Task.Result.Dispose();
        }

        private AsyncUnaryCall<TResponse> Last => _last.Task.IsCompletedSuccessfully ? _last.Task.Result : throw new InvalidOperationException("The call is not complete.");

        private AsyncUnaryCall<TResponse> Begin(IssuedToken token)
        {
            var headers = new Metadata();
            foreach (var header in context.Options.Headers ?? Metadata.Empty) headers.Add(header);
            headers.Add(ScopedTokenHeaders.Token, token.Compact);
            return continuation(request, new ClientInterceptorContext<TRequest, TResponse>(context.Method, context.Host, context.Options.WithHeaders(headers)));
        }

        private static Reason? ReasonOf(Exception e) => e switch
        {
            Refusal refusal => refusal.Reason,
            RpcException rpc => RefusalStatus.ToRefusal(rpc).Reason,
            _ => null,
        };
    }
}
