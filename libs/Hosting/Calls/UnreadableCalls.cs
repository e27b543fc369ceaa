using ClawBureau.Hosting.Refusals;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Calls;

/// <summary>
/// The framework reads the request of a unary call before any interceptor and answers UNKNOWN when it is no message. That is the
/// caller's mistake and none of ours: it is answered INVALID_REQUEST and is no Error in the log.
/// </summary>
internal sealed class UnreadableCalls(RequestDelegate next, ILogger<UnreadableCalls> logger)
{
    /// <summary>Where the framework logs such a message, as an Error with its stack trace; what happens in endpoints is logged by <see cref="CallInterceptor"/>.</summary>
    public const string FrameworkCategory = "Grpc.AspNetCore.Server.ServerCallHandler";

    private const string StatusTrailer = "grpc-status";
    private const string Unknown = "2";

    public async Task InvokeAsync(HttpContext http)
    {
        await next(http);
        // Nothing of ours says UNKNOWN. With a call id the endpoint was reached, so it was not the request that failed.
        if (http.Response.HasStarted || Ending(http) is not { } ending) return;
        if (http.Response.Headers[CallCorrelation.CallHeader] is [{ } callId])
        {
            Log.AnswerNotSent(logger, callId, http.Request.Path);
            return;
        }
        // A caller who went away in the middle of its request gets no answer and made no mistake.
        if (http.RequestAborted.IsCancellationRequested) return;
        Log.CallUnreadable(logger, http.Request.Path, http.Connection.RemoteIpAddress);
        var answer = RefusalStatus.ToRpcException(new Refusal(Reason.InvalidRequest, "The request is not a message of this RPC"));
        ending[StatusTrailer] = ((int)answer.StatusCode).ToString();
        ending["grpc-message"] = Uri.EscapeDataString(answer.Status.Detail);
        foreach (var trailer in answer.Trailers)
        {
            ending[trailer.Key] = Convert.ToBase64String(trailer.ValueBytes);
        }
    }

    private static IHeaderDictionary? Ending(HttpContext http)
    {
        if (http.Response.Headers[StatusTrailer] == Unknown) return http.Response.Headers;
        var trailers = http.Features.Get<IHttpResponseTrailersFeature>()?.Trailers;
        return trailers is not null && trailers[StatusTrailer] == Unknown ? trailers : null;
    }
}
