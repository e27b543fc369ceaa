using ClawBureau.Tokens;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Client;

/// <summary>Every message this library logs. No message holds a token.</summary>
internal static partial class Log
{
    [LoggerMessage(EventId = 700, EventName = "keys.fetched", Level = LogLevel.Information, Message = "{Count} keys fetched, as of seq {Seq}")]
    public static partial void KeysFetched(ILogger logger, int count, long seq);

    [LoggerMessage(EventId = 701, EventName = "keys.not_fetched", Level = LogLevel.Warning, Message = "The keys could not be fetched: {Reason}, {Sentence}")]
    public static partial void KeysNotFetched(ILogger logger, Reason reason, string sentence);

    [LoggerMessage(EventId = 710, EventName = "feed.followed", Level = LogLevel.Information, Message = "Revocations are followed at {ServerId} from {RevocationSeq}")]
    public static partial void FeedFollowed(ILogger logger, string serverId, RevocationSeq revocationSeq);

    [LoggerMessage(EventId = 711, EventName = "feed.lost", Level = LogLevel.Warning, Message = "The revocation feed was lost: {Reason}, {Sentence}")]
    public static partial void FeedLost(ILogger logger, string reason, string sentence);

    [LoggerMessage(EventId = 712, EventName = "feed.reset", Level = LogLevel.Warning, Message = "The revocation feed starts over: {Reason}, epoch {Epoch}")]
    public static partial void FeedReset(ILogger logger, Reason reason, string epoch);

    [LoggerMessage(EventId = 713, EventName = "feed.snapshot_taken", Level = LogLevel.Information, Message = "A snapshot of {Count} live revocations is in use, as of {RevocationSeq}")]
    public static partial void SnapshotTaken(ILogger logger, int count, RevocationSeq revocationSeq);

    [LoggerMessage(EventId = 714, EventName = "feed.receipt_not_taken", Level = LogLevel.Debug, Message = "A receipt was not taken: {Reason}")]
    public static partial void ReceiptNotTaken(ILogger logger, Reason reason);

    [LoggerMessage(EventId = 720, EventName = "token.renewed", Level = LogLevel.Debug, Message = "Token {TokenHash} was issued, good until {ExpiresAt:O}")]
    public static partial void TokenRenewed(ILogger logger, TokenHash tokenHash, DateTimeOffset expiresAt);

    [LoggerMessage(EventId = 721, EventName = "token.not_renewed", Level = LogLevel.Warning, Message = "No new token could be had: {Reason}, {Sentence}")]
    public static partial void TokenNotRenewed(ILogger logger, Reason reason, string sentence);
}
