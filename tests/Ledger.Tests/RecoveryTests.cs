using ClawBureau.Ledger.Reading;
using ClawBureau.Ledger.Recovery;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Npgsql;

namespace ClawBureau.Ledger.Tests;

/// <summary>A restored ledger serves nobody until it is recovered, and then nothing that was dead is alive.</summary>
public sealed class RecoveryTests
{
    private static readonly GroupKey Mission = GroupKey.Of(RevocationKind.Mission, "", "agent:main:dm");
    private static readonly GroupKey Subject = GroupKey.Of(RevocationKind.Subject, "", "did:key:zAgent");
    private static readonly GroupKey Everything = GroupKey.Of(RevocationKind.Everything, "", "");

    [Fact]
    public async Task A_ledger_recovered_from_the_audit_log_is_the_one_that_was_lost()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var before = await MintAsync(ledger);
        await ledger.ExecuteAsync("UPDATE ledger.head SET longest_ttl = 1");
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        await RecordAsync(ledger, Acts.Revoke(before.TokenHash));
        var after = await MintAsync(ledger);
        var byJti = await MintAsync(ledger);
        await RecordAsync(ledger, Acts.Revoke(jti: byJti.Claims.Jti));
        await RecordAsync(ledger, Acts.Revoke(TokenHash.Of("never issued")));
        await RecordAsync(ledger, Acts.Block(Mission));
        await MintAsync(ledger);
        await RecordAsync(ledger, Acts.Lift(Mission));
        await RecordAsync(ledger, Acts.Block(Subject));
        await RecordAsync(ledger, Acts.Block(Everything));
        await RecordAsync(ledger, Acts.Lift(Everything));
        await RecordAsync(ledger, Acts.Key(KeyState.VerifyOnly, KeyId.Parse("00112233445566ff")));
        await RecordAsync(ledger, Acts.Key(KeyState.Retired, KeyId.Parse("00112233445566ff")) with { Revoked = KeyId.Parse("00112233445566ff") });
        await backup.RestoreAsync();
        var lost = await DumpAsync(backup.Lost);
        Assert.NotEqual(lost, await DumpAsync(ledger.Database.Admin));

        var report = await new LedgerRecovery(ledger.Admin).ReplayAsync(await TailAsync(ledger, backup), nothingLost: false, acceptLostEffects: false, CancellationToken.None);

