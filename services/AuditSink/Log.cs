namespace ClawBureau.AuditSink;

/// <summary>Every message the AuditSink logs.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 500, EventName = "audit.loaded", Level = LogLevel.Information, Message = "The audit log has {Size} entries")]
    public static partial void Loaded(ILogger logger, long size);

    [LoggerMessage(EventId = 501, EventName = "audit.away", Level = LogLevel.Warning, Message = "The audit log's database cannot be used: {Error}")]
    public static partial void AuditAway(ILogger logger, string error);

    [LoggerMessage(EventId = 502, EventName = "audit.back", Level = LogLevel.Information, Message = "The audit log's database can be used again")]
    public static partial void AuditBack(ILogger logger);

    [LoggerMessage(EventId = 503, EventName = "audit.fenced", Level = LogLevel.Information, Message = "Another AuditSink appended first ({What}); what it wrote is read and the batch judged anew")]
    public static partial void Fenced(ILogger logger, string what);

    [LoggerMessage(EventId = 504, EventName = "audit.corrupt", Level = LogLevel.Critical, Message = "Nothing more is appended: {What}. Compare the database with its backups and with published checkpoints")]
    public static partial void Corrupt(ILogger logger, string what);

    [LoggerMessage(EventId = 505, EventName = "audit.conflict", Level = LogLevel.Error,
        Message = "Source {Source}, epoch {Epoch}, tells another story: some event of {First} to {Last} is not the one that stands in the log")]
    public static partial void Conflict(ILogger logger, string source, Guid epoch, long first, long last);

    [LoggerMessage(EventId = 510, EventName = "lookup.away", Level = LogLevel.Warning, Message = "The lookup index could not be extended: {Error}")]
    public static partial void LookupAway(ILogger logger, string error);
}
