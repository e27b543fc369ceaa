using System.CommandLine;
using System.Globalization;
using ClawBureau.Protos.Audit.V1;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw audit`: what the audit log has.</summary>
internal static class AuditVerbs
{
    private const int Page = 200;

    public static Command Create() => new("audit", "Read the audit log.") { CreateList() };

    private static Command CreateList()
    {
        var token = new Option<string?>("--token") { Description = "About this token, or - to read it from standard input." };
        var hash = new Option<string?>("--hash") { Description = "About the token with this hash: 64 hex digits." };
        var mission = new Option<string?>("--mission") { Description = "Of this mission." };
        var run = new Option<string?>("--run") { Description = "Of this run." };
        var subject = new Option<string?>("--subject") { Description = "About this subject." };
        var owner = new Option<string?>("--owner") { Description = "About what belongs to this owner's DID." };
        var trace = new Option<string?>("--trace") { Description = "Under this trace id." };
        var kind = new Option<string[]>("--kind") { Description = "Of this kind, such as token.issued; several: any of them." };
        var source = new Option<string?>("--source") { Description = "From this source: ledger, or a service and its instance." };
        var since = new Option<string?>("--since") { Description = "At or after: a time such as 2026-01-31T12:00Z, or an age such as 15m, 2h, 7d." };
        var until = new Option<string?>("--until") { Description = "Before: as --since." };
        var limit = new Option<int>("--limit") { Description = "At most so many; 0: all.", DefaultValueFactory = _ => 50 };
        var oldest = new Option<bool>("--oldest-first") { Description = "Oldest first; default: newest first." };
        var json = new Option<bool>("--json") { Description = "Print each entry as one JSON object on a line." };
        var connection = new Connection("audit-sink");
        var command = new Command("list", "List what happened, by what it is about. Every condition given has to hold.")
        {
            token, hash, mission, run, subject, owner, trace, kind, source, since, until, limit, oldest, json,
        };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(token) is not null && parsed.GetValue(hash) is not null) throw new UsageException("Say the token or its hash, not both.");
            if (parsed.GetValue(limit) < 0) throw new UsageException("--limit is 0 or more.");
            var request = new ListEventsRequest
            {
                Ascending = parsed.GetValue(oldest),
                Filter = new EventFilter
                {
                    TokenHash = parsed.GetValue(token) is { } text ? Tokens.TokenHash.Of(Terminal.ReadToken(text)).ToString() : parsed.GetValue(hash) ?? "",
                    MissionId = parsed.GetValue(mission) ?? "",
                    RunId = parsed.GetValue(run) ?? "",
                    Subject = parsed.GetValue(subject) ?? "",
                    OwnerDid = parsed.GetValue(owner) ?? "",
                    TraceId = parsed.GetValue(trace) ?? "",
                    Source = parsed.GetValue(source) ?? "",
                    Since = ToTime(parsed.GetValue(since), "--since"),
                    Until = ToTime(parsed.GetValue(until), "--until"),
                    Kinds = { parsed.GetValue(kind) ?? [] },
                },
            };
            int left = parsed.GetValue(limit) == 0 ? int.MaxValue : parsed.GetValue(limit);
            int shown = 0;
            await connection.CallAsync(parsed, async channel =>
            {
                var client = new AuditService.AuditServiceClient(channel.Calls);
                do
                {
                    request.PageSize = Math.Min(Page, left - shown);
                    var page = await client.ListEventsAsync(request, cancellationToken: cancellationToken);
                    foreach (var entry in page.Entries) Print(entry, parsed.GetValue(json));
                    shown += page.Entries.Count;
                    request.PageToken = page.NextPageToken;
                }
                while (request.PageToken.Length > 0 && shown < left);
                return shown;
            });
            if (!parsed.GetValue(json))
            {
                if (shown == 0) await Console.Error.WriteLineAsync("nothing in the audit log meets all of this");
                else if (request.PageToken.Length > 0) await Console.Error.WriteLineAsync($"{shown} shown, there are more: --limit 0 shows all");
            }
            return ExitCode.Done;
        });
        return command;
    }

    private static void Print(Entry entry, bool json)
    {
        var hash = entry.Keys.TokenHash.IsEmpty ? null : Convert.ToHexStringLower(entry.Keys.TokenHash.Span);
        if (json)
        {
            Terminal.PrintJson(new
            {
                index = entry.Index,
                source = entry.Source,
                epoch = entry.Epoch,
                seq = entry.Seq,
                kind = entry.Kind,
                recorded_at = entry.RecordedAt.ToDateTimeOffset().ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture),
                token_hash = hash,
                subject = Given(entry.Keys.Subject),
                owner_did = Given(entry.Keys.OwnerDid),
                mission_id = Given(entry.Keys.MissionId),
                run_id = Given(entry.Keys.RunId),
                trace_id = Given(entry.Keys.TraceId),
                correlation_id = Given(entry.Keys.CorrelationId),
                leaf_hash = Convert.ToHexStringLower(entry.LeafHash.Span),
                payload = entry.Payload.IsEmpty ? null : entry.Payload.ToStringUtf8(),
            });
            return;
        }
        var about = string.Join("  ", new[] { hash?[..16], Given(entry.Keys.Subject), Given(entry.Keys.MissionId), Given(entry.Keys.RunId) }.OfType<string>());
        Console.Out.WriteLine($"{entry.RecordedAt.ToDateTimeOffset():yyyy-MM-dd HH:mm:ss.fff}Z  {entry.Index,6}  {entry.Source} {entry.Seq}  {entry.Kind,-18}  {about}");
    }

    private static string? Given(string text) => text.Length > 0 ? text : null;

    private static Timestamp? ToTime(string? text, string option)
    {
        if (text is null) return null;
        if (text.Length > 1 && double.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double n) && n < 1e6)
        {
            TimeSpan? age = text[^1] switch { 's' => TimeSpan.FromSeconds(n), 'm' => TimeSpan.FromMinutes(n), 'h' => TimeSpan.FromHours(n), 'd' => TimeSpan.FromDays(n), _ => null };
            if (age is { } ago) return Timestamp.FromDateTimeOffset(TimeProvider.System.GetUtcNow() - ago);
        }
        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
            ? Timestamp.FromDateTimeOffset(at)
            : throw new UsageException($"{option}: '{text}' is neither a time such as 2026-01-31T12:00Z nor an age such as 15m, 2h, 7d.");
    }
}
