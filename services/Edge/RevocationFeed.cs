using System.Text;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Edge;

/// <summary>
/// /v1/revocations/stream: pages from the newest back, as the contract has it (clawscope-http.md 1.4); beside them what can be
/// followed, by a number that only grows: entries after <c>after_sequence</c> of an <c>epoch</c>, and the same as server-sent
/// events, resumed by Last-Event-ID. The caller's credential is judged at every look, so a stream ends when it does.
/// </summary>
internal sealed class RevocationFeed(EdgePeers peers, RevocationRoutes pages, EdgeOptions options, TimeProvider time)
{
    private const int PageSize = 200;
    private static readonly TimeSpan SayAlive = TimeSpan.FromSeconds(15);
    private int _streams;

    public Task<Answer> StreamAsync(EdgeCall call) => call.WantsEvents ? BeginEventsAsync(call)
        : call.Query.ContainsKey("after_sequence") ? AfterAsync(call)
        : pages.StreamAsync(call);

    private async Task<Answer> AfterAsync(EdgeCall call)
    {
        var cursor = await FindEpochAsync(call, ReadQuery(call)!.Value);
        var page = await ReadAsync(call, cursor, RevocationRoutes.LimitOf(call.Query["limit"].ToString()));
        return Answer.Ok(json =>
        {
            json.Name("stream_version").Value("1").Name("epoch").Value(page.Revision.Epoch).Name("events").BeginArray();
            foreach (var entry in page.Revocations) RevocationRoutes.WriteEvent(json, entry.RevocationSeq, RevocationRoutes.EventKey(entry), entry);
            json.EndArray()
                .Name("next_sequence").Value(Through(page))
                .Name("list_complete").Value(page.NextPageToken.Length == 0);
        });
    }

    private async Task<Answer> BeginEventsAsync(EdgeCall call)
    {
        var from = call.Headers["Last-Event-ID"].ToString() is { Length: > 0 } id ? Cursor.Parse(id) : ReadQuery(call);
        // Before anything is sent, so that a caller who may not read, or whose cursor cannot be served, is told as by any route.
        var cursor = from is { } given ? await FindEpochAsync(call, given) : await FindHeadAsync(call);
        var page = await ReadAsync(call, cursor, PageSize);
        if (Interlocked.Increment(ref _streams) > options.MostEventStreams)
        {
            Interlocked.Decrement(ref _streams);
            throw new Refusal(Reason.SubscriberLimitReached);
        }
        return new Answer(StatusCodes.Status200OK, [])
        {
            IsIndented = false,
            ContentType = EdgeCall.EventStream,
            Stream = async (body, left) =>
            {
                try
                {
                    await SendEventsAsync(call, page, body, left);
                }
                finally
                {
                    Interlocked.Decrement(ref _streams);
                }
            },
        };
    }

    private async Task SendEventsAsync(EdgeCall call, ListRevocationsResponse page, Stream body, CancellationToken left)
    {
        await SendAsync("retry: 3000\n\n");
        bool isCaughtUp = false;
        long sentAt = time.GetTimestamp();
        while (true)
        {
            var text = new StringBuilder();
            foreach (var entry in page.Revocations)
            {
                Append(text, "revocation", new Cursor(page.Revision.Epoch, entry.RevocationSeq),
                    json => RevocationRoutes.WriteEvent(json, entry.RevocationSeq, RevocationRoutes.EventKey(entry), entry));
            }
            var cursor = new Cursor(page.Revision.Epoch, Through(page));
            if (page.NextPageToken.Length == 0 && !isCaughtUp)
            {
                isCaughtUp = true;
                Append(text, "caught_up", cursor, json => json.BeginObject().Name("epoch").Value(cursor.Epoch).Name("sequence").Value(cursor.Sequence).EndObject());
            }
            if (text.Length == 0 && time.GetElapsedTime(sentAt) > SayAlive) text.Append(": through ").Append(cursor).Append("\n\n");
            if (text.Length > 0)
            {
                await SendAsync(text.ToString());
                sentAt = time.GetTimestamp();
            }
            if (page.NextPageToken.Length == 0) await Task.Delay(options.EventPause, time, left);
            try
            {
                page = await ReadAsync(call, cursor, PageSize);
            }
            catch (Refusal refusal)
            {
                // The client connects again by itself, with the last id it has; told what to do where that is not enough.
                var isReset = refusal.Reason is Reason.FeedCursorTooOld or Reason.FeedCursorFuture or Reason.FeedCursorForeignEpoch;
                var entry = ReasonCatalog.Of(refusal.Reason);
                var last = new StringBuilder();
                Append(last, isReset ? "reset" : "error", null, json => json.BeginObject().Name("error").Value(entry.Code).Name("message").Value(refusal.Sentence ?? entry.Sentence).EndObject());
                await SendAsync(last.ToString());
                return;
            }
        }

        async Task SendAsync(string text)
        {
            await body.WriteAsync(Encoding.UTF8.GetBytes(text), left);
            await body.FlushAsync(left);
        }
    }

