using ClawBureau.Protos.Audit.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.AuditSink.Tests;

public sealed class ListTests
{
    private static readonly Guid Epoch = Guid.NewGuid();

    public static TheoryData<string> Filters => ["token_hash", "subject", "owner_did", "mission_id", "run_id", "trace_id", "correlation_id", "kind", "two kinds", "source", "since", "until", "all of it", "nothing of it", "none"];

    [Theory]
    [MemberData(nameof(Filters))]
    public async Task A_list_has_exactly_what_matches_in_either_order_whatever_the_page(string what)
    {
        await using var audit = await AuditFixture.StartAsync();
        var told = await TellAsync(audit);
        EventFilter? filter = what switch
        {
            "token_hash" => new() { TokenHash = AuditFixture.TokenOf(17).ToString() },
            "subject" => new() { Subject = "did:key:z7" },
            "owner_did" => new() { OwnerDid = "did:key:zOwner1" },
            "mission_id" => new() { MissionId = "mission-3" },
            "run_id" => new() { RunId = "run-40" },
            "trace_id" => new() { TraceId = "trace-5" },
            "correlation_id" => new() { CorrelationId = "correlation-9" },
            "kind" => new() { Kinds = { "token.revoked" } },
            "two kinds" => new() { Kinds = { "token.revoked", "key.changed" } },
            "source" => new() { Source = "edge/a" },
            "since" => new() { Since = At(50) },
            "until" => new() { Until = At(8) },
            "all of it" => new() { MissionId = "mission-2", Subject = "did:key:z2", Kinds = { "token.issued" }, Source = "ledger", Since = At(10), Until = At(50) },
            "nothing of it" => new() { MissionId = "mission-2", Subject = "did:key:z3" },
            _ => null,
        };
        var expected = told.Where(t => Matches(filter ?? new EventFilter(), t)).Select(t => (t.Source, t.Event.Seq)).ToList();
        Assert.Equal(what == "nothing of it", expected.Count == 0);

        foreach (int pageSize in (int[])[1, 7, 1000])
        {
            Assert.Equal(expected, (await audit.ListAsync(filter, pageSize)).Select(e => (e.Source, e.Seq)));
            Assert.Equal(expected.AsEnumerable().Reverse(), (await audit.ListAsync(filter, pageSize, ascending: false)).Select(e => (e.Source, e.Seq)));
        }
    }

