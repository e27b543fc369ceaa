using ClawBureau.Hosting.Callers;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Calls;

/// <summary>
/// Around every call of every service:
/// 1. a call id, which the caller learns whatever happens;
/// 2. trace and correlation ids;
/// 3. a deadline, or for streams the reasons to end them;
/// 4. RPCs that this version does not have;
/// 5. who calls, and whether the table admits him;
/// 6. the endpoint;
/// 7. what it throws becomes a status: refusals with their reason, anything else INTERNAL with a fixed sentence.
/// </summary>
internal sealed class CallInterceptor(
    CallerGate gate,
    ProcessOptions options,
    IHostApplicationLifetime lifetime,
    TimeProvider time,
    ILogger<CallInterceptor> logger) : Interceptor
{
    private static readonly TimeSpan LeastDeadline = TimeSpan.FromMilliseconds(1);

    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        using var call = Begin(context);
        try
        {
            Prepare(call);
            using var deadline = LimitUnary(call);
            await AdmitAsync(call);
            return await continuation(request, call);
        }
        catch (Exception exception)
        {
            throw Answer(call, exception);
        }
    }

    public override async Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using var call = Begin(context);
        try
        {
            Prepare(call);
            await AdmitAsync(call);
            using var watch = WatchStream(call);
            var response = await continuation(requestStream, call);
            ThrowIfEnded(call);
            return response;
        }
        catch (Exception exception)
        {
            throw Answer(call, exception);
        }
    }

    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using var call = Begin(context);
        try
        {
            Prepare(call);
            await AdmitAsync(call);
            using var watch = WatchStream(call);
            await continuation(request, new StoppableWriter<TResponse>(responseStream, call), call);
            ThrowIfEnded(call);
        }
        catch (Exception exception)
        {
            throw Answer(call, exception);
        }
    }

    public override async Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream,
        IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context,
        DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        using var call = Begin(context);
        try
        {
            Prepare(call);
            await AdmitAsync(call);
            using var watch = WatchStream(call);
            await continuation(requestStream, new StoppableWriter<TResponse>(responseStream, call), call);
            ThrowIfEnded(call);
        }
        catch (Exception exception)
        {
            throw Answer(call, exception);
        }
    }

    // Step 1.
    private static CallContext Begin(ServerCallContext context)
    {
        var http = context.GetHttpContext();
        var callId = Guid.CreateVersion7().ToString("N");
        http.Response.Headers[CallCorrelation.CallHeader] = callId;
        return new CallContext(context, http, callId);
    }

    // Steps 2 and 3.
    private void Prepare(CallContext call)
    {
        call.Correlation = CallCorrelation.Of(call.Http.Request.Headers, call.CallId);
        call.Http.Response.Headers[CallCorrelation.TraceHeader] = call.Correlation.TraceId;
        if (call.Deadline != DateTime.MaxValue && call.Deadline - time.GetUtcNow().UtcDateTime < LeastDeadline)
            throw new Refusal(Reason.DeadlineTooShort);
    }

    // Steps 4 and 5.
    private async Task AdmitAsync(CallContext call)
    {
        if (LaterRpcs.Issues.ContainsKey(call.Method)) throw new Refusal(Reason.RpcNotAvailable);
        try
        {
            call.Caller = await gate.AdmitAsync(call.Method, call.Http, call.CancellationToken);
        }
        catch (Refusal refusal)
        {
            Log.CallDenied(logger, call.CallId, call.Method, call.Peer, refusal.Reason);
            throw;
        }
    }

    // A unary call without a deadline gets the default one; one that has a deadline needs nothing of us.
    private ITimer? LimitUnary(CallContext call)
    {
        if (call.Deadline != DateTime.MaxValue) return null;
        call.MakeStoppable();
        return time.CreateTimer(
            static state => ((CallContext)state!).End(DeadlinePassed()),
            call,
            options.UnaryDeadline,
            Timeout.InfiniteTimeSpan);
    }

    // A stream ends when the process stops and when its caller's credential does.
    private StreamWatch WatchStream(CallContext call)
    {
        call.MakeStoppable();
        return new StreamWatch(
            lifetime.ApplicationStopping.Register(
                static state => ((CallContext)state!).End(new Refusal(Reason.NotReady, "This process is stopping; another replica goes on from your cursor")),
                call),
            time.CreateTimer(_ => _ = EndIfWithdrawnAsync(call), null, options.CredentialCheckInterval, options.CredentialCheckInterval));
    }

    private async Task EndIfWithdrawnAsync(CallContext call)
    {
        try
        {
            if (await gate.FindEndAsync(call.Method, call.Caller!, call.Http, call.CancellationToken) is { } end) call.End(end);
        }
        catch (Exception) when (call.IsOver)
        {
            // The stream ended by itself meanwhile.
        }
        catch (Exception failure)
        {
            // Whatever kept it from being judged: a credential that is not known to be good carries nothing on.
            call.End(failure);
        }
    }

    // An endpoint may take cancellation for a normal end; the caller must still learn why.
    private static void ThrowIfEnded(CallContext call)
    {
        if (call.EndedBy is { } why) throw why;
    }

    // Step 7.
    private RpcException Answer(CallContext call, Exception exception)
    {
        if (call.LeftByClient && exception is OperationCanceledException or IOException or InvalidOperationException)
        {
            // The framework reports a client that left as any of these, depending on what the endpoint was doing.
            Log.CallAbandoned(logger, call.CallId, call.Method);
            return call.Deadline <= time.GetUtcNow().UtcDateTime
                ? DeadlinePassed()
                : new RpcException(new Status(StatusCode.Cancelled, "The caller cancelled the call."));
        }
        if (exception is OperationCanceledException && call.EndedBy is { } why) exception = why;

        switch (exception)
        {
            case Refusal { Reason: not Reason.Internal } refusal:
                Log.CallRefused(logger, call.CallId, call.Method, call.Caller?.Name ?? "unknown", refusal.Reason);
                return RefusalStatus.ToRpcException(refusal);
            case InvalidProtocolBufferException:
                return RefusalStatus.ToRpcException(new Refusal(Reason.InvalidRequest, "A message of the stream cannot be read"));
            case RpcException framework:
                // About a message that the framework could not take, or a deadline: peers' failures arrive as refusals.
                return framework;
            default:
                Log.CallFailed(logger, exception, call.CallId, call.Method);
                return RefusalStatus.ToRpcException(new Refusal(Reason.Internal, metadata: new Dictionary<string, string> { ["call_id"] = call.CallId }));
        }
    }

    // No reason goes with it: whether the work was done is not known, so there is no remedy to name.
    private static RpcException DeadlinePassed() => new(new Status(StatusCode.DeadlineExceeded, "The deadline passed before the answer was ready."));

    private readonly struct StreamWatch(CancellationTokenRegistration stopping, ITimer credential) : IDisposable
    {
        public void Dispose()
        {
            stopping.Unregister();
            credential.Dispose();
        }
    }
}