        Assert.Equal(lost, await DumpAsync(ledger.Database.Admin));
        Assert.True(await ledger.ScalarAsync<long>("SELECT max_iat FROM ledger.head") >= await ScalarAsync<long>(backup.Lost, "SELECT max_iat FROM ledger.head"));
        Assert.Equal(600, await ledger.ScalarAsync<long>("SELECT longest_ttl FROM ledger.head"));      // by which revocations of unknown tokens are kept
        Assert.Equal(3, report.Replayed["token.revoked"]);
        Assert.Empty(report.NotReapplied);
        Assert.Equal((0, false), (report.Remembered, report.RevokedAll));
        Assert.Equal(await ScalarAsync<long>(backup.Lost, "SELECT seq FROM ledger.head"), report.PreviousLastSeq.Value);
        // The writer that knew the old epoch goes on in the new one, and what was dead is dead.
        var next = await RecordAsync(ledger, Acts.Revoke(after.TokenHash));
        Assert.Equal((report.Epoch, report.PreviousLastSeq.Value + 1), (next.Epoch, next.Seq.Value));
        Assert.Equal(Verdict.Repeated, (await AppendAsync(ledger.Writer, Acts.Revoke(before.TokenHash))).Verdict);
        Assert.Equal(Verdict.Blocked, (await AppendAsync(ledger.Writer, Acts.Mint())).Verdict);
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_writer_that_knows_more_than_the_ledger_records_nothing_in_it_and_then_nobody_does()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var other = await ledger.StartWriterAsync();
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        await MintAsync(ledger);
        await backup.RestoreAsync();

        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));

        // It said so in the ledger itself, so the one that knew nothing is refused too.
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(other, Acts.Mint()));
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(other, Acts.Revoke(TokenHash.Of("x"))));
        await using var introspector = NpgsqlDataSource.Create(ledger.Database.Introspector);
        Assert.NotNull((await new LedgerReader(introspector).PollAsync(default, CancellationToken.None)).Unsound);
        Assert.Equal(1, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));
    }

    [Fact]
    public async Task A_writer_that_recorded_nothing_notices_by_what_it_saw()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var idle = await ledger.StartWriterAsync();
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        var mint = await RecordAsync(ledger, Acts.Mint());
        idle.Saw(mint.Epoch, mint.Seq);
        idle.Saw(mint.Epoch, new Seq(1));           // what was read earlier and arrives later
        Assert.Equal((mint.Epoch, mint.Seq), idle.Known);
        await backup.RestoreAsync();

        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(idle, Acts.Mint()));
        Assert.Equal(1, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"));
        Assert.Equal(mint.Seq.Value, await ledger.ScalarAsync<long>("SELECT seq FROM ledger.seen"));
    }

    [Fact]
    public async Task Acts_that_are_in_neither_the_ledger_nor_the_log_are_not_passed_over_in_silence()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await MintAsync(ledger);
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        await MintAsync(ledger);
        await MintAsync(ledger);
        await backup.RestoreAsync();
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));
        var tail = await TailAsync(ledger, backup);
        var recovery = new LedgerRecovery(ledger.Admin);

        // The log got one of the two; or it went back with the ledger and ends where that does.
        foreach (var after in (IReadOnlyList<AuditedEvent>[])[[tail.After[0]], []])
        {
            foreach (bool nothingLost in (bool[])[false, true])
            {
                var refusal = await Assert.ThrowsAsync<Refusal>(() => recovery.ReplayAsync(tail with { After = after }, nothingLost, acceptLostEffects: false, CancellationToken.None));
                Assert.Contains($"acts were recorded up to 4, and neither this ledger nor the audit log has any after {2 + after.Count}", refusal.Sentence, StringComparison.Ordinal);
            }
        }

        var report = await recovery.ReplayAsync(tail with { After = [tail.After[0]] }, nothingLost: false, acceptLostEffects: true, CancellationToken.None);
        Assert.Equal((1L, 3L), (report.Lost, report.PreviousLastSeq.Value));
        Assert.Equal(0L, await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.seen"));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task What_the_log_gives_back_in_full_is_not_lost_whoever_saw_it()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        await MintAsync(ledger);
        await backup.RestoreAsync();
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));

        var report = await new LedgerRecovery(ledger.Admin).ReplayAsync(await TailAsync(ledger, backup), nothingLost: false, acceptLostEffects: false, CancellationToken.None);

        Assert.Equal((0L, 2L), (report.Lost, report.PreviousLastSeq.Value));
    }

    [Fact]
    public async Task A_ledger_that_failed_over_twice_without_an_act_between_is_recovered_twice()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var recovery = new LedgerRecovery(ledger.Admin);
        var tail = new AuditedTail(await FirstAsync(ledger), []);
        await ledger.ExecuteAsync("UPDATE ledger.head SET timeline = timeline + 1");
        var first = await recovery.ReplayAsync(tail, nothingLost: false, acceptLostEffects: false, CancellationToken.None);
        await ledger.ExecuteAsync("UPDATE ledger.head SET timeline = timeline + 1");

        // The log has nothing of the epoch that is now to be continued.
        var state = await recovery.BeginAsync(CancellationToken.None);
        Assert.Equal(first.Epoch, state.Epoch);
        Assert.True(state.Reaches(tail.Anchor!.Epoch, tail.Anchor.Seq));
        Assert.False(state.Reaches(tail.Anchor.Epoch, new Seq(2)));
        var second = await recovery.ReplayAsync(tail, nothingLost: false, acceptLostEffects: false, CancellationToken.None);

        Assert.Equal((first.Epoch, 1L), (second.PreviousEpoch, second.PreviousLastSeq.Value));
        Assert.True(await new LedgerReader(ledger.Admin).ContinuesAsync(tail.Anchor.Epoch, CancellationToken.None));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_backup_from_before_an_earlier_recovery_becomes_the_continuation_of_every_epoch_there_was(bool revokeAll)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var recovery = new LedgerRecovery(ledger.Admin);
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        var one = await RecordAsync(ledger, Acts.Mint());
        var log = await LogAsync(ledger.Admin);
        var middle = await recovery.ReplayAsync(new AuditedTail(log[^1], []), nothingLost: false, acceptLostEffects: false, CancellationToken.None);
        var two = await RecordAsync(ledger, Acts.Mint());
        Assert.Equal((middle.Epoch, 3L), (two.Epoch, two.Seq.Value));
        log = [.. log, (await LogAsync(ledger.Admin))[^1]];
        await backup.RestoreAsync();
        var state = await recovery.BeginAsync(CancellationToken.None);
        Assert.Equal((one.Epoch, 1L), (state.Epoch, state.Seq.Value));

        var report = revokeAll
            ? await recovery.RevokeAllAsync(middle.Epoch, CancellationToken.None)
            : await recovery.ReplayAsync(new AuditedTail(log[0], [.. log.Skip(1)]), nothingLost: false, acceptLostEffects: false, CancellationToken.None);

        Assert.Equal((middle.Epoch, revokeAll ? 1L : 3L), (report.PreviousEpoch, report.PreviousLastSeq.Value));
        // Whoever followed either of them goes on, the audit log's relay too.
        var reader = new LedgerReader(ledger.Admin);
        foreach (var former in (Guid[])[one.Epoch, middle.Epoch]) Assert.True(await reader.ContinuesAsync(former, CancellationToken.None));
        Assert.Equal(one.Epoch, await reader.FindFirstEpochAsync(CancellationToken.None));
        Assert.Equal((report.Epoch, report.PreviousLastSeq), await reader.FindSuccessorAsync(middle.Epoch, CancellationToken.None));
        Assert.Equal((middle.Epoch, new Seq(revokeAll ? 1 : 2)), await reader.FindSuccessorAsync(one.Epoch, CancellationToken.None));
        Assert.Equal(Verdict.Recorded, (await AppendAsync(ledger.Writer, Acts.Revoke(TokenHash.Of("x")))).Verdict);
    }

    [Theory]
    [InlineData("system_identifier = system_identifier + 1", "another cluster")]
    [InlineData("timeline = timeline + 1", "another timeline")]
    [InlineData("needs_recovery = 'because'", "because")]
    public async Task A_ledger_on_another_cluster_or_timeline_is_recognised_by_everybody(string how, string why)
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await ledger.ExecuteAsync($"UPDATE ledger.head SET {how}");

        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));
        await using var introspector = NpgsqlDataSource.Create(ledger.Database.Introspector);
        var reader = new LedgerReader(introspector);
        Assert.Contains(why, (await reader.PollAsync(default, CancellationToken.None)).Unsound, StringComparison.Ordinal);
        Assert.Contains(why, (await reader.ReadSnapshotAsync(_ => Assert.Fail("nothing may be read of it"), CancellationToken.None)).Unsound, StringComparison.Ordinal);
        Assert.Equal(Reason.LedgerNeedsRecovery, (await Assert.ThrowsAsync<Refusal>(() => reader.RequireSoundAsync(CancellationToken.None))).Reason);

        await new LedgerRecovery(ledger.Admin).RevokeAllAsync(audited: null, CancellationToken.None);
        Assert.Null((await reader.PollAsync(default, CancellationToken.None)).Unsound);
        await RecordAsync(ledger, Acts.Revoke(TokenHash.Of("x")));
    }

    [Fact]
    public async Task Without_the_log_everything_issued_so_far_is_revoked_and_new_tokens_are_good()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        long lostIat = DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 13;     // an Issuer's clock may be 2 s ahead, and what it dates after a cut 11 s more
        await RecordAsync(ledger, Acts.Mint(issuedAt: lostIat));
        await backup.RestoreAsync();

        var report = await new LedgerRecovery(ledger.Admin).RevokeAllAsync(audited: null, CancellationToken.None);

        Assert.True(report.RevokedAll);
        long cut = await ledger.ScalarAsync<long>($"SELECT cut FROM ledger.blocked_groups WHERE kind = {(int)RevocationKind.Everything} AND NOT blocked");
        Assert.True(cut >= lostIat);
        Assert.Equal(cut, await ledger.ScalarAsync<long>("SELECT cut FROM ledger.revocations ORDER BY revocation_seq DESC LIMIT 1"));
        Assert.Equal(Verdict.BeforeCut, (await AppendAsync(ledger.Writer, Acts.Mint(issuedAt: lostIat))).Verdict);
        await RecordAsync(ledger, Acts.Mint(issuedAt: cut + 1));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_block_of_everything_that_stands_is_not_lifted_by_recovery()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await RecordAsync(ledger, Acts.Block(Everything));
        await new LedgerRecovery(ledger.Admin).RevokeAllAsync(audited: null, CancellationToken.None);
        Assert.Equal(Verdict.Blocked, (await AppendAsync(ledger.Writer, Acts.Mint())).Verdict);
    }

    [Fact]
    public async Task What_a_follower_left_in_the_ledger_is_revoked_again()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        var (one, two) = (TokenHash.Of("one"), TokenHash.Of("two"));
        await RecordAsync(ledger, Acts.Revoke(one));
        await RecordAsync(ledger, Acts.Revoke(two));
        await RecordAsync(ledger, Acts.Block(Mission));
        await RecordAsync(ledger, Acts.Block(Subject));
        await RecordAsync(ledger, Acts.Lift(Subject));
        await backup.RestoreAsync();
        var known = new List<RevocationEntry>();
        await using (var lost = NpgsqlDataSource.Create(backup.Lost)) await new LedgerReader(lost).ReadSnapshotAsync(known.Add, CancellationToken.None);
        await using var introspector = NpgsqlDataSource.Create(ledger.Database.Introspector);
        var follower = new LedgerReader(introspector);
        var epoch = await ledger.ScalarAsync<Guid>("SELECT epoch FROM ledger.head");
        await follower.RememberAsync(epoch, known, CancellationToken.None);
        await follower.RememberAsync(epoch, known, CancellationToken.None);        // a second follower
        await follower.RememberAsync(Guid.NewGuid(), known, CancellationToken.None);       // one of another ledger

        // The log got as far as the first revocation; the rest only the follower has.
        var tail = await TailAsync(ledger, backup);
        var report = await new LedgerRecovery(ledger.Admin).ReplayAsync(tail with { After = [tail.After[0]] }, false, false, CancellationToken.None);

        Assert.Equal(3, report.Remembered);
        var now = new List<RevocationEntry>();
        await follower.ReadSnapshotAsync(now.Add, CancellationToken.None);
        Assert.Equal([one, two], now.Where(r => r.TokenHash is not null).Select(r => r.TokenHash!.Value));
        Assert.True(now.Single(r => r.Group == Mission).Blocked);
        Assert.False(now.Single(r => r.Group == Subject).Blocked);
        Assert.True(now.Single(r => r.Group == Subject).Cut >= known.Single(e => e.Group == Subject).Cut);
        Assert.Equal(0L, await ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.remembered"));
        Assert.Empty(await LedgerChecks.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task A_log_that_does_not_continue_this_ledger_changes_nothing()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        await MintAsync(ledger);
        await using var backup = await DatabaseBackup.TakeAsync(ledger.Database);
        await RecordAsync(ledger, Acts.Revoke(TokenHash.Of("a")));
        await RecordAsync(ledger, Acts.Controller("did:key:zController", frozen: true));
        await backup.RestoreAsync();
        var tail = await TailAsync(ledger, backup);
        var recovery = new LedgerRecovery(ledger.Admin);
        var state = await recovery.BeginAsync(CancellationToken.None);
        Assert.Equal(2, state.Seq.Value);

        foreach (var (bad, why) in new (AuditedTail, string)[]
        {
            (tail with { Anchor = tail.Anchor! with { Payload = "{}"u8.ToArray() } }, "is not the one the audit log has"),
            (tail with { Anchor = tail.Anchor with { Epoch = Guid.NewGuid() } }, "is not the one the audit log has"),
            (tail with { Anchor = null }, "knows nothing of this ledger"),
            (new AuditedTail(null, []), "knows nothing of this ledger"),
            (tail with { After = [tail.After[1]] }, "goes on with event 4 where this ledger needs 3"),
            (tail with { After = [tail.After[0] with { Kind = "token.borrowed" }] }, "which this build does not know"),
            (tail, "whose effect cannot be made to hold"),
            (new AuditedTail(await FirstAsync(ledger), []), "ends with event 1, before this ledger does"),
        })
        {
            var refusal = await Assert.ThrowsAsync<Refusal>(() => recovery.ReplayAsync(bad, nothingLost: false, acceptLostEffects: false, CancellationToken.None));
            Assert.Equal(Reason.LedgerNeedsRecovery, refusal.Reason);
            Assert.Contains(why, refusal.Sentence, StringComparison.Ordinal);
        }

        Assert.Equal((2L, state.Epoch), (await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head"), await ledger.ScalarAsync<Guid>("SELECT epoch FROM ledger.head")));
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));
        var report = await recovery.ReplayAsync(tail, nothingLost: false, acceptLostEffects: true, CancellationToken.None);
        Assert.Equal(1, report.NotReapplied["transfer.requested"]);
        Assert.Equal(4, report.PreviousLastSeq.Value);
    }

    [Fact]
    public async Task A_planned_failover_that_lost_nothing_opens_an_epoch_and_revokes_nothing()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var mint = await MintAsync(ledger);
        await ledger.ExecuteAsync("UPDATE ledger.head SET timeline = timeline + 1");
        var tail = new AuditedTail(await FirstAsync(ledger), []);

        var report = await new LedgerRecovery(ledger.Admin).ReplayAsync(tail, nothingLost: true, acceptLostEffects: false, CancellationToken.None);

        Assert.Equal((2L, 0, 0), (report.PreviousLastSeq.Value, report.Replayed.Count, report.Remembered));
        Assert.Equal(0L, await ledger.ScalarAsync<long>("SELECT revocation_seq FROM ledger.head"));
        Assert.Equal(Verdict.Recorded, (await AppendAsync(ledger.Writer, Acts.Revoke(mint.TokenHash))).Verdict);
    }

    [Fact]
    public async Task Recovery_that_is_given_up_leaves_a_sound_ledger_as_it_was()
    {
        await using var ledger = await LedgerFixture.StartAsync();
        var recovery = new LedgerRecovery(ledger.Admin);
        Assert.Null((await recovery.BeginAsync(CancellationToken.None)).Unsound);
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));
        await recovery.AbandonAsync(CancellationToken.None);
        await MintAsync(ledger);

        await ledger.ExecuteAsync("UPDATE ledger.head SET needs_recovery = 'the audit log is ahead'");
        Assert.Equal("the audit log is ahead", (await recovery.BeginAsync(CancellationToken.None)).Unsound);
        await recovery.AbandonAsync(CancellationToken.None);
        Assert.Equal(Reason.LedgerNeedsRecovery, await RefusedAsync(ledger.Writer, Acts.Mint()));
    }

    private static async Task<MintAct> MintAsync(LedgerFixture ledger)
    {
        var mint = Acts.Mint();
        await RecordAsync(ledger, mint);
        return mint;
    }

    private static async Task<ActOutcome> RecordAsync(LedgerFixture ledger, Act act)
    {
        var outcome = await AppendAsync(ledger.Writer, act);
        Assert.Equal(Verdict.Recorded, outcome.Verdict);
        return outcome;
    }

    private static async Task<Reason> RefusedAsync(LedgerWriter writer, Act act) => (await Assert.ThrowsAsync<Refusal>(() => AppendAsync(writer, act))).Reason;

    /// <summary>A backup and a restore cut the writer's connection; what counts is what the next one meets.</summary>
    private static async Task<ActOutcome> AppendAsync(LedgerWriter writer, Act act)
    {
        while (true)
        {
            try
            {
                return await writer.AppendAsync(act, CancellationToken.None);
            }
            catch (Refusal refusal) when (refusal.Reason == Reason.LedgerUnavailable)
            {
                // Nothing was written.
            }
        }
    }

    /// <summary>What an audit log has that got everything before the loss.</summary>
    private static async Task<AuditedTail> TailAsync(LedgerFixture ledger, DatabaseBackup backup)
    {
        await using var lost = NpgsqlDataSource.Create(backup.Lost);
        var page = await new LedgerReader(lost).ReadEventsAsync(default, int.MaxValue, CancellationToken.None);
        var all = page.Events.Select(e => Audited(page.Epoch, e)).ToList();
        long end = await ledger.ScalarAsync<long>("SELECT seq FROM ledger.head");
        return new AuditedTail(all.Single(e => e.Seq.Value == end), [.. all.Where(e => e.Seq.Value > end)]);
    }

    /// <summary>All of it, as an audit log has it that got everything; of one epoch.</summary>
    private static async Task<IReadOnlyList<AuditedEvent>> LogAsync(NpgsqlDataSource ledger)
    {
        var page = await new LedgerReader(ledger).ReadEventsAsync(default, int.MaxValue, CancellationToken.None);
        return [.. page.Events.Select(e => Audited(page.Epoch, e))];
    }

    private static async Task<AuditedEvent> FirstAsync(LedgerFixture ledger)
    {
        var page = await new LedgerReader(ledger.Admin).ReadEventsAsync(default, 1, CancellationToken.None);
        return Audited(page.Epoch, page.Events[0]);
    }

    private static AuditedEvent Audited(Guid epoch, EventRow row) =>
        new(epoch, row.Seq, EventKinds.NameOf(row.Kind), row.RecordedAt, row.Payload, row.TokenHash, row.Subject, row.Correlation);

    /// <summary>Everything that conditions, snapshots and the feed are read from.</summary>
    private static async Task<string> DumpAsync(string connectionString)
    {
        var dump = new List<string>();
        foreach (var table in (string[])
            [
                "(SELECT seq, revocation_seq FROM ledger.head) t",
                "(SELECT seq, kind, recorded_at, token_hash, subject, mission_id, run_id, trace_id, correlation_id, payload FROM ledger.events) t",
                "ledger.issued t", "ledger.blocked_groups t", "(SELECT kid, public_key, state, not_after, is_foreign, can_sign, revoked, activates_at, overlap, seq FROM ledger.keys) t",
                // How long one is kept whose token nobody issued is not in the event.
                "(SELECT revocation_seq, seq, kind, effect, token_hash, jti, group_key, cut, CASE WHEN jti IS NOT NULL THEN expires_at END, revoked_at, reason, owner_did, CASE WHEN kind <> 9 THEN revoked_by END FROM ledger.revocations) t",
                "(SELECT revocation_seq, seq, token_hash, jti, CASE WHEN jti IS NOT NULL THEN expires_at END, revoked_at, revoked_by, reason FROM ledger.revoked_tokens) t",
            ])
        {
            dump.Add(await ScalarAsync<string>(connectionString, $"SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table}"));
        }
        return string.Join("\n\n", dump);
    }

    private static async Task<T> ScalarAsync<T>(string connectionString, string sql)
    {
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        await using var command = source.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync())!;
    }
}
