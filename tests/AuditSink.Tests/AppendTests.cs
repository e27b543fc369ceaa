using System.Text;
using ClawBureau.Hosting.Health;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace ClawBureau.AuditSink.Tests;

public sealed class AppendTests
{
    private static readonly Guid Epoch = Guid.NewGuid();

    [Fact]
    public async Task Events_are_appended_once_and_in_order_and_the_cursor_says_how_far()
    {
        await using var audit = await AuditFixture.StartAsync();
        var nothing = await audit.Issuer.GetSourceCursorAsync(new GetSourceCursorRequest { Source = "ledger" });
        Assert.Equal(("", 0L), (nothing.Epoch, nothing.LastSeq));

        var first = await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 10));
        var second = await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 11, 1));

        Assert.Equal((10L, 0, 10L), (first.LastSeq, first.AlreadyPresent, first.TreeSize));
        Assert.Equal((11L, 0, 11L), (second.LastSeq, second.AlreadyPresent, second.TreeSize));
        var entries = await audit.CheckAsync();
        Assert.Equal(Enumerable.Range(1, 11).Select(i => (long)i), entries.Select(e => e.Seq));
        var cursor = await audit.Issuer.GetSourceCursorAsync(new GetSourceCursorRequest { Source = "ledger" });
        Assert.Equal((Epoch.ToString(), 11L, entries[^1].LeafHash), (cursor.Epoch, cursor.LastSeq, cursor.LastLeafHash));
    }

    [Fact]
    public async Task What_the_log_has_is_passed_over_and_what_is_new_behind_it_appended()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 5));

        var again = await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 5));
        var overlapping = await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 4, 6));

        Assert.Equal((5L, 5), (again.LastSeq, again.AlreadyPresent));
        Assert.Equal((9L, 2), (overlapping.LastSeq, overlapping.AlreadyPresent));
        Assert.Equal(9, (await audit.CheckAsync()).Count);
    }

    [Fact]
    public async Task A_gap_is_refused_and_the_refusal_names_what_is_expected()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 3));

        var gap = await Refused(audit.Issuer, AuditFixture.Request(Epoch, 5, 1));
        var notTheFirst = await Refused(new(audit.Process.ServiceChannel("edge").Calls), AuditFixture.Request(Guid.NewGuid(), 2, 1, "edge/one"));

        Assert.Equal((Reason.AuditSourceGap, "4"), (gap.Reason, gap.Metadata["expected_seq"]));
        Assert.Equal((Reason.AuditSourceGap, "1"), (notTheFirst.Reason, notTheFirst.Metadata["expected_seq"]));
        Assert.Equal(3, (await audit.CheckAsync()).Count);
    }

    [Fact]
    public async Task Another_event_under_a_number_that_stands_is_a_conflict_and_never_silent()
    {
        await using var audit = await AuditFixture.StartAsync();
        audit.Process.ExpectsErrors = true;
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 3));
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 4, 3));
        var other = AuditFixture.Request(Epoch, 3, 5);
        other.Events[2].Payload = ByteString.CopyFromUtf8("{}");
        var otherTime = AuditFixture.Request(Epoch, 6, 2);
        otherTime.Events[0].RecordedAt.Nanos++;

        Assert.Equal(Reason.AuditEventConflict, (await Refused(audit.Issuer, other)).Reason);
        Assert.Equal(Reason.AuditEventConflict, (await Refused(audit.Issuer, otherTime)).Reason);

        Assert.Equal(6, (await audit.CheckAsync()).Count);
        Assert.Contains(audit.Process.Logs, line => line.Contains("audit.conflict", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_ledger_has_one_epoch_at_a_time_and_another_one_only_where_it_continues_that()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 5));
        var next = Guid.NewGuid();

        Assert.Equal(Reason.AuditSourceEpochMismatch, (await Refused(audit.Issuer, AuditFixture.Request(next, 1, 1))).Reason);
        Assert.Equal(Reason.AuditSourceEpochMismatch, (await Refused(audit.Issuer, Continuing(next, 6, 1, Guid.NewGuid(), 5))).Reason);
        var tooEarly = await Refused(audit.Issuer, Continuing(next, 8, 1, Epoch, 7));
        Assert.Equal((Reason.AuditSourceGap, "6"), (tooEarly.Reason, tooEarly.Metadata["expected_seq"]));

        var opened = await audit.Issuer.AppendEventsAsync(Continuing(next, 6, 2, Epoch, 5));
        var repeated = await audit.Issuer.AppendEventsAsync(Continuing(next, 6, 2, Epoch, 5));

        Assert.Equal((7L, 0), (opened.LastSeq, opened.AlreadyPresent));
        Assert.Equal((7L, 2), (repeated.LastSeq, repeated.AlreadyPresent));
        Assert.Equal(Reason.AuditSourceEpochMismatch, (await Refused(audit.Issuer, AuditFixture.Request(Epoch, 6, 1))).Reason);
        Assert.Equal(next.ToString(), (await audit.Issuer.GetSourceCursorAsync(new GetSourceCursorRequest { Source = "ledger" })).Epoch);
        Assert.Equal(7, (await audit.CheckAsync()).Count);

        static AppendEventsRequest Continuing(Guid epoch, long first, int count, Guid previous, long last)
        {
            var request = AuditFixture.Request(epoch, first, count);
            (request.PreviousEpoch, request.PreviousLastSeq) = (previous.ToString(), last);
            return request;
        }
    }

    [Fact]
    public async Task A_volatile_source_begins_with_1_at_each_start_and_is_complete_within_it()
    {
        await using var audit = await AuditFixture.StartAsync();
        var edge = new AuditService.AuditServiceClient(audit.Process.ServiceChannel("edge").Calls);
        var (one, two) = (Guid.NewGuid(), Guid.NewGuid());

        await edge.AppendEventsAsync(AuditFixture.Request(one, 1, 2, "edge/a"));
        await edge.AppendEventsAsync(AuditFixture.Request(two, 1, 2, "edge/a"));
        await edge.AppendEventsAsync(AuditFixture.Request(one, 3, 1, "edge/a"));        // the former start's last words, late

        var entries = await audit.CheckAsync();
        Assert.Equal([1L, 2, 3], entries.Where(e => e.Epoch == one.ToString()).Select(e => e.Seq));
        Assert.Equal([1L, 2], entries.Where(e => e.Epoch == two.ToString()).Select(e => e.Seq));
    }

    [Fact]
    public async Task A_service_appends_as_the_source_its_certificate_names_and_nobody_else_appends()
    {
        await using var audit = await AuditFixture.StartAsync();
        var edge = new AuditService.AuditServiceClient(audit.Process.ServiceChannel("edge").Calls);
        var issuer = audit.Issuer;

        Assert.Equal(Reason.AuditSourceUnknown, (await Refused(edge, AuditFixture.Request(Epoch, 1, 1))).Reason);
        Assert.Equal(Reason.AuditSourceUnknown, (await Refused(edge, AuditFixture.Request(Epoch, 1, 1, "verifier/a"))).Reason);
        Assert.Equal(Reason.AuditSourceUnknown, (await Refused(issuer, AuditFixture.Request(Epoch, 1, 1, "issuer/../x"))).Reason);
        Assert.Equal(Reason.AuditSourceUnknown, (await Refused(new(audit.Process.ServiceChannel("operator").Calls), AuditFixture.Request(Epoch, 1, 1))).Reason);
        Assert.Equal(Reason.CallerNotAllowed, (await Refused(audit.Auditor, AuditFixture.Request(Epoch, 1, 1))).Reason);
        Assert.Equal(Reason.AuditSourceUnknown, (await Assert.ThrowsAsync<Refusal>(async () => await edge.GetSourceCursorAsync(new GetSourceCursorRequest { Source = "ledger" }))).Reason);
        Assert.Equal("ledger", (await audit.Auditor.GetSourceCursorAsync(new GetSourceCursorRequest { Source = "ledger" })).Source);
        Assert.Empty(await audit.CheckAsync());
    }

    [Theory]
    [InlineData("no events", Reason.InvalidRequest)]
    [InlineData("too many events", Reason.BatchTooLarge)]
    [InlineData("seq from 0", Reason.InvalidRequest)]
    [InlineData("a hole within", Reason.InvalidRequest)]
    [InlineData("no epoch", Reason.InvalidRequest)]
    [InlineData("no kind", Reason.InvalidRequest)]
    [InlineData("no time", Reason.InvalidRequest)]
    [InlineData("no JSON", Reason.InvalidRequest)]
    [InlineData("two values", Reason.InvalidRequest)]
    [InlineData("a large payload", Reason.AuditEventTooLarge)]
    [InlineData("large keys", Reason.AuditEventTooLarge)]
    [InlineData("a short hash", Reason.InvalidRequest)]
    public async Task An_event_out_of_form_is_refused_with_its_whole_batch(string what, Reason reason)
    {
        await using var audit = await AuditFixture.StartAsync();
        var request = AuditFixture.Request(Epoch, 1, 3);
        var last = request.Events[2];
        switch (what)
        {
            case "no events": request.Events.Clear(); break;
            case "too many events":
                request.Events.Clear();
                request.Events.AddRange(Enumerable.Range(1, 4097).Select(seq => new AuditEvent { Seq = seq }));
                break;
            case "seq from 0": request.Events.Insert(0, AuditFixture.Event(0)); break;
            case "a hole within": last.Seq = 4; break;
            case "no epoch": request.Epoch = "one"; break;
            case "no kind": last.Kind = "Token Issued"; break;
            case "no time": last.RecordedAt = null; break;
            case "no JSON": last.Payload = ByteString.CopyFromUtf8("{"); break;
            case "two values": last.Payload = ByteString.CopyFromUtf8("{}{}"); break;
            case "a large payload": last.Payload = ByteString.CopyFromUtf8($"\"{new string('x', 32_768)}\""); break;
            case "large keys": last.Keys.Subject = new string('x', 9000); break;
            case "a short hash": last.Keys.TokenHash = ByteString.CopyFrom(1, 2, 3); break;
        }

        Assert.Equal(reason, (await Refused(audit.Issuer, request)).Reason);
        Assert.Empty(await audit.CheckAsync());
    }

    [Fact]
    public async Task Two_replicas_that_are_told_the_same_append_each_event_once()
    {
        await using var audit = await AuditFixture.StartAsync();
        var second = await audit.AddReplicaAsync();
        AuditService.AuditServiceClient[] replicas = [audit.Issuer, new(second.ServiceChannel("issuer").Calls)];

        // Each tells all of it, in pieces of its own, and every edge of its own besides.
        await Task.WhenAll(replicas.SelectMany((replica, r) => new[] { TellLedgerAsync(replica, 7 + 4 * r), TellEdgeAsync(r) }));

        var entries = await audit.CheckAsync();
        Assert.Equal(500, entries.Count(e => e.Source == "ledger"));
        Assert.Equal(200, entries.Count(e => e.Source.StartsWith("edge/", StringComparison.Ordinal)));

        async Task TellLedgerAsync(AuditService.AuditServiceClient replica, int piece)
        {
            for (long seq = 1; seq <= 500;)
            {
                var answer = await replica.AppendEventsAsync(AuditFixture.Request(Epoch, seq, (int)Math.Min(piece, 501 - seq)));
                seq = answer.LastSeq + 1;
            }
        }

        async Task TellEdgeAsync(int r)
        {
            var edge = new AuditService.AuditServiceClient((r == 0 ? audit.Process : second).ServiceChannel("edge").Calls);
            var epoch = Guid.NewGuid();
            for (int i = 0; i < 20; i++) await edge.AppendEventsAsync(AuditFixture.Request(epoch, 1 + 5 * i, 5, $"edge/{r}"));
        }
    }

    [Fact]
    public async Task A_commit_whose_answer_is_lost_is_found_and_answered_as_what_it_is()
    {
        PostgresProxy? wire = null;
        await using var audit = await AuditFixture.StartAsync(through: connection => (wire = new PostgresProxy(connection)).ConnectionString);
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 1));

        var lost = wire!.LoseAnswer(passing: 0);
        var answer = await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 2, 3));
        await lost;

        Assert.Equal((4L, 0, 4L), (answer.LastSeq, answer.AlreadyPresent, answer.TreeSize));
        Assert.Equal(4, (await audit.CheckAsync()).Count);
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task While_the_database_is_away_nothing_is_acknowledged_and_afterwards_nothing_is_missing()
    {
        PostgresProxy? wire = null;
        await using var audit = await AuditFixture.StartAsync(
            through: connection => (wire = new PostgresProxy(connection)).ConnectionString,
            tune: o => new AuditSinkOptions { Database = o.Database, RetryWithin = TimeSpan.FromMilliseconds(200) });
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 2));

        await wire!.CutAsync();
        Assert.Equal(Reason.AuditUnavailable, (await Refused(audit.Issuer, AuditFixture.Request(Epoch, 3, 2))).Reason);
        wire.Mend();
        await AuditFixture.WaitUntilReadyAsync(audit.Process);
        var answer = await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 3, 2));

        Assert.Equal(4, answer.LastSeq);
        Assert.Equal(4, (await audit.CheckAsync()).Count);
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task A_full_queue_refuses_and_loses_nothing_that_was_accepted()
    {
        await using var audit = await AuditFixture.StartAsync(tune: o => new AuditSinkOptions { Database = o.Database, QueueEvents = 100, RetryWithin = TimeSpan.FromMinutes(1) });
        var edge = new AuditService.AuditServiceClient(audit.Process.ServiceChannel("edge").Calls);
        // The head is held, so the first batch waits and what follows queues up.
        await using var holder = await audit.Admin.OpenConnectionAsync();
        await using var held = await holder.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("SELECT 1 FROM audit.head FOR UPDATE", holder)) await hold.ExecuteNonQueryAsync();

        List<Task<AppendEventsResponse>> told = [Tell(0)];
        await Eventually.HoldsAsync("the first one waits for the head", async () => await audit.ScalarAsync<long>("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
        told.AddRange(Enumerable.Range(1, 7).Select(Tell));
        // Of forty events each, two more fit into the queue.
        await Eventually.HoldsAsync("the others are refused", () => told.Count(t => t.IsFaulted) == 5);
        await held.CommitAsync();
        await Task.WhenAll(told.Select(t => ((Task)t).ContinueWith(_ => { }, TaskScheduler.Default)));

        Task<AppendEventsResponse> Tell(int i) => edge.AppendEventsAsync(AuditFixture.Request(Guid.NewGuid(), 1, 40, $"edge/{i}")).ResponseAsync;

        Assert.All(told.Where(t => t.IsFaulted), t => Assert.Equal(Reason.AuditOverloaded, Assert.IsType<Refusal>(t.Exception!.InnerException).Reason));
        Assert.Equal(told.Count(t => t.IsCompletedSuccessfully) * 40, (await audit.CheckAsync()).Count);
    }

    [Fact]
    public async Task A_tree_that_does_not_fit_together_is_not_appended_to()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 5));
        await audit.StopAsync();
        // One bit of a stored leaf hash, by somebody who can.
        await audit.ExecuteAsync("ALTER TABLE audit.runs DISABLE TRIGGER append_only; UPDATE audit.runs SET leaf_hashes = set_bit(leaf_hashes, 77, 1 - get_bit(leaf_hashes, 77)); ALTER TABLE audit.runs ENABLE TRIGGER append_only");

        (await audit.AddReplicaAsync(untilReady: false)).ExpectsErrors = true;
        var refused = await Refused(audit.Issuer, AuditFixture.Request(Epoch, 6, 1));

        Assert.False(audit.Process.Services.GetRequiredService<Readiness>().IsReady);
        Assert.Equal(Reason.AuditUnavailable, refused.Reason);
        Assert.Contains(audit.Process.Logs, line => line.Contains("audit.corrupt", StringComparison.Ordinal));
        Assert.Equal(5L, (await audit.HeadAsync()).Size);
    }

    [Fact]
    public async Task Whoever_connects_with_more_than_the_grants_still_meets_the_fence()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 2));
        foreach (var sql in (string[])["UPDATE audit.runs SET source = 'x'", "DELETE FROM audit.runs"])
            Assert.Contains("only ever added to", (await Assert.ThrowsAsync<PostgresException>(() => audit.ExecuteAsync(sql))).MessageText, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Leaves_are_canonical_and_show_nothing_of_the_payload()
    {
        await using var audit = await AuditFixture.StartAsync();
        await audit.Issuer.AppendEventsAsync(AuditFixture.Request(Epoch, 1, 1));
        var entry = Assert.Single(await audit.CheckAsync());
        var text = Encoding.UTF8.GetString(entry.Leaf.Span);
        Assert.Equal(entry.Leaf.ToByteArray(), CanonicalJson.Of(entry.Leaf.Span));
        Assert.Equal($$"""{"commitment":"{{Base64UrlText.Encode(entry.Commitment.ToByteArray())}}","epoch":"{{Epoch}}","kind":"token.issued","recorded_at":"2027-01-15T08:00:01.123456000Z","seq":1,"source":"ledger","v":1}""", text);
        Assert.DoesNotContain("jti-1", text, StringComparison.Ordinal);
        // The same event again elsewhere has another commitment: salts are not reused.
        await new AuditService.AuditServiceClient(audit.Process.ServiceChannel("edge").Calls).AppendEventsAsync(AuditFixture.Request(Epoch, 1, 1, "edge/a"));
        Assert.Equal(2, (await audit.ListAsync()).Select(e => e.Commitment).Distinct().Count());
    }

    private static async Task<Refusal> Refused(AuditService.AuditServiceClient client, AppendEventsRequest request) =>
        await Assert.ThrowsAsync<Refusal>(async () => await client.AppendEventsAsync(request));
}
