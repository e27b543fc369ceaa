using System.Net;
using ClawBureau.Tokens;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting;

/// <summary>Every message this library logs. Event names are stable: alerts are built on them. No message holds a credential.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 200, EventName = "process.started", Level = LogLevel.Information, Message = "{Service} serves {Services} on {Addresses}")]
    public static partial void Started(ILogger logger, string service, string services, string addresses);

    [LoggerMessage(EventId = 201, EventName = "process.stopping", Level = LogLevel.Information, Message = "{Service} stops: streams end now, calls within {Drain}")]
    public static partial void Stopping(ILogger logger, string service, TimeSpan drain);

    [LoggerMessage(EventId = 202, EventName = "process.start_failed", Level = LogLevel.Critical, Message = "{Service} could not start")]
    public static partial void StartFailed(ILogger logger, Exception exception, string service);

    [LoggerMessage(EventId = 210, EventName = "call.failed", Level = LogLevel.Error, Message = "Call {CallId} of {Method} failed")]
    public static partial void CallFailed(ILogger logger, Exception exception, string callId, string method);

    [LoggerMessage(EventId = 211, EventName = "call.refused", Level = LogLevel.Debug, Message = "Call {CallId} of {Method} by {Caller} was refused: {Reason}")]
    public static partial void CallRefused(ILogger logger, string callId, string method, string caller, Reason reason);

    [LoggerMessage(EventId = 212, EventName = "call.denied", Level = LogLevel.Information, Message = "Call {CallId} of {Method} from {Peer} was denied: {Reason}")]
    public static partial void CallDenied(ILogger logger, string callId, string method, string peer, Reason reason);

    [LoggerMessage(EventId = 213, EventName = "call.abandoned", Level = LogLevel.Debug, Message = "Call {CallId} of {Method} was abandoned by its caller")]
    public static partial void CallAbandoned(ILogger logger, string callId, string method);

    [LoggerMessage(EventId = 214, EventName = "call.unreadable", Level = LogLevel.Information, Message = "A request of {Method} from {Peer} is not a message of that RPC")]
    public static partial void CallUnreadable(ILogger logger, PathString method, IPAddress? peer);

    [LoggerMessage(EventId = 215, EventName = "call.answer_not_sent", Level = LogLevel.Error, Message = "The answer to call {CallId} of {Method} could not be made a message")]
    public static partial void AnswerNotSent(ILogger logger, string callId, PathString method);

    [LoggerMessage(EventId = 220, EventName = "admin_keys.loaded", Level = LogLevel.Information, Message = "{Count} admin keys: {Names}")]
    public static partial void AdminKeysLoaded(ILogger logger, int count, string names);

    [LoggerMessage(EventId = 221, EventName = "admin_keys.invalid", Level = LogLevel.Warning, Message = "{Problem}; calls that need an admin key are refused")]
    public static partial void AdminKeysInvalid(ILogger logger, string problem);

    [LoggerMessage(EventId = 222, EventName = "file.reload_failed", Level = LogLevel.Warning, Message = "The new content of {File} is not used, the old one stays: {Problem}")]
    public static partial void ReloadFailed(ILogger logger, string file, string problem);

    [LoggerMessage(EventId = 223, EventName = "certificate.loaded", Level = LogLevel.Information, Message = "Certificate {Subject} from {File} is valid until {NotAfter:O}")]
    public static partial void CertificateLoaded(ILogger logger, string subject, string file, DateTimeOffset notAfter);

    [LoggerMessage(EventId = 224, EventName = "certificate.expires_soon", Level = LogLevel.Warning, Message = "Certificate {Subject} from {File} ends at {NotAfter:O}: replace the file")]
    public static partial void CertificateExpiresSoon(ILogger logger, string subject, string file, DateTimeOffset notAfter);

    [LoggerMessage(EventId = 230, EventName = "readiness.changed", Level = LogLevel.Information, Message = "{Condition}: {State}")]
    public static partial void ReadinessChanged(ILogger logger, string condition, string state);

    [LoggerMessage(EventId = 231, EventName = "core_dumps.on", Level = LogLevel.Warning, Message = "A crash of this process may leave a core dump with secrets in it: {Problem}")]
    public static partial void CoreDumpsOn(ILogger logger, string problem);
}
