using System.Text.Json;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>
/// A base backup of PostgreSQL put back under processes that live on, and `claw ledger recover` as an operator runs it
/// (docs/recovery.md; DESIGN "Epoch").
/// </summary>
public sealed class RestoreTests
{
    private const string Blocked = "a mission blocked before", Lifted = "a mission lifted after", Late = "a mission blocked after";

    [Theory]
    [InlineData(false)]     // the copy as it was, on the same timeline: only who remembers can tell
    [InlineData(true)]      // recovered to a point in time: another timeline
    public async Task After_a_restore_nobody_is_served_until_recovery_and_then_nothing_revoked_is_forgotten(bool toAPointInTime)
    {
        await using var suite = await RestorableStack.StartAsync(auditApart: true);
        var (living, dead) = (await suite.IssueAsync(6), await suite.IssueAsync(6));
        await suite.RevokeAsync(dead);
        foreach (var mission in (string[])[Blocked, Lifted]) await suite.BlockAsync(mission);
        await suite.WaitUntilAuditedAsync();
        var backup = suite.BackUp();
        await TellMoreAsync();
        if (toAPointInTime) await BaseBackup.NameAsync(suite.Database, "noon");
        await TellMoreAsync();
        await suite.LiftAsync(Lifted);
        var lateOnes = await suite.IssueAsync(2, Late);
        await suite.BlockAsync(Late);
        dead.AddRange(lateOnes);
        if (!toAPointInTime) await PutPolicyAsync(suite);
        living.AddRange(await suite.IssueAsync(2, Lifted));
        await suite.WaitUntilAuditedAsync();
        await suite.WaitUntilFollowedAsync();
        var known = suite.Followers.Select(f => f.Revocations.ReadAll().ToList()).ToList();
        Assert.All(known, k => Assert.Equal(dead.Count - lateOnes.Count + 3, k.Count));
        var former = await suite.ReadHeadAsync();
        var processes = suite.Stack.Services.Where(s => s != suite.Sink).Select(s => s.Process.Id).ToList();
        var watcher = new FeedService.FeedServiceClient(suite.Channel(suite.Of("introspector")[0]).Calls);
        using var watch = watcher.WatchRevocations();
        await watch.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = new Start() });
        await watch.ResponseStream.MoveNext(CancellationToken.None);

        await suite.Database.StopAsync();
        Ran recovered;
        await using (var asking = suite.AskEverybody(living[0].Token))
        {
            await (toAPointInTime ? backup.RestoreToAsync("noon") : backup.RestoreAsync());
            await asking.UntilRefusedAsync(Reason.LedgerNeedsRecovery);
            await Assert.ThrowsAnyAsync<Exception>(async () => { while (await watch.ResponseStream.MoveNext(CancellationToken.None)) { } });
            var restored = await suite.ReadHeadAsync();
            Assert.True(restored.Seq < former.Seq && restored.Epoch == former.Epoch);

            await IsWrongUsageAsync(suite);
            // The sink dies while its events are asked for: nothing is changed.
            Signals.Send("STOP", suite.Sink.Process);
            using (var cut = new RunningClaw(["ledger", "recover", "--wait", "200ms", "--state", suite.Stack.StateFolder]))
            {
                await cut.PrintsAsync($"epoch {former.Epoch} ends with act {restored.Seq}");
                await RestorableStack.KillAsync(suite.Sink);
                var ran = await cut.WaitAsync(TimeSpan.FromSeconds(60));
                Assert.True(ran.Code == 3 && ran.Out.Length == 0, ran.All);
                Assert.Contains("audit-sink", ran.Error, StringComparison.Ordinal);
            }
            await suite.StartAgainAsync(suite.Sink);
            if (!toAPointInTime)
            {
                // What a policy said is not in its event.
                var refused = await suite.RunAsync("ledger", "recover", "--json");
                Assert.True(refused.Code == 1 && refused.Out.Length == 0, refused.All);
                Assert.Contains("Nothing was changed", refused.Error, StringComparison.Ordinal);
                Assert.Contains("1 policy.put", refused.Error, StringComparison.Ordinal);
                Assert.Contains("--accept-lost-effects", refused.Error, StringComparison.Ordinal);
            }
            Assert.Equal(restored, await suite.ReadHeadAsync());
            await asking.UntilRefusedAsync(Reason.LedgerNeedsRecovery);
            Assert.Empty(asking.Served);
        }
        recovered = toAPointInTime ? await suite.RunAsync("ledger", "recover") : await suite.RunAsync("ledger", "recover", "--accept-lost-effects", "--json");

        Assert.True(recovered.Code == 0, recovered.All);
        Assert.Contains($"epoch {former.Epoch} ends with act", recovered.Error, StringComparison.Ordinal);
        if (toAPointInTime)
        {
            Assert.StartsWith("recovered\n", recovered.Out, StringComparison.Ordinal);
            Assert.Contains($"which continues {former.Epoch} after act {former.Seq}", recovered.Out, StringComparison.Ordinal);
            Assert.Contains("6 token.revoked", recovered.Out, StringComparison.Ordinal);
        }
        else
        {
            var told = JsonDocument.Parse(recovered.LastLine).RootElement;
            Assert.Equal(CliPage.Shape(CliPage.Sections["ledger recover"].Json!.Value).Where(IsFixed).Order(), CliPage.Shape(told).Where(IsFixed).Order());
            Assert.Equal((former.Epoch, former.Seq, 0L, false), (told.GetProperty("previous_epoch").GetGuid(), told.GetProperty("previous_last_seq").GetInt64(), told.GetProperty("lost").GetInt64(), told.GetProperty("revoked_all").GetBoolean()));
            Assert.Equal((12, 1), (told.GetProperty("replayed").GetProperty("token.revoked").GetInt32(), told.GetProperty("not_reapplied").GetProperty("policy.put").GetInt32()));
        }
        // The sink dies again, before or while it is told of the new epoch.
        await RestorableStack.KillAsync(suite.Sink);
        await suite.StartAgainAsync(suite.Sink);

        await suite.WaitUntilServedAsync();
        var now = await suite.ReadHeadAsync();
        Assert.NotEqual(former.Epoch, now.Epoch);
        await suite.WaitUntilFollowedAsync();
        foreach (var (before, follower) in known.Zip(suite.Followers)) Assert.Empty(RestorableStack.FindForgotten(before, follower.Revocations.ReadAll()));
        foreach (var token in dead) Assert.All(await suite.JudgeAsync(token), answer => Assert.True(answer.Revoked, $"{answer.Who} forgot"));
        foreach (var token in living) Assert.All(await suite.JudgeAsync(token), answer => Assert.False(answer.Revoked, $"{answer.Who} made up a revocation"));
        foreach (var mission in (string[])[Blocked, Late])
            Assert.Equal(Reason.MissionBlocked, (await Assert.ThrowsAsync<Refusal>(() => suite.IssueAsync(1, mission))).Reason);
        await suite.IssueAsync(1, Lifted);
        await IsToldToStartOverAsync(watcher, former);
        var acknowledged = await suite.RunAsync("revoke", "--token", living[0].Token, "--wait", "20s");
        Assert.True(acknowledged.Code == 0, acknowledged.All);
        Assert.Contains("applied everywhere", acknowledged.Out, StringComparison.Ordinal);
        Assert.Equal(processes, suite.Stack.Services.Where(s => s != suite.Sink).Select(s => s.Process.Id));
        await suite.CheckAuditedAsync();

        async Task TellMoreAsync()
        {
            var (more, taken) = (await suite.IssueAsync(4), await suite.IssueAsync(4));
            taken.AddRange(living.Take(2));
            living.RemoveRange(0, 2);
            await suite.RevokeAsync(taken);
            living.AddRange(more);
            dead.AddRange(taken);
        }
    }

    [Fact]
    public async Task Where_the_audit_log_went_back_with_the_ledger_only_revoking_everything_is_left()
    {
        await using var suite = await RestorableStack.StartAsync(auditApart: false);
        var tokens = await suite.IssueAsync(4);
        await suite.RevokeAsync(tokens.Take(1));
        await suite.WaitUntilAuditedAsync();
        var backup = suite.BackUp();
        tokens.AddRange(await suite.IssueAsync(4));
        await suite.RevokeAsync(tokens.Skip(1).Take(1));
        await suite.WaitUntilFollowedAsync();
        var known = suite.Followers.Select(f => f.Revocations.ReadAll().ToList()).ToList();
        var former = await suite.ReadHeadAsync();

        await suite.Database.StopAsync();
        await using (var asking = suite.AskEverybody(tokens[^1].Token))
        {
            await backup.RestoreAsync();
            await asking.UntilRefusedAsync(Reason.LedgerNeedsRecovery);
            foreach (var flags in (string[][])[[], ["--nothing-lost"]])
            {
                var refused = await suite.RunAsync(["ledger", "recover", "--wait", "500ms", .. flags]);
                Assert.True(refused.Code == 1 && refused.Out.Length == 0, refused.All);
                Assert.Contains($"acts were recorded up to {former.Seq}, and neither this ledger nor the audit log has any after", refused.Error, StringComparison.Ordinal);
                Assert.Contains("--revoke-all", refused.Error, StringComparison.Ordinal);
            }
            Assert.Empty(asking.Served);
        }
        var recovered = await suite.RunAsync("ledger", "recover", "--revoke-all", "--wait", "5s", "--json");

        Assert.True(recovered.Code == 0, recovered.All);
        var told = JsonDocument.Parse(recovered.LastLine).RootElement;
        Assert.True(told.GetProperty("revoked_all").GetBoolean());
        Assert.Equal(former.Seq - told.GetProperty("previous_last_seq").GetInt64(), told.GetProperty("lost").GetInt64());
        Assert.True(told.GetProperty("lost").GetInt64() >= 5);
        await suite.WaitUntilServedAsync();
        await suite.WaitUntilFollowedAsync();
        foreach (var token in tokens) Assert.All(await suite.JudgeAsync(token), answer => Assert.True(answer.Revoked, $"{answer.Who} lets a token of before pass"));
        foreach (var (before, follower) in known.Zip(suite.Followers)) Assert.Empty(RestorableStack.FindForgotten(before, follower.Revocations.ReadAll()));
        Assert.All(await suite.JudgeAsync((await suite.IssueAsync(1))[0]), answer => Assert.False(answer.Revoked));
        await suite.CheckAuditedAsync();
    }

    [Fact]
    public async Task After_a_failover_that_lost_nothing_the_operator_says_so_and_every_token_lives_on()
    {
        await using var suite = await RestorableStack.StartAsync(auditApart: true);
        await suite.WaitUntilAuditedAsync();
        var backup = suite.BackUp();
        var key = suite.Key();
        var issuance = new IssuanceService.IssuanceServiceClient(suite.Channel(suite.Of("issuer")[0]).Calls);
        await RestorableStack.KillAsync(suite.Sink);            // behind from now on
        var token = await Answered.ByAsync(() => issuance.IssueTokenAsync(RestorableStack.Request(key)));
        var revoked = (await suite.IssueAsync(1))[0];
        await suite.RevokeAsync([revoked]);
        var former = await suite.ReadHeadAsync();

        await suite.Database.StopAsync();
        await using (var asking = suite.AskEverybody(token.Token))
        {
            await backup.RestoreToAsync(null);
            await asking.UntilRefusedAsync(Reason.LedgerNeedsRecovery);
            await suite.StartAgainAsync(suite.Sink);
            var refused = await suite.RunAsync("ledger", "recover", "--wait", "500ms");
            Assert.True(refused.Code == 1, refused.All);
            Assert.Contains("before this ledger does", refused.Error, StringComparison.Ordinal);
            Assert.Contains("--nothing-lost", refused.Error, StringComparison.Ordinal);
            Assert.Empty(asking.Served);
        }
        var recovered = await suite.RunAsync("ledger", "recover", "--nothing-lost", "--wait", "500ms", "--json");

        Assert.True(recovered.Code == 0, recovered.All);
        var told = JsonDocument.Parse(recovered.LastLine).RootElement;
        Assert.Equal((former.Seq, 0L), (told.GetProperty("previous_last_seq").GetInt64(), told.GetProperty("lost").GetInt64()));
        Assert.Empty(told.GetProperty("replayed").EnumerateObject());
        await suite.WaitUntilServedAsync();
        Assert.Equal(token.Token, (await Answered.ByAsync(() => issuance.IssueTokenAsync(RestorableStack.Request(key)))).Token);
        Assert.All(await suite.JudgeAsync(token), answer => Assert.False(answer.Revoked));
        Assert.All(await suite.JudgeAsync(revoked), answer => Assert.True(answer.Revoked));
        await suite.CheckAuditedAsync();
    }

    [Fact]
    public async Task What_only_running_Introspectors_know_outlives_the_ledger_the_log_and_them()
    {
        await using var suite = await RestorableStack.StartAsync(auditApart: true);
        var tokens = await suite.IssueAsync(3);
        await suite.WaitUntilAuditedAsync();
        var backup = suite.BackUp();
        await RestorableStack.KillAsync(suite.Sink);            // it never hears of what follows
        await suite.RevokeAsync(tokens.Take(1));
        await suite.BlockAsync(Blocked);
        await suite.WaitUntilFollowedAsync();
        await suite.Database.StopAsync();
        await using (var asking = suite.AskEverybody(tokens[^1].Token))
        {
            await backup.RestoreAsync();
            await asking.UntilRefusedAsync(Reason.LedgerNeedsRecovery);
            Assert.Empty(asking.Served);
        }
        // Without the audit log nothing can be said; that is no reason to touch anything.
        var (away, without) = (await suite.ReadHeadAsync(), await suite.RunAsync("ledger", "recover", "--wait", "500ms"));
        Assert.True(without.Code == 3 && without.Out.Length == 0, without.All);
        Assert.Equal(away, await suite.ReadHeadAsync());
        await suite.StartAgainAsync(suite.Sink);
        var refused = await suite.RunAsync("ledger", "recover", "--wait", "500ms");
        Assert.True(refused.Code == 1, refused.All);

        var recovered = await suite.RunAsync("ledger", "recover", "--accept-lost-effects", "--wait", "10s");
        Assert.True(recovered.Code == 0, recovered.All);
        Assert.Contains("knew 2 revocations that nothing else had", recovered.Out, StringComparison.Ordinal);
        Assert.Contains("2 acts that nothing has any more", recovered.Out, StringComparison.Ordinal);

        // Those who remembered are gone; the ledger has it.
        foreach (var introspector in suite.Of("introspector"))
        {
            await RestorableStack.KillAsync(introspector);
            await suite.StartAgainAsync(introspector);
        }
        await suite.WaitUntilServedAsync();
        Assert.All(await suite.JudgeAsync(tokens[0]), answer => Assert.True(answer.Revoked, $"{answer.Who} forgot"));
        foreach (var token in tokens.Skip(1)) Assert.All(await suite.JudgeAsync(token), answer => Assert.False(answer.Revoked));
        Assert.Equal(Reason.MissionBlocked, (await Assert.ThrowsAsync<Refusal>(() => suite.IssueAsync(1, Blocked))).Reason);
        await suite.CheckAuditedAsync();
    }

    [Fact]
    public async Task However_often_the_sink_is_killed_while_it_is_told_every_act_stands_in_the_log_once()
    {
        await using var suite = await RestorableStack.StartAsync(auditApart: false);
        using var stop = new CancellationTokenSource();
        int told = 0;
        var load = Enumerable.Range(0, 6).Select(i => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await suite.RevokeAsync((await suite.IssueAsync(4)).Take(2));
                Interlocked.Increment(ref told);
            }
        })).ToList();
        for (int kill = 0; kill < 6; kill++)
        {
            long cursor = await ReadCursorAsync(suite);
            await Eventually.HoldsAsync("the log grows", async () =>
            {
                if (load.Find(l => l.IsFaulted) is { } failed) await failed;
                return await ReadCursorAsync(suite) > cursor;
            }, TimeSpan.FromSeconds(60));
            int before = Volatile.Read(ref told);
            await RestorableStack.KillAsync(suite.Sink);
            // What happens without it comes to it afterwards.
            await Eventually.HoldsAsync("acts are recorded without it", () => Volatile.Read(ref told) > before + 3, TimeSpan.FromSeconds(60));
            await suite.StartAgainAsync(suite.Sink);
        }
        await stop.CancelAsync();
        await Task.WhenAll(load);
        await suite.CheckAuditedAsync();
    }

    private static bool IsFixed(string member) => !member.StartsWith(".replayed.", StringComparison.Ordinal) && !member.StartsWith(".not_reapplied.", StringComparison.Ordinal);

    /// <summary>Wrong usage is told before anything is touched.</summary>
    private static async Task IsWrongUsageAsync(RestorableStack suite)
    {
        foreach (var (arguments, why) in new (string[], string)[]
        {
            (["--wait", "soon"], "--wait"),
            (["--wait", "0s"], "--wait"),
            (["--lose-everything"], "--lose-everything"),
            (["extra"], "extra"),
        })
        {
            var ran = await suite.RunAsync(["ledger", "recover", .. arguments]);
            Assert.True(ran.Code == 2 && ran.Out.Length == 0, ran.All);
            Assert.Contains(why, ran.Error, StringComparison.Ordinal);
        }
        var nowhere = await Claw.RunAsync("ledger", "recover", "--state", Path.Combine(suite.Stack.StateFolder, "nowhere"));
        Assert.True(nowhere.Code == 2, nowhere.All);
        Assert.Contains("CLAW_DATABASE", nowhere.Error, StringComparison.Ordinal);
        var elsewhere = await Claw.RunAsync(["ledger", "recover", "--state", suite.Stack.StateFolder], new Dictionary<string, string?> { ["CLAW_DATABASE"] = "Host=127.0.0.1;Port=1;Username=x;Password=x;Timeout=2" });
        Assert.True(elsewhere.Code == 3, elsewhere.All);
    }

    /// <summary>A watcher that resumes with a cursor of the epoch before.</summary>
    private static async Task IsToldToStartOverAsync(FeedService.FeedServiceClient feed, (Guid Epoch, long Seq, long RevocationSeq) former)
    {
        using var again = feed.WatchRevocations();
        await again.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = new Start { Epoch = former.Epoch.ToString(), AfterRevocationSeq = former.RevocationSeq } });
        Assert.True(await again.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal(Protos.Types.V1.Reason.FeedCursorForeignEpoch, again.ResponseStream.Current.Reset.Reason);
    }

    private static async Task PutPolicyAsync(RestorableStack suite)
    {
        var file = Path.Combine(suite.Stack.StateFolder, "policy.json");
        await File.WriteAllTextAsync(file, """{"version":"restored-1","tiers":{"default":{"allowed_scope_prefixes":["clawproxy:"],"max_ttl_seconds":3600}}}""");
        var put = await suite.RunAsync("policy", "put", file);
        Assert.True(put.Code == 0, put.All);
    }

    private static async Task<long> ReadCursorAsync(RestorableStack suite)
    {
        await using var ledger = await suite.OpenAdminAsync();
        await using var command = new NpgsqlCommand("SELECT coalesce(max(last_seq), 0) FROM audit.cursors WHERE source = 'ledger'", ledger);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
