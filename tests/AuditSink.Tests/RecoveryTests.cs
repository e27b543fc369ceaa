using ClawBureau.Hosting.Health;
using ClawBureau.Introspector;
using ClawBureau.Ledger;
using ClawBureau.Ledger.Recovery;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;

namespace ClawBureau.AuditSink.Tests;

/// <summary>An older copy of the ledger's database in its place, under a live Issuer, live Introspectors and a live AuditSink.</summary>
public sealed class RecoveryTests
{
    [Fact]
    public async Task Nothing_is_served_until_recovery_then_the_log_gives_back_what_was_lost_and_no_process_is_restarted()
    {
        await using var suite = await Suite.StartAsync();
        var (before, after, alive) = (await suite.IssueAsync(), default(IssueTokenResponse)!, default(IssueTokenResponse)!);
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await using var backup = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        (after, alive) = (await suite.IssueAsync(), await suite.IssueAsync());
        await suite.RevokeAsync(before);
        await suite.RevokeAsync(after);
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        var epoch = (await suite.IntrospectAsync(after)).Revision.Epoch;
        using var watch = suite.Feed().WatchRevocations();
        await watch.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = new Start() });
        await UntilAsync(watch, FrameCase.CaughtUp);

        await backup.RestoreAsync();
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IntrospectAsync(alive));
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IssueAsync());
        Assert.Equal(Reason.LedgerNeedsRecovery, (await Assert.ThrowsAsync<Refusal>(() => UntilAsync(watch, FrameCase.Reset))).Reason);
        var report = await suite.RecoverAsync();

        Assert.Equal(2, report.Replayed["token.revoked"]);
        Assert.True(report.Replayed["token.issued"] >= 2);
        await suite.WaitUntilServedAsync();
        Assert.True((await suite.IntrospectAsync(before)).Revoked);
        Assert.True((await suite.IntrospectAsync(after)).Revoked);
        Assert.True((await suite.IntrospectAsync(alive)).Active);
        Assert.Equal(report.Epoch.ToString(), (await suite.IntrospectAsync(alive)).Revision.Epoch);

        // A follower with a cursor of the old epoch is told to start over, and the snapshot it takes then holds all it knew.
        using var again = suite.Feed().WatchRevocations();
        await again.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = new Start { Epoch = epoch, AfterRevocationSeq = 2 } });
        Assert.Equal(Protos.Types.V1.Reason.FeedCursorForeignEpoch, (await UntilAsync(again, FrameCase.Reset)).Reset.Reason);
        Assert.Equal(new HashSet<string> { before.TokenHash, after.TokenHash }, await suite.SnapshotAsync());

        // The audit log goes on: the new epoch continues the old one, and no event is missing or twice.
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        var entries = await suite.Audit.CheckAsync();
        Assert.Equal(Enumerable.Range(1, entries.Count).Select(i => (long)i), entries.Select(e => e.Seq));
        Assert.Equal([epoch, report.Epoch.ToString()], entries.Select(e => e.Epoch).Distinct());
        Assert.Equal(report.PreviousLastSeq.Value + 1, entries.First(e => e.Epoch == report.Epoch.ToString()).Seq);
        Assert.Equal(report.PreviousLastSeq.Value, await suite.Audit.ScalarAsync<long>("SELECT previous_last_seq FROM audit.cursors WHERE NOT closed AND source = 'ledger'"));
    }

    [Fact]
    public async Task What_neither_the_ledger_nor_the_log_has_any_more_a_live_Introspector_gives_back()
    {
        await using var suite = await Suite.StartAsync();
        var token = await suite.IssueAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await using var backup = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        await suite.Audit.StopAsync();                  // the revocation never gets there
        await suite.RevokeAsync(token);
        Assert.True((await suite.IntrospectAsync(token)).Revoked);
        await backup.RestoreAsync();
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IntrospectAsync(token));
        await Eventually.HoldsAsync("the Introspector has left what it knows", async () => await suite.Ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.remembered") == 1);
        await suite.StartSinkAgainAsync();

        // Whether a revocation is all that was lost nobody can say.
        Assert.Contains("neither this ledger nor the audit log has", (await Assert.ThrowsAsync<Refusal>(() => suite.RecoverAsync())).Sentence, StringComparison.Ordinal);

        var report = await suite.RecoverAsync(acceptLost: true);

        Assert.Equal((0, 1, true), (report.Replayed.Count, report.Remembered, report.Lost > 0));
        // One that begins only now, and knows nothing but the recovered ledger.
        await suite.AddIntrospectorAsync();
        Assert.True((await suite.IntrospectAsync(token, suite.Introspectors[^1])).Revoked);
        Assert.Equal([token.TokenHash], await suite.SnapshotAsync(suite.Introspectors[^1]));
        await suite.WaitUntilServedAsync();
        Assert.True((await suite.IntrospectAsync(token)).Revoked);
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        Assert.Single(await suite.Audit.ListAsync(new EventFilter { TokenHash = token.TokenHash, Kinds = { "token.revoked" } }));
    }

    [Fact]
    public async Task An_Introspector_that_was_cut_off_meanwhile_takes_the_new_epoch_and_forgets_nothing()
    {
        PostgresProxy? wire = null;
        await using var suite = await Suite.StartAsync(through: connection => (wire = new PostgresProxy(connection)).ConnectionString);
        var token = await suite.IssueAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await using var backup = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        await suite.Audit.StopAsync();
        await suite.RevokeAsync(token);
        Assert.True((await suite.IntrospectAsync(token)).Revoked);
        await wire!.CutAsync();
        await backup.RestoreAsync();
        await suite.StartSinkAgainAsync();
        Assert.Equal(0, (await suite.RecoverAsync(acceptLost: true)).Remembered);       // nobody was there to say so

        wire.Mend();
        await suite.WaitUntilServedAsync();

        Assert.True((await suite.IntrospectAsync(token)).Revoked);
        Assert.Contains(token.TokenHash, await suite.SnapshotAsync());
        Assert.Contains(suite.Introspectors[0].Logs, line => line.Contains("ledger.kept", StringComparison.Ordinal));

        // Nor at the next recovery, when the feed has gone past where it was taken over.
        await suite.RevokeAsync(await suite.IssueAsync());
        await suite.RevokeAsync(await suite.IssueAsync());
        await suite.WaitUntilServedAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await suite.RecoverAsync();
        await suite.WaitUntilServedAsync();
        Assert.True((await suite.IntrospectAsync(token)).Revoked);
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task What_an_Introspector_kept_through_one_recovery_it_gives_back_at_the_next()
    {
        PostgresProxy? wire = null;
        await using var suite = await Suite.StartAsync(through: connection => (wire = new PostgresProxy(connection)).ConnectionString);
        IssueTokenResponse[] kept = [await suite.IssueAsync(), await suite.IssueAsync()];
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await using (var first = await DatabaseBackup.TakeAsync(suite.Ledger.Database))
        {
            await suite.WaitUntilServedAsync();
            await suite.Audit.StopAsync();
            foreach (var token in kept) await suite.RevokeAsync(token);
            foreach (var token in kept) Assert.True((await suite.IntrospectAsync(token)).Revoked);
            await wire!.CutAsync();
            await first.RestoreAsync();
            await suite.StartSinkAgainAsync();
            Assert.Equal(0, (await suite.RecoverAsync(acceptLost: true)).Remembered);
        }
        wire.Mend();
        await suite.WaitUntilServedAsync();

        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await using var second = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        var logged = await suite.IssueAsync();
        await suite.RevokeAsync(logged);
        Assert.True((await suite.IntrospectAsync(logged)).Revoked);
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await second.RestoreAsync();
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IntrospectAsync(logged));
        await Eventually.HoldsAsync("the Introspector has left what it knows", async () => await suite.Ledger.ScalarAsync<long>("SELECT count(*) FROM ledger.remembered") == 3);

        Assert.Equal(2, (await suite.RecoverAsync()).Remembered);           // the third the log has
        await suite.AddIntrospectorAsync();
        foreach (var token in kept.Append(logged)) Assert.True((await suite.IntrospectAsync(token, suite.Introspectors[^1])).Revoked);
        await wire.DisposeAsync();
    }

    [Fact]
    public async Task A_fresh_Issuer_on_an_older_ledger_is_stopped_by_the_log_which_is_ahead()
    {
        await using var suite = await Suite.StartAsync();
        await using var backup = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        var token = await suite.IssueAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        // Nobody who remembers is left but the log.
        await suite.StopAllButTheSinkAsync();
        await backup.RestoreAsync();

        (await suite.Ledger.AddReplicaAsync(untilReady: false)).ExpectsErrors = true;
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IssueAsync());
        await suite.AddIntrospectorAsync(untilReady: false);
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IntrospectAsync(token));

        await suite.RecoverAsync();
        await suite.WaitUntilServedAsync();
        Assert.True((await suite.IntrospectAsync(token)).Active);
    }

    [Fact]
    public async Task Where_even_an_earlier_recovery_was_lost_revoking_everything_still_brings_the_suite_back()
    {
        await using var suite = await Suite.StartAsync();
        await using var backup = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await suite.RecoverAsync();                                         // a drill
        await suite.WaitUntilServedAsync();
        var token = await suite.IssueAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await backup.RestoreAsync();
        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IssueAsync());

        await suite.RevokeAllAsync(Guid.Parse(token.Epoch));

        await suite.WaitUntilServedAsync();
        Assert.True((await suite.IntrospectAsync(token)).Revoked);
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        Assert.Equal(3, (await suite.Audit.ListAsync()).Select(e => e.Epoch).Distinct().Count());
    }

    [Fact]
    public async Task Two_stories_under_the_same_numbers_are_noticed_and_only_revoking_everything_is_left()
    {
        await using var suite = await Suite.StartAsync();
        await using var backup = await DatabaseBackup.TakeAsync(suite.Ledger.Database);
        await suite.WaitUntilServedAsync();
        var told = await suite.IssueAsync();
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        await suite.StopAllButTheSinkAsync();
        await suite.Audit.StopAsync();
        await backup.RestoreAsync();
        // Without the log and without anybody who remembers, the older ledger goes on under the same numbers.
        (await suite.Ledger.AddReplicaAsync()).ExpectsErrors = true;
        var untold = await suite.IssueAsync();
        await suite.StartSinkAgainAsync();
        suite.Audit.Process.ExpectsErrors = true;

        await Suite.WaitUntilRefusedAsync(Reason.LedgerNeedsRecovery, () => suite.IssueAsync());
        await Assert.ThrowsAsync<Refusal>(() => suite.RecoverAsync());
        await suite.RevokeAllAsync();

        await suite.AddIntrospectorAsync();
        await suite.WaitUntilServedAsync();
        Assert.True((await suite.IntrospectAsync(told)).Revoked);
        Assert.True((await suite.IntrospectAsync(untold)).Revoked);
        Assert.True((await suite.IntrospectAsync(await suite.IssueAsync())).Active);
        await RelayTests.WaitUntilRelayedAsync(suite.Audit, suite.Ledger);
        Assert.Contains("group.blocked", (await suite.Audit.CheckAsync()).Select(e => e.Kind));
    }

    private static async Task<WatchRevocationsResponse> UntilAsync(Grpc.Core.AsyncDuplexStreamingCall<WatchRevocationsRequest, WatchRevocationsResponse> watch, FrameCase frame)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (await watch.ResponseStream.MoveNext(patience.Token))
        {
            if (watch.ResponseStream.Current.FrameCase == frame) return watch.ResponseStream.Current;
        }
        throw new InvalidOperationException($"the stream ended before {frame}");
    }

    /// <summary>An Issuer and Introspectors on one database, the audit log on another.</summary>
    private sealed class Suite : IAsyncDisposable
    {
        private readonly Uri _sink;

        private Suite(Uri sink, AuditFixture audit, IssuerSide ledger) => (_sink, Audit, Ledger) = (sink, audit, ledger);

        public AuditFixture Audit { get; }
        public IssuerSide Ledger { get; }
        public List<TestProcess> Introspectors { get; } = [];

        public static async Task<Suite> StartAsync(Func<string, string>? through = null)
        {
            var sink = RelayTests.FreeAddress();
            var audit = await AuditFixture.StartAsync(settings: At(sink));
            var suite = new Suite(sink, audit, await IssuerSide.StartAsync(sink));
            suite.Ledger.ExpectErrors();                // a ledger that is not sound is an Error
            await suite.AddIntrospectorAsync(through);
            return suite;
        }

        private static Dictionary<string, string?> At(Uri sink) => new() { ["CLAW_LISTEN"] = sink.ToString().TrimEnd('/') };

        public Task<TestProcess> StartSinkAgainAsync() => Audit.AddReplicaAsync(settings: At(_sink));

        public async Task AddIntrospectorAsync(Func<string, string>? through = null, bool untilReady = true)
        {
            var connection = new NpgsqlConnectionStringBuilder(Ledger.Database.Introspector) { Pooling = true }.ConnectionString;
            var process = await TestProcess.StartAsync("introspector", s => s.AddIntrospector(), a => a.MapIntrospector(),
                new Dictionary<string, string?> { ["CLAW_DATABASE_INTROSPECTOR"] = through is null ? connection : through(connection) });
            process.ExpectsErrors = true;
            Introspectors.Add(process);
            if (untilReady) await Eventually.HoldsAsync("the Introspector is ready", () => process.Services.GetRequiredService<Readiness>().IsReady);
        }

        public FeedService.FeedServiceClient Feed(TestProcess? at = null) => new((at ?? Introspectors[0]).Channel().Calls);

        public async Task<IssueTokenResponse> IssueAsync() => await Ledger.Issuance.IssueTokenAsync(IssuerSide.Request("mission"));

        public async Task RevokeAsync(IssueTokenResponse token) =>
            Assert.NotNull((await Ledger.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = token.TokenHash } } })).Results[0].Revocation);

        public async Task<IntrospectTokenResponse> IntrospectAsync(IssueTokenResponse token, TestProcess? at = null) =>
            await new IntrospectionService.IntrospectionServiceClient((at ?? Introspectors[0]).Channel().Calls).IntrospectTokenAsync(new IntrospectTokenRequest { Token = token.Token });

        /// <summary>Hashes in a snapshot taken now.</summary>
        public async Task<HashSet<string>> SnapshotAsync(TestProcess? at = null)
        {
            var hashes = new HashSet<string>();
            using var call = Feed(at).GetSnapshot(new GetSnapshotRequest());
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
            {
                foreach (var revocation in call.ResponseStream.Current.Chunk?.Revocations ?? [])
                    if (revocation.Token is { } token) hashes.Add(Convert.ToHexStringLower(token.TokenHash.Span));
            }
            return hashes;
        }

        /// <summary>As `claw ledger recover` does it.</summary>
        public async Task<RecoveryReport> RecoverAsync(bool acceptLost = false)
        {
            await using var admin = Admin();
            var recovery = new LedgerRecovery(admin);
            var state = await recovery.BeginAsync(CancellationToken.None);
            var entries = (await Audit.ListAsync(ascending: false)).Select(e => new AuditedEvent(
                Guid.Parse(e.Epoch), new Seq(e.Seq), e.Kind, e.RecordedAt.ToDateTimeOffset(), e.Payload.ToByteArray(), e.Keys.TokenHash.IsEmpty ? null : e.Keys.TokenHash.ToByteArray(),
                e.Keys.Subject.Length == 0 ? null : e.Keys.Subject, new Correlation(TraceId: e.Keys.TraceId))).ToList();
            var after = entries.TakeWhile(e => !state.Reaches(e.Epoch, e.Seq)).ToList();
            return await recovery.ReplayAsync(new AuditedTail(entries.ElementAtOrDefault(after.Count), [.. after.AsEnumerable().Reverse()]), nothingLost: false, acceptLost, CancellationToken.None);
        }

        public async Task RevokeAllAsync(Guid? audited = null)
        {
            await using var admin = Admin();
            await new LedgerRecovery(admin).RevokeAllAsync(audited, CancellationToken.None);
        }

        public Task WaitUntilServedAsync() => Eventually.HoldsAsync("everybody serves", async () =>
        {
            try
            {
                var token = await IssueAsync();
                foreach (var introspector in Introspectors)
                    if (!(await IntrospectAsync(token, introspector)).Active) return false;
                return true;
            }
            catch (Refusal)
            {
                return false;
            }
        });

        public static async Task WaitUntilRefusedAsync(Reason reason, Func<Task> call)
        {
            Refusal? last = null;
            try
            {
                await Eventually.HoldsAsync($"it is refused with {reason}", async () =>
                {
                    try
                    {
                        await call();
                        return false;
                    }
                    catch (Refusal refusal)
                    {
                        last = refusal;
                        return refusal.Reason == reason;
                    }
                });
            }
            catch (TimeoutException e)
            {
                throw new TimeoutException($"{e.Message}; the last refusal was {last?.Reason}: {last?.Sentence}", e);
            }
        }

        public async Task StopAllButTheSinkAsync()
        {
            await Ledger.DisposeProcessesAsync();
            foreach (var introspector in Introspectors) await introspector.DisposeAsync();
            Introspectors.Clear();
        }

        private NpgsqlDataSource Admin() => NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(Ledger.Database.Admin) { Pooling = false }.ConnectionString);

        public async ValueTask DisposeAsync()
        {
            await StopAllButTheSinkAsync();
            await Ledger.DisposeAsync();
            await Audit.DisposeAsync();
        }
    }
}
