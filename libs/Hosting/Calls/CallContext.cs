using ClawBureau.Hosting.Callers;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace ClawBureau.Hosting.Calls;

/// <summary>
/// A call as endpoints see it: the framework's context, with our caller and correlation, and with a cancellation token that fires
/// for every reason there is to stop. Whoever stops a call from here says why, and that is what the caller is told.
/// </summary>
internal sealed class CallContext : ServerCallContext, IDisposable
{
    // Under this key the framework looks for the request of contexts that are not its own.
    private const string HttpContextKey = "__HttpContext";

    private readonly ServerCallContext inner;
    private readonly Lock ending = new();
    private CancellationTokenSource? stop; // null: only the client and its deadline end this call
    private Exception? endedBy; // under ending
    private bool isDisposed; // under ending

    public CallContext(ServerCallContext inner, HttpContext http, string callId)
    {
        (this.inner, Http, CallId) = (inner, http, callId);
        inner.UserState[HttpContextKey] = http;
    }

    public HttpContext Http { get; }

    public string CallId { get; }

    /// <summary>Null until the interceptor has read it.</summary>
    public CallCorrelation? Correlation { get; set; }

    /// <summary>Null until the interceptor has admitted it.</summary>
    public Caller? Caller { get; set; }

    /// <summary>Why this process ended the call; null while it has not.</summary>
    public Exception? EndedBy
    {
        get
        {
            lock (ending) return endedBy;
        }
    }

    /// <summary>True once nothing can be told the caller any more.</summary>
    public bool IsOver
    {
        get
        {
            lock (ending) return isDisposed || endedBy is not null || inner.CancellationToken.IsCancellationRequested;
        }
    }

    /// <summary>True when the client left or its deadline has passed.</summary>
    public bool LeftByClient => inner.CancellationToken.IsCancellationRequested;

    protected override string MethodCore => inner.Method;

    protected override string HostCore => inner.Host;

    protected override string PeerCore => inner.Peer;

    protected override DateTime DeadlineCore => inner.Deadline;

    protected override Metadata RequestHeadersCore => inner.RequestHeaders;

    protected override CancellationToken CancellationTokenCore => stop?.Token ?? inner.CancellationToken;

    protected override Metadata ResponseTrailersCore => inner.ResponseTrailers;

    protected override Status StatusCore
    {
        get => inner.Status;
        set => inner.Status = value;
    }

    protected override WriteOptions? WriteOptionsCore
    {
        get => inner.WriteOptions;
        set => inner.WriteOptions = value;
    }

    protected override AuthContext AuthContextCore => inner.AuthContext;

    protected override IDictionary<object, object> UserStateCore => inner.UserState;

    /// <summary>From here on <see cref="End"/> can stop the call.</summary>
    public void MakeStoppable() => stop = CancellationTokenSource.CreateLinkedTokenSource(inner.CancellationToken);

    /// <summary>Stops the call; the first reason counts. Harmless when the call is over.</summary>
    /// <param name="why">What the caller is told: a refusal, or a status of its own.</param>
    public void End(Exception why)
    {
        lock (ending)
        {
            if (endedBy is not null || stop is null || isDisposed) return;
            endedBy = why;
        }
        try
        {
            stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The call ended by itself in this moment.
        }
    }

    public void Dispose()
    {
        lock (ending) isDisposed = true;
        stop?.Dispose();
    }

    protected override Task WriteResponseHeadersAsyncCore(Metadata responseHeaders) => inner.WriteResponseHeadersAsync(responseHeaders);

    protected override ContextPropagationToken CreatePropagationTokenCore(ContextPropagationOptions? options) =>
        inner.CreatePropagationToken(options);
}
