using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Audit.V1;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>An act, by what must be the same in the ledger and in the audit log.</summary>
internal sealed record AuditedAct(string Epoch, long Seq, string Payload);

/// <summary>L5: every act of the ledger stands in the audit log exactly once, in order, and nothing else does.</summary>
internal static class AuditedActs
{
    /// <summary>What the log has of the ledger, in the log's order.</summary>
    public static async Task<IReadOnlyList<AuditedAct>> ReadLogAsync(PeerChannel sink)
    {
        var client = new AuditService.AuditServiceClient(sink.Calls);
        var acts = new List<AuditedAct>();
        var request = new ListEventsRequest { Filter = new EventFilter { Source = "ledger" }, PageSize = 1000, Ascending = true };
        do
        {
            var page = await client.ListEventsAsync(request);
            acts.AddRange(page.Entries.Select(e => new AuditedAct(e.Epoch, e.Seq, e.Payload.ToStringUtf8())));
            request.PageToken = page.NextPageToken;
        }
        while (request.PageToken.Length > 0);
        return acts;
    }

    /// <summary>What the ledger has, each act with the epoch that it was recorded in.</summary>
    public static async Task<IReadOnlyList<AuditedAct>> ReadLedgerAsync(NpgsqlConnection ledger)
    {
        await using var command = new NpgsqlCommand("""
            WITH RECURSIVE epochs AS (
              SELECT h.epoch, coalesce(r.previous_last_seq, 0) AS after FROM ledger.head h LEFT JOIN ledger.recoveries r USING (epoch)
              UNION ALL
              SELECT r.previous_epoch, coalesce(p.previous_last_seq, 0) FROM epochs e JOIN ledger.recoveries r USING (epoch) LEFT JOIN ledger.recoveries p ON p.epoch = r.previous_epoch
            )
            SELECT (SELECT x.epoch::text FROM epochs x WHERE x.after < e.seq ORDER BY x.after DESC LIMIT 1), e.seq, convert_from(e.payload, 'UTF8') FROM ledger.events e ORDER BY e.seq
            """, ledger);
        await using var reader = await command.ExecuteReaderAsync();
        var acts = new List<AuditedAct>();
        while (await reader.ReadAsync()) acts.Add(new AuditedAct(reader.GetString(0), reader.GetInt64(1), reader.GetString(2)));
        return acts;
    }

    /// <summary>Every violation as a sentence.</summary>
    public static IReadOnlyList<string> FindViolations(IReadOnlyList<AuditedAct> ledger, IReadOnlyList<AuditedAct> log)
    {
        var found = new List<string>();
        found.AddRange(log.GroupBy(a => a.Seq).Where(same => same.Count() > 1).Select(same => $"act {same.Key} stands in the log {same.Count()} times"));
        found.AddRange(log.Zip(log.Skip(1)).Where(pair => pair.Second.Seq <= pair.First.Seq).Select(pair => $"act {pair.Second.Seq} comes after act {pair.First.Seq} in the log"));
        var logged = log.GroupBy(a => a.Seq).ToDictionary(same => same.Key, same => same.First());
        foreach (var act in ledger)
        {
            if (!logged.Remove(act.Seq, out var told)) found.Add($"act {act.Seq} is not in the log");
            else if (told != act) found.Add($"act {act.Seq} is another one in the log");
        }
        found.AddRange(logged.Keys.Select(seq => $"act {seq} of the log is not in the ledger"));
        return found;
    }
}

public sealed class AuditedActsTests
{
    private static readonly IReadOnlyList<AuditedAct> Ledger = [.. Enumerable.Range(1, 5).Select(i => new AuditedAct("e", i, $"{{{i}}}"))];

    [Fact]
    public void A_log_with_each_act_once_violates_nothing() => Assert.Empty(AuditedActs.FindViolations(Ledger, [.. Ledger]));

    [Fact]
    public void The_checker_sees_what_is_missing_told_twice_out_of_order_changed_or_made_up()
    {
        Assert.Equal(["act 3 is not in the log"], Find([.. Ledger.Where(a => a.Seq != 3)]));
        Assert.Contains("act 5 stands in the log 2 times", Find([.. Ledger, Ledger[4]]));
        Assert.Equal(["act 2 comes after act 3 in the log"], Find([Ledger[0], Ledger[2], Ledger[1], Ledger[3], Ledger[4]]));
        Assert.Equal(["act 4 is another one in the log"], Find([.. Ledger.Select(a => a.Seq == 4 ? a with { Payload = "{}" } : a)]));
        Assert.Equal(["act 1 is another one in the log"], Find([.. Ledger.Select(a => a.Seq == 1 ? a with { Epoch = "f" } : a)]));
        Assert.Equal(["act 6 of the log is not in the ledger"], Find([.. Ledger, new AuditedAct("e", 6, "{6}")]));

        static IReadOnlyList<string> Find(IReadOnlyList<AuditedAct> log) => AuditedActs.FindViolations(Ledger, log);
    }
}