    private static void Append(StringBuilder text, string name, Cursor? id, Action<JsJsonWriter> write)
    {
        var json = new JsJsonWriter();
        write(json);
        if (id is { } cursor) text.Append("id: ").Append(cursor).Append('\n');
        // JSON of ours has no line break, so one data line holds it.
        text.Append("event: ").Append(name).Append("\ndata: ").Append(Encoding.UTF8.GetString(json.Written)).Append("\n\n");
    }

    private async Task<ListRevocationsResponse> ReadAsync(EdgeCall call, Cursor after, int limit) => await peers.Feed.ListRevocationsAsync(
        new ListRevocationsRequest { PageSize = limit, Epoch = after.Epoch, AfterRevocationSeq = after.Sequence }, call.Options);

    private async Task<Cursor> FindHeadAsync(EdgeCall call)
    {
        var now = (await peers.Feed.ListRevocationsAsync(new ListRevocationsRequest { PageSize = 1 }, call.Options)).Revision;
        return new Cursor(now.Epoch, now.RevocationSeq);
    }

    /// <summary>From the beginning needs no epoch: it is that of the feed.</summary>
    private async Task<Cursor> FindEpochAsync(EdgeCall call, Cursor cursor)
    {
        if (cursor.Epoch.Length > 0) return cursor;
        return cursor.Sequence == 0
            ? cursor with { Epoch = (await FindHeadAsync(call)).Epoch }
            : throw Refusal.OfField(Reason.InvalidRequest, "epoch", "after_sequence needs the epoch it belongs to");
    }

    private static Cursor? ReadQuery(EdgeCall call) => call.Query.ContainsKey("after_sequence")
        ? new Cursor(call.Query["epoch"].ToString(), Cursor.ParseSequence(call.Query["after_sequence"].ToString()))
        : null;

    /// <summary>Where the next look begins: behind everything this one has seen, also of entries that are not the caller's to see.</summary>
    private static long Through(ListRevocationsResponse page) => page.NextPageToken.Length > 0 ? page.Revocations[^1].RevocationSeq : page.Revision.RevocationSeq;

    private readonly record struct Cursor(string Epoch, long Sequence)
    {
        /// <exception cref="Refusal">INVALID_REQUEST.</exception>
        public static Cursor Parse(string text) => text.Split(':') is [var epoch, var sequence]
            ? new Cursor(epoch, ParseSequence(sequence))
            : throw Refusal.OfField(Reason.InvalidRequest, "Last-Event-ID", "Last-Event-ID is an epoch and a sequence, with a colon between");

        /// <exception cref="Refusal">INVALID_REQUEST.</exception>
        public static long ParseSequence(string text) => text.Length > 0 && !text.AsSpan().ContainsAnyExceptInRange('0', '9') && long.TryParse(text, out long sequence)
            ? sequence
            : throw Refusal.OfField(Reason.InvalidRequest, "after_sequence", "after_sequence must be a whole number");

        public override string ToString() => $"{Epoch}:{Sequence}";
    }
}
