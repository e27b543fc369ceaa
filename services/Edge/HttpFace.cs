using ClawBureau.Hosting.Calls;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Http.Features;

namespace ClawBureau.Edge;

/// <summary>
/// The way of every HTTP request:
/// 1. its route, or the one that says 404;
/// 2. the trace id, which the caller is told whatever happens;
/// 3. the credential that is handed on, by the form of the headers alone;
/// 4. the handler: maps, calls the owning service, maps back;
/// 5. what it throws becomes the route's own kind of error.
/// </summary>
internal sealed class HttpFace(RouteTable routes, EdgeOptions options, ClientRate rate, ILogger<HttpFace> log)
{
    /// <summary>The largest body taken: four times the largest token.</summary>
    public const int MostBodyBytes = 64 * 1024;

    public async Task AnswerAsync(HttpContext http)
    {
        var route = routes.Find(http.Request.Method, http.Request.Path, EdgeCall.IsForm(http.Request));        // 1
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = route.MostBodyBytes;
        if (await TryAnswerAsync(route, http) is { } answer) await SendAsync(http, route, answer);
    }

    /// <returns>Null when the caller has left.</returns>
    private async Task<Answer?> TryAnswerAsync(Route route, HttpContext http)
    {
        var traceId = "none";
        try
        {
            var correlation = CallCorrelation.Of(http.Request.Headers, Guid.CreateVersion7().ToString("N"));        // 2
            http.Response.Headers[CallCorrelation.TraceHeader] = traceId = correlation.TraceId;
            if (route.Access == Access.Introspection && options.IsIntrospectionPublic) rate.Require(http.Connection.RemoteIpAddress);
            var credential = Credentials.Pick(route.Access, options, http.Request.Headers);            // 3
            return await route.Handle(new EdgeCall(http, correlation, credential));                                  // 4
        }
        catch (Refusal refusal)                                                                                      // 5
        {
            var answer = route.Refuse(refusal);
            if (refusal.Reason is Reason.PeerUnavailable or Reason.Internal) Log.PeerFailed(log, route.Method, route.Path, refusal.Reason, traceId);
            else Log.Refused(log, route.Method, route.Path, answer.Status, refusal.Reason, traceId);
            return answer;
        }
        catch (BadHttpRequestException unreadable)
        {
            Log.Refused(log, route.Method, route.Path, unreadable.StatusCode, Reason.InvalidRequest, traceId);
            return Answer.Error(unreadable.StatusCode, "INVALID_REQUEST", unreadable.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? $"Request body must be at most {route.MostBodyBytes} bytes"
                : "Request body could not be read");
        }
        catch (Exception left) when (http.RequestAborted.IsCancellationRequested && left is OperationCanceledException or IOException)
        {
            return null;
        }
        catch (Exception failure)
        {
            Log.Failed(log, failure, route.Method, route.Path, traceId);
            return route.Refuse(new Refusal(Reason.Internal));
        }
    }

    private static async Task SendAsync(HttpContext http, Route route, Answer answer)
    {
        var response = http.Response;
        var body = answer.ToBody();
        response.StatusCode = answer.Status;
        response.Headers.CacheControl = answer.CacheControl ?? (route.IsPrivate ? "no-store" : default(string));
        foreach (var (name, value) in answer.Headers) response.Headers[name] = value;
        if (answer.Status == StatusCodes.Status429TooManyRequests) response.Headers.RetryAfter = "1";
        if (answer.Stream is { } stream)
        {
            response.ContentType = answer.ContentType;
            try
            {
                await response.StartAsync(http.RequestAborted);
                await stream(response.Body, http.RequestAborted);
            }
            catch (Exception left) when (http.RequestAborted.IsCancellationRequested && left is OperationCanceledException or IOException)
            {
                // The caller has left.
            }
            return;
        }
        if (answer.ClawverifyVersion is { } version) response.Headers["X-Clawverify-Version"] = version;
        if (answer.IsCacheable)
        {
            response.Headers.ETag = Answer.ETagOf(body);
            if (http.Request.Headers.IfNoneMatch == response.Headers.ETag)
            {
                response.StatusCode = StatusCodes.Status304NotModified;
                return;
            }
        }
        response.ContentType = answer.ContentType;
        response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(http.Request.Method)) await response.Body.WriteAsync(body, CancellationToken.None);
    }
}