    [Fact]
    public async Task A_list_says_how_far_it_looked_and_pages_stay_put_while_the_log_grows()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 10));
        var request = new ListEventsRequest { Filter = new EventFilter { Kinds = { "token.issued" } }, PageSize = 4 };
        var page = await audit.Auditor.ListEventsAsync(request);
        Assert.Equal(10, page.IndexedThrough);
        Assert.Equal([10L, 9, 8, 7], page.Entries.Select(e => e.Seq));

        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 11, 10));
        request.PageToken = page.NextPageToken;
        page = await audit.Auditor.ListEventsAsync(request);

        Assert.Equal([6L, 5, 4, 3], page.Entries.Select(e => e.Seq));
    }

    [Fact]
    public async Task A_page_token_continues_its_own_list_and_no_other()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 10));
        var page = await audit.Auditor.ListEventsAsync(new ListEventsRequest { PageSize = 2 });
        foreach (var other in (ListEventsRequest[])
            [
                new() { PageSize = 2, Ascending = true, PageToken = page.NextPageToken },
                new() { PageSize = 2, Filter = new EventFilter { Source = "ledger" }, PageToken = page.NextPageToken },
                new() { PageToken = "????" },
                new() { PageToken = "AAAA" },
            ])
        {
            Assert.Equal(Reason.PageTokenInvalid, (await Refused(audit, other)).Reason);
        }
    }

    [Fact]
    public async Task Large_payloads_end_a_page_before_it_is_too_large_to_be_taken()
    {
        await using var audit = await AuditFixture.StartAsync();
        var request = new AppendEventsRequest { Source = "ledger", Epoch = Epoch.ToString() };
        for (long seq = 1; seq <= 60; seq++)
        {
            request.Events.Add(AuditFixture.Event(seq, payload: $"\"{new string('x', 30_000)}\""));
            if (seq % 20 != 0) continue;
            await audit.Issuer.AppendEventsAsync(request);
            request.Events.Clear();
        }
        var page = await audit.Auditor.ListEventsAsync(new ListEventsRequest { PageSize = 1000 });
        Assert.InRange(page.Entries.Count, 1, 59);
        Assert.NotEmpty(page.NextPageToken);
        Assert.Equal(60, (await audit.CheckAsync()).Count);
    }

    [Fact]
    public async Task Payloads_are_for_those_who_may_read_them()
    {
        var folder = Directory.CreateTempSubdirectory("claw-audit-keys-").FullName;
        var keys = Path.Combine(folder, "keys.json");
        try
        {
            string Hash(string key) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(key)));
            await File.WriteAllTextAsync(keys, $$"""
                [{"name":"auditor","sha256":"{{Hash("clawadm_auditor")}}","scopes":["audit:read"]},
                 {"name":"reader","sha256":"{{Hash("clawadm_reader")}}","scopes":["audit:read","audit:payload"]},
                 {"name":"revoker","sha256":"{{Hash("clawadm_revoker")}}","scopes":["tokens:revoke"]}]
                """);
            if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(keys, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            await using var audit = await AuditFixture.StartAsync(settings: new Dictionary<string, string?> { ["CLAW_ADMIN_KEYS_FILE"] = keys, ["SCOPE_ADMIN_KEY"] = null });
            await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 1));

            var auditor = Assert.Single(await audit.ListAsync(client: new(audit.Process.Channel("clawadm_auditor").Calls)));
            var reader = Assert.Single(await audit.ListAsync(client: new(audit.Process.Channel("clawadm_reader").Calls)));
            var op = Assert.Single(await audit.ListAsync(client: new(audit.Process.ServiceChannel("operator").Calls)));

            Assert.True(auditor.Payload.IsEmpty && auditor.Salt.IsEmpty);
            Assert.False(auditor.LeafHash.IsEmpty || auditor.Commitment.IsEmpty);
            Assert.Equal(AuditFixture.Event(1).Payload, reader.Payload);
            Assert.Equal(32, reader.Salt.Length);
            Assert.Equal(reader, op);
            foreach (var client in (AuditService.AuditServiceClient[])[new(audit.Process.Channel("clawadm_revoker").Calls), new(audit.Process.ServiceChannel("verifier").Calls), new(audit.Process.ServiceChannel("edge").Calls), new(audit.Process.Channel(null).Calls)])
                await Assert.ThrowsAsync<Refusal>(async () => await client.ListEventsAsync(new ListEventsRequest()));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("page size", Reason.InvalidRequest)]
    [InlineData("token hash", Reason.InvalidTokenHash)]
    [InlineData("source", Reason.InvalidRequest)]
    [InlineData("time", Reason.InvalidRequest)]
    public async Task A_list_that_asks_for_what_cannot_be_is_refused(string what, Reason reason)
    {
        await using var audit = await AuditFixture.StartAsync();
        var request = what switch
        {
            "page size" => new ListEventsRequest { PageSize = 1001 },
            "token hash" => new ListEventsRequest { Filter = new EventFilter { TokenHash = "abc" } },
            "source" => new ListEventsRequest { Filter = new EventFilter { Source = "no source" } },
            _ => new ListEventsRequest { Filter = new EventFilter { Since = new Timestamp { Seconds = long.MaxValue } } },
        };
        Assert.Equal(reason, (await Refused(audit, request)).Reason);
    }

    private static Timestamp At(long seq) => AuditFixture.Event(seq).RecordedAt;

    private static async Task<Refusal> Refused(AuditFixture audit, ListEventsRequest request) => await Assert.ThrowsAsync<Refusal>(async () => await audit.Auditor.ListEventsAsync(request));

    /// <summary>Runs of many lengths, of two sources, by turns.</summary>
    private static async Task<List<(string Source, AuditEvent Event)>> TellAsync(AuditFixture audit)
    {
        var edge = new AuditService.AuditServiceClient(audit.Process.ServiceChannel("edge").Calls);
        var told = new List<(string Source, AuditEvent Event)>();
        long ledger = 1, other = 1;
        foreach (int count in (int[])[1, 5, 2, 13, 1, 1, 30, 7])
        {
            var request = new AppendEventsRequest { Source = "ledger", Epoch = Epoch.ToString() };
            for (int i = 0; i < count; i++, ledger++)
                request.Events.Add(AuditFixture.Event(ledger, ledger % 9 == 0 ? "key.changed" : ledger % 4 == 0 ? "token.revoked" : "token.issued"));
            await audit.Issuer.AppendEventsAsync(request);
            told.AddRange(request.Events.Select(e => ("ledger", e)));
            request = AuditFixture.Request(Epoch, other, 2, "edge/a");
            await edge.AppendEventsAsync(request);
            told.AddRange(request.Events.Select(e => ("edge/a", e)));
            other += 2;
        }
        return told;
    }

    private static bool Matches(EventFilter filter, (string Source, AuditEvent Event) told)
    {
        var (source, e) = told;
        return Same(filter.TokenHash, Convert.ToHexStringLower(e.Keys.TokenHash.Span)) && Same(filter.Subject, e.Keys.Subject) && Same(filter.OwnerDid, e.Keys.OwnerDid)
            && Same(filter.MissionId, e.Keys.MissionId) && Same(filter.RunId, e.Keys.RunId) && Same(filter.TraceId, e.Keys.TraceId) && Same(filter.CorrelationId, e.Keys.CorrelationId)
            && Same(filter.Source, source) && (filter.Kinds.Count == 0 || filter.Kinds.Contains(e.Kind))
            && (filter.Since is null || e.RecordedAt >= filter.Since) && (filter.Until is null || e.RecordedAt < filter.Until);

        static bool Same(string asked, string value) => asked.Length == 0 || asked == value;
    }
}
