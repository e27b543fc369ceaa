using System.CommandLine;
using ClawBureau.Hosting.Peers;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Recovery;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Grpc.Core;
using Npgsql;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw ledger`: for whoever runs the ledger's database.</summary>
internal static class LedgerVerbs
{
    public static Command Create() => new("ledger", "Look after the ledger's database.") { CreateRecover() };

    private static Command CreateRecover()
    {
        var revokeAll = new Option<bool>("--revoke-all") { Description = "Do without the audit log: everything issued so far is revoked instead." };
        var nothingLost = new Option<bool>("--nothing-lost") { Description = "The database is known to be complete, although the audit log is behind it." };
        var acceptLost = new Option<bool>("--accept-lost-effects") { Description = "Go on where acts of the control plane or policies have to be done again, or acts are lost for good." };
        var wait = new Option<TimeSpan?>("--wait") { Description = "How long Introspectors may take to leave what only they still know (default 3s).", CustomParser = AppliedWait.Parse };
        var json = new Option<bool>("--json") { Description = "Print what was done as one JSON object." };
        var sink = new Connection("audit-sink");
        var command = new Command("recover",
            "Bring a restored, failed-over or rolled-back ledger back into service: make hold again what the audit log has, or revoke everything, and open a new epoch. " +
            "Speaks to the database of CLAW_DATABASE, or of the stack in --state.")
        { revokeAll, nothingLost, acceptLost, wait, json };
        sink.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            await using var admin = NpgsqlDataSource.Create(FindDatabase(parsed.GetValue<string?>("--state")));
            await Migrator.RequireCurrentAsync(admin, cancellationToken);
            var recovery = new LedgerRecovery(admin);
            var state = await recovery.BeginAsync(cancellationToken);
            await Console.Error.WriteLineAsync($"epoch {state.Epoch} ends with act {state.Seq}; {state.Unsound ?? "nothing is known to be wrong with it"}");
            RecoveryReport report;
            try
            {
                await Task.Delay(parsed.GetValue(wait) ?? TimeSpan.FromSeconds(3), TimeProvider.System, cancellationToken);
                report = parsed.GetValue(revokeAll)
                    ? await recovery.RevokeAllAsync(await FindAuditedEpochAsync(sink, parsed, cancellationToken), cancellationToken)
                    : await recovery.ReplayAsync(
                        await sink.CallAsync(parsed, channel => ReadTailAsync(channel, state, cancellationToken)), parsed.GetValue(nothingLost), parsed.GetValue(acceptLost), cancellationToken);
            }
            catch
            {
                await recovery.AbandonAsync(CancellationToken.None);
                throw;
            }
            Print(report, parsed.GetValue(json));
            return ExitCode.Done;
        });
        return command;
    }

    private static string FindDatabase(string? state) => AdminDatabase.Read() ?? StackDescription.Read(state ?? Connection.DefaultStateFolder)?.Database
        ?? throw new UsageException($"Set CLAW_DATABASE to an administrator's connection string ({AdminDatabase.Example}), or say which stack with --state.");

    /// <summary>The epoch that the audit log is in. Everything is revoked whether it answers or not.</summary>
    private static async Task<Guid?> FindAuditedEpochAsync(Connection sink, ParseResult parsed, CancellationToken cancellationToken)
    {
        try
        {
            var cursor = await sink.CallAsync(parsed, channel =>
                new AuditService.AuditServiceClient(channel.Calls).GetSourceCursorAsync(new GetSourceCursorRequest { Source = "ledger" }, cancellationToken: cancellationToken).ResponseAsync);
            return cursor.Epoch.Length > 0 ? Guid.Parse(cursor.Epoch) : null;
        }
        catch (Exception e) when (e is Refusal or UnreachableException or UsageException or RpcException && !cancellationToken.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync($"the audit log was not asked: {Failure.Of(e).Sentence}");
            return null;
        }
    }

    /// <summary>From the newest entry back to the one that the ledger ends with, or has beyond it.</summary>
    private static async Task<AuditedTail> ReadTailAsync(PeerChannel channel, LedgerState state, CancellationToken cancellationToken)
    {
        var client = new AuditService.AuditServiceClient(channel.Calls);
        var request = new ListEventsRequest { PageSize = 1000 };
        var after = new List<AuditedEvent>();
        do
        {
            var page = await client.ListEventsAsync(request, cancellationToken: cancellationToken);
            foreach (var entry in page.Entries.Where(e => e.Source == "ledger"))
            {
                var audited = ToEvent(entry);
                if (state.Reaches(audited.Epoch, audited.Seq)) return new AuditedTail(audited, Ordered());
                after.Add(audited);
            }
            request.PageToken = page.NextPageToken;
        }
        while (request.PageToken.Length > 0);
        return new AuditedTail(null, Ordered());

        IReadOnlyList<AuditedEvent> Ordered() => [.. after.AsEnumerable().Reverse()];
    }

    private static AuditedEvent ToEvent(Entry entry)
    {
        if (entry.Payload.IsEmpty)
            throw new StackException($"The payload of entry {entry.Index} is not to be had: use an admin key with the scope audit:payload, or --revoke-all where it was erased.");
        static string? Given(string text) => text.Length > 0 ? text : null;
        return new AuditedEvent(
            Guid.Parse(entry.Epoch), new Seq(entry.Seq), entry.Kind, entry.RecordedAt.ToDateTimeOffset(), entry.Payload.ToByteArray(),
            entry.Keys.TokenHash.IsEmpty ? null : entry.Keys.TokenHash.ToByteArray(), Given(entry.Keys.Subject),
            new Correlation(Given(entry.Keys.MissionId), Given(entry.Keys.RunId), Given(entry.Keys.TraceId), Given(entry.Keys.CorrelationId)));
    }

    private static void Print(RecoveryReport report, bool json)
    {
        if (json)
        {
            Terminal.PrintJson(new
            {
                epoch = report.Epoch,
                previous_epoch = report.PreviousEpoch,
                previous_last_seq = report.PreviousLastSeq.Value,
                replayed = report.Replayed,
                not_reapplied = report.NotReapplied,
                remembered = report.Remembered,
                lost = report.Lost,
                revoked_all = report.RevokedAll,
            });
            return;
        }
        Console.Out.WriteLine("recovered");
        Terminal.Print("epoch", $"{report.Epoch}, which continues {report.PreviousEpoch} after act {report.PreviousLastSeq}");
        Terminal.Print("from the log", report.RevokedAll ? "nothing was asked of it" : report.Replayed.Count == 0 ? "it had nothing more" : string.Join(", ", report.Replayed.Select(k => $"{k.Value} {k.Key}")));
        if (report.NotReapplied.Count > 0) Terminal.Print("do again", string.Join(", ", report.NotReapplied.Select(k => $"{k.Value} {k.Key}")));
        Terminal.Print("followers", report.Remembered == 0 ? "knew nothing more" : $"knew {report.Remembered} revocations that nothing else had");
        if (report.Lost > 0) Terminal.Print("lost", $"{report.Lost} acts that nothing has any more");
        if (report.RevokedAll) Terminal.Print("revoked", "everything issued before this moment");
    }
}
