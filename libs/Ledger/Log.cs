using Microsoft.Extensions.Logging;

namespace ClawBureau.Ledger;

/// <summary>Every message this library logs. Event names are stable: alerts are built on them.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 100, EventName = "ledger.unreachable", Level = LogLevel.Warning, Message = "The ledger database cannot be reached: {Error}")]
    public static partial void LedgerUnreachable(ILogger logger, string error);

    [LoggerMessage(EventId = 101, EventName = "ledger.batch_split", Level = LogLevel.Warning, Message = "SQLSTATE {SqlState}: the {Count} acts of a batch are retried singly")]
    public static partial void BatchSplit(ILogger logger, string sqlState, int count);

    [LoggerMessage(EventId = 102, EventName = "ledger.batch_refused", Level = LogLevel.Warning, Message = "SQLSTATE {SqlState} ({Error}): {Count} acts were refused, nothing was written")]
    public static partial void BatchRefused(ILogger logger, string sqlState, string error, int count);

    [LoggerMessage(EventId = 103, EventName = "ledger.batch_lost", Level = LogLevel.Warning, Message = "The answer to batch {Batch} ({Count} acts) was lost: {Error}")]
    public static partial void BatchLost(ILogger logger, Guid batch, int count, string error);

    [LoggerMessage(EventId = 104, EventName = "ledger.batch_resolved", Level = LogLevel.Information, Message = "Batch {Batch} was looked up: {Outcome}")]
    public static partial void BatchResolved(ILogger logger, Guid batch, string outcome);

    [LoggerMessage(EventId = 105, EventName = "ledger.batch_unresolved", Level = LogLevel.Error, Message = "The outcome of batch {Batch} ({Count} acts) could not be learned in time: {Error}")]
    public static partial void BatchUnresolved(ILogger logger, Guid batch, int count, string error);

    [LoggerMessage(EventId = 106, EventName = "ledger.callers_dead", Level = LogLevel.Information, Message = "{Dead} of {Count} acts of a batch were refused: their callers' tokens were taken back meanwhile")]
    public static partial void CallersDead(ILogger logger, int dead, int count);

    [LoggerMessage(EventId = 107, EventName = "ledger.not_sound", Level = LogLevel.Error, Message = "Nothing is recorded: {Why}. Find out what became of the database, then run `claw ledger recover`")]
    public static partial void NotSound(ILogger logger, string why);

    [LoggerMessage(EventId = 108, EventName = "ledger.head_freed", Level = LogLevel.Warning, Message = "The head was held by {Count} sessions whose process stands still; they were ended")]
    public static partial void HeadFreed(ILogger logger, int count);

    [LoggerMessage(EventId = 110, EventName = "ledger.migrated", Level = LogLevel.Information, Message = "Migration {Version} {Name} applied")]
    public static partial void Migrated(ILogger logger, int version, string name);
}
