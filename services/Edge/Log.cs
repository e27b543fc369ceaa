using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>Every message the Edge logs. None holds a token, a credential, a body or a query.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 400, EventName = "http.refused", Level = LogLevel.Debug, Message = "{Method} {Path} was refused: {Status} {Reason}, trace {TraceId}")]
    public static partial void Refused(ILogger logger, string method, string path, int status, Reason reason, string traceId);

    [LoggerMessage(EventId = 401, EventName = "http.peer_failed", Level = LogLevel.Warning, Message = "{Method} {Path} could not be answered: {Reason}, trace {TraceId}")]
    public static partial void PeerFailed(ILogger logger, string method, string path, Reason reason, string traceId);

    [LoggerMessage(EventId = 402, EventName = "http.failed", Level = LogLevel.Error, Message = "{Method} {Path} failed, trace {TraceId}")]
    public static partial void Failed(ILogger logger, Exception exception, string method, string path, string traceId);
}
