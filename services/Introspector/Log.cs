using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>Every message the Introspector logs.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 300, EventName = "ledger.loaded", Level = LogLevel.Information, Message = "{Count} live revocations loaded, epoch {Epoch}, seq {Seq}")]
    public static partial void Loaded(ILogger logger, int count, Guid epoch, Seq seq);

    [LoggerMessage(EventId = 301, EventName = "ledger.away", Level = LogLevel.Warning, Message = "The ledger cannot be read: {Error}")]
    public static partial void LedgerAway(ILogger logger, string error);

    [LoggerMessage(EventId = 302, EventName = "ledger.back", Level = LogLevel.Information, Message = "The ledger can be read again")]
    public static partial void LedgerBack(ILogger logger);

    [LoggerMessage(EventId = 303, EventName = "ledger.ended", Level = LogLevel.Critical,
        Message = "Nothing is answered any more: {Reason}, after epoch {Epoch}, seq {Seq}. Find out what became of the database, then run `claw ledger recover`")]
    public static partial void LedgerEnded(ILogger logger, Reason reason, Guid epoch, Seq seq);

    [LoggerMessage(EventId = 304, EventName = "clock.set_back", Level = LogLevel.Warning,
        Message = "The clock was set back; {Count} live revocations read anew, through {RevocationSeq}")]
    public static partial void ClockSetBack(ILogger logger, int count, RevocationSeq revocationSeq);

    [LoggerMessage(EventId = 305, EventName = "ledger.kept", Level = LogLevel.Warning,
        Message = "{Count} revocations are kept that the recovered ledger does not know: they hold here until a restart. Revoke what they name again")]
    public static partial void Kept(ILogger logger, int count);

    [LoggerMessage(EventId = 310, EventName = "feed.watching", Level = LogLevel.Information, Message = "Follower {FollowerId} watches from {Cursor}")]
    public static partial void Watching(ILogger logger, string followerId, RevocationSeq cursor);

    [LoggerMessage(EventId = 311, EventName = "feed.snapshot", Level = LogLevel.Information, Message = "A snapshot of {Count} live revocations was sent, as of {RevocationSeq}")]
    public static partial void SnapshotSent(ILogger logger, int count, RevocationSeq revocationSeq);
}
