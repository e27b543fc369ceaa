using System.Text.Json;
using System.Text.RegularExpressions;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.AuditSink;

/// <summary>Between the wire's types and this service's own.</summary>
internal static partial class Mapping
{
    private const int MostEvents = 4096;
    private const int MostPayload = 32_768;
    private const int MostKeys = 8192;
    private const int MostPage = 1000;
    private const int DefaultPage = 50;

    /// <exception cref="Refusal">INVALID_REQUEST, BATCH_TOO_LARGE, AUDIT_EVENT_TOO_LARGE.</exception>
    public static EventRun ToRun(AppendEventsRequest request)
    {
        if (request.Events.Count == 0) throw Refusal.OfField(Reason.InvalidRequest, "events", "events must hold at least one event");
        if (request.Events.Count > MostEvents) throw new Refusal(Reason.BatchTooLarge, metadata: new Dictionary<string, string> { ["most"] = $"{MostEvents}" });
        if (!Guid.TryParse(request.Epoch, out var epoch)) throw Refusal.OfField(Reason.InvalidRequest, "epoch", "epoch must be a UUID");
        Continuation? continues = null;
        if (request.PreviousEpoch.Length > 0)
        {
            if (!Guid.TryParse(request.PreviousEpoch, out var previous) || previous == epoch)
                throw Refusal.OfField(Reason.InvalidRequest, "previous_epoch", "previous_epoch must be the UUID of another epoch");
            if (request.PreviousLastSeq < 0) throw Refusal.OfField(Reason.InvalidRequest, "previous_last_seq", "previous_last_seq must not be negative");
            continues = new Continuation(previous, request.PreviousLastSeq);
        }
        long first = request.Events[0].Seq;
        if (first < 1) throw Refusal.OfField(Reason.InvalidRequest, "events", "seq begins with 1");
        for (int i = 0; i < request.Events.Count; i++)
            if (request.Events[i].Seq != first + i) throw Refusal.OfField(Reason.InvalidRequest, "events", "the events' seq must be consecutive");
        return new EventRun(request.Source, epoch, first, [.. request.Events.Select(ToEvent)], continues);
    }

    private static SourceEvent ToEvent(AuditEvent e)
    {
        if (!Kind().IsMatch(e.Kind)) throw Refusal.OfField(Reason.InvalidRequest, "events.kind", "kind must be words of a-z, 0-9 and _ joined by dots, at most 64 characters");
        if (e.RecordedAt is null || !IsTime(e.RecordedAt)) throw Refusal.OfField(Reason.InvalidRequest, "events.recorded_at", "recorded_at is required and must be a time");
        if (e.Payload.Length > MostPayload) throw TooLarge(MostPayload);
        if (!IsJson(e.Payload.Span)) throw Refusal.OfField(Reason.InvalidRequest, "events.payload", "payload must be JSON");
        var keys = e.Keys ?? new EventKeys();
        if (keys.TokenHash.Length is not (0 or TokenHash.Length)) throw Refusal.OfField(Reason.InvalidRequest, "events.keys.token_hash", "token_hash must be 32 bytes");
        var encoded = keys.ToByteArray();
        if (encoded.Length > MostKeys) throw TooLarge(MostKeys);
        return new SourceEvent(e.Kind, e.RecordedAt.Seconds, e.RecordedAt.Nanos, e.Payload.Memory, encoded);

        static Refusal TooLarge(int limit) => new(Reason.AuditEventTooLarge, metadata: new Dictionary<string, string> { ["limit"] = $"{limit}" });
    }

    public static AppendEventsResponse ToResponse(Appended appended) => new()
    {
        LastSeq = appended.LastSeq,
        AlreadyPresent = appended.AlreadyPresent,
        TreeSize = appended.TreeSize,
    };

    /// <exception cref="Refusal">INVALID_REQUEST, INVALID_TOKEN_HASH.</exception>
    public static EntryFilter ToFilter(EventFilter? wire)
    {
        wire ??= new EventFilter();
        TokenHash hash = default;
        if (wire.TokenHash.Length > 0 && !TokenHash.TryParse(wire.TokenHash, out hash)) throw new Refusal(Reason.InvalidTokenHash);
        if (wire.Source.Length > 0 && !SourceName.IsValid(wire.Source)) throw Refusal.OfField(Reason.InvalidRequest, "filter.source", "source is ledger, or a service and its instance");
        return new EntryFilter
        {
            TokenHash = wire.TokenHash.Length > 0 ? hash.ToArray() : null,
            Subject = Given(wire.Subject),
            OwnerDid = Given(wire.OwnerDid),
            MissionId = Given(wire.MissionId),
            RunId = Given(wire.RunId),
            TraceId = Given(wire.TraceId),
            CorrelationId = Given(wire.CorrelationId),
            Kinds = wire.Kinds.Count <= 64 ? [.. wire.Kinds] : throw Refusal.OfField(Reason.InvalidRequest, "filter.kinds", "at most 64 kinds"),
            Source = Given(wire.Source),
            Since = ToTime(wire.Since, "filter.since"),
            Until = ToTime(wire.Until, "filter.until"),
        };

        static string? Given(string text) => text.Length > 0 ? text : null;
    }

    /// <exception cref="Refusal">INVALID_REQUEST.</exception>
    public static int ToPageSize(int asked) => asked switch
    {
        0 => DefaultPage,
        > 0 and <= MostPage => asked,
        _ => throw Refusal.OfField(Reason.InvalidRequest, "page_size", $"page_size must be 1 to {MostPage}"),
    };

    /// <param name="withPayload">The caller may read payloads.</param>
    public static Entry ToEntry(StoredEntry stored, bool withPayload) => new()
    {
        Index = stored.Index,
        Source = stored.Leaf.Source,
        Epoch = stored.Leaf.Epoch.ToString(),
        Seq = stored.Leaf.Seq,
        Kind = stored.Leaf.Kind,
        RecordedAt = Timestamp.FromDateTimeOffset(stored.At),
        Leaf = ByteString.CopyFrom(stored.LeafBytes.Span),
        LeafHash = ByteString.CopyFrom(stored.LeafHash.Span),
        Commitment = ByteString.CopyFrom(stored.Leaf.Commitment),
        Salt = withPayload ? ByteString.CopyFrom(stored.Salt.Span) : ByteString.Empty,
        Payload = withPayload ? ByteString.CopyFrom(stored.Payload.Span) : ByteString.Empty,
        Keys = stored.Keys,
    };

    private static DateTimeOffset? ToTime(Timestamp? time, string field) =>
        time is null ? null : IsTime(time) ? time.ToDateTimeOffset() : throw Refusal.OfField(Reason.InvalidRequest, field, $"{field} is no time");

    // 0001-01-01 to 9999-12-31, as Timestamp has it.
    private static bool IsTime(Timestamp time) => time is { Seconds: >= -62_135_596_800 and <= 253_402_300_799, Nanos: >= 0 and <= 999_999_999 };

    private static bool IsJson(ReadOnlySpan<byte> payload)
    {
        try
        {
            var reader = new Utf8JsonReader(payload);
            if (!reader.Read()) return false;
            reader.Skip();
            return !reader.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }

    [GeneratedRegex(@"\A(?=.{1,64}\z)[a-z][a-z0-9_]*(\.[a-z0-9_]+)*\z")]
    private static partial Regex Kind();
}
