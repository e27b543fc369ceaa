using System.Diagnostics;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Npgsql;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;
using Reason = ClawBureau.Tokens.Reason;
using Revision = ClawBureau.Protos.Types.V1.Revision;

namespace ClawBureau.Introspector.Tests;

/// <summary>An answer that cannot be given is an error, never "inactive" and never an old answer.</summary>
public sealed class OutageTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromHours(1);

    [Fact]
    public async Task Without_its_database_it_says_so_and_serves_again_when_it_is_back()
    {
        await using var proxy = new LateProxy();
        await using var introspector = await IntrospectorFixture.StartAsync(through: proxy.Through);
        var token = introspector.Sign();
        for (int i = 0; i < 2; i++)
        {
            await proxy.Wire.CutAsync();
            foreach (var refusal in await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => introspector.RefusedAsync(token))))
                Assert.Equal(Reason.LedgerUnavailable, refusal.Reason);
            await Eventually.HoldsAsync("it is not ready", () => !introspector.Readiness.IsReady);
            Assert.Contains("ledger", introspector.Readiness.NotReady.Keys);

            proxy.Wire.Mend();
            await introspector.WaitUntilServedAsync(token);
            await introspector.WaitUntilReadyAsync();
        }
        await introspector.RevokeAsync(token);
        Assert.True((await introspector.IntrospectAsync(token)).Revoked);
    }

    [Fact]
    public async Task A_watcher_learns_that_the_database_is_away()
    {
        await using var proxy = new LateProxy();
        await using var introspector = await IntrospectorFixture.StartAsync(through: proxy.Through);
        using var watcher = await introspector.WatchAsync();
        await watcher.UntilAsync(FrameCase.CaughtUp);
        await proxy.Wire.CutAsync();
        await watcher.RenewAsync(1);
        Assert.Equal(Reason.LedgerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => watcher.UntilAsync(FrameCase.LeaseRenewed))).Reason);
        using var another = await introspector.WatchAsync(await introspector.EpochAsync());
        Assert.Equal(Reason.LedgerUnavailable, (await Assert.ThrowsAsync<Refusal>(another.NextAsync)).Reason);
    }

    [Fact]
    public async Task A_database_that_takes_requests_and_says_nothing_is_given_up_after_the_deadline()
    {
        await using var wire = new LateWire();
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.Product, through: wire.Through);
        var token = introspector.Sign();
        await introspector.WaitUntilServedAsync(token);
        _ = wire.Held.Hold();
        var began = Stopwatch.StartNew();
        foreach (var refusal in await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => introspector.RefusedAsync(token))))
            Assert.Equal(Reason.LedgerUnavailable, refusal.Reason);
        // Half a second for the read under way, half for the next one; the rest is for a busy machine.
        Assert.InRange(began.Elapsed, TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(5));
        await Eventually.HoldsAsync("it is not ready", () => !introspector.Readiness.IsReady);

        wire.Held.Release();
        await introspector.WaitUntilServedAsync(token);
        await introspector.WaitUntilReadyAsync();
    }

    [Fact]
    public async Task A_primary_that_nobody_can_write_to_is_not_believed()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.Product);
        var token = introspector.Sign();
        await introspector.WaitUntilServedAsync(token);
        await using (var connection = await introspector.Admin.OpenConnectionAsync())
        await using (await connection.BeginTransactionAsync())
        {
            await using var command = new NpgsqlCommand("SELECT 1 FROM ledger.head FOR UPDATE", connection);
            await command.ExecuteNonQueryAsync();
            // The head is readable all the time; only its beat stands still.
            await introspector.WaitUntilRefusedAsync(token, Reason.LedgerUnavailable);
            await Eventually.HoldsAsync("the reason is the beat", async () => (await TryAsync(introspector, token))?.Message.Contains("beat", StringComparison.Ordinal) == true);
        }
        await introspector.WaitUntilServedAsync(token);
    }

    [Fact]
    public async Task A_beat_that_may_not_be_advanced_stops_the_answers()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.Product);
        var token = introspector.Sign();
        await introspector.WaitUntilServedAsync(token);
        await introspector.ExecuteAsync("REVOKE EXECUTE ON FUNCTION ledger.advance_beat() FROM claw_introspector");
        await introspector.WaitUntilRefusedAsync(token, Reason.LedgerUnavailable);
        await introspector.ExecuteAsync("GRANT EXECUTE ON FUNCTION ledger.advance_beat() TO claw_introspector");
        await introspector.WaitUntilServedAsync(token);
    }

    [Theory]
    [InlineData("seq = seq - 1", "seq = seq + 10")]
    [InlineData("revocation_seq = revocation_seq - 1", "revocation_seq = revocation_seq + 1")]
    [InlineData("beat = beat - 1", "beat = beat + 10")]
    public async Task A_number_that_goes_back_ends_all_answers_for_good(string back, string forward)
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        await introspector.RevokeAsync(introspector.Sign());
        await introspector.ExecuteAsync("UPDATE ledger.head SET beat = beat + 5");
        var known = (await introspector.IntrospectAsync(token)).Revision;
        using var watcher = await introspector.WatchAsync();
        await watcher.UntilAsync(FrameCase.CaughtUp);

        await introspector.ExecuteAsync($"UPDATE ledger.head SET {back}");
        Assert.Equal(Reason.LedgerNeedsRecovery, (await introspector.RefusedAsync(token)).Reason);
        await introspector.ExecuteAsync($"UPDATE ledger.head SET {forward}");
        await RequireEndedAsync(introspector, token, known, watcher, Reason.LedgerNeedsRecovery);
    }

    [Fact]
    public async Task Another_epoch_ends_all_answers_for_good()
    {
        await using var introspector = await IntrospectorFixture.StartAsync();
        var token = introspector.Sign();
        var known = (await introspector.IntrospectAsync(token)).Revision;
        using var watcher = await introspector.WatchAsync();
        await watcher.UntilAsync(FrameCase.CaughtUp);

        await introspector.ExecuteAsync("UPDATE ledger.head SET epoch = gen_random_uuid()");
        Assert.Equal(Reason.LedgerEpochMismatch, (await introspector.RefusedAsync(token)).Reason);
        // Who has seen the new primary does not go back to the old one.
        await introspector.ExecuteAsync($"UPDATE ledger.head SET epoch = '{known.Epoch}'");
        await RequireEndedAsync(introspector, token, known, watcher, Reason.LedgerEpochMismatch);
    }

    [Fact]
    public async Task Revocations_that_vanished_before_they_were_read_stop_the_answers()
    {
        await using var introspector = await IntrospectorFixture.StartAsync(Tuning.OnlyWhenAsked);
        var token = introspector.Sign();
        await introspector.RevokeManyAsync(3);
        await introspector.IntrospectAsync(token);
        await introspector.RevokeManyAsync(3);
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations WHERE revocation_seq <= 5");
        Assert.Equal(Reason.LedgerUnavailable, (await introspector.RefusedAsync(token)).Reason);
        await introspector.ExecuteAsync("DELETE FROM ledger.revocations");
        var refusal = await introspector.RefusedAsync(token);
        Assert.Equal(Reason.LedgerUnavailable, refusal.Reason);
        Assert.Contains("restart", refusal.Message, StringComparison.Ordinal);
    }

    private static async Task RequireEndedAsync(IntrospectorFixture introspector, SignedToken token, Revision known, Watcher watcher, Reason reason)
    {
        introspector.Process.ExpectsErrors = true;
        Assert.Single(introspector.Process.Logs, l => l.Contains("ledger.ended", StringComparison.Ordinal));
        Assert.Equal(reason, (await introspector.RefusedAsync(token)).Reason);
        Assert.Equal(reason, (await introspector.RefusedAsync(token, new Consistency { AtLeast = known })).Reason);
        Assert.Equal(reason, (await introspector.RefusedAsync(token, new Consistency { Bounded = Duration.FromTimeSpan(Bound) })).Reason);
        Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(() => watcher.UntilAsync(_ => false))).Reason);
        using var another = await introspector.WatchAsync();
        Assert.Equal(reason, (await Assert.ThrowsAsync<Refusal>(another.NextAsync)).Reason);
        await Eventually.HoldsAsync("it is not ready", () => !introspector.Readiness.IsReady);
    }

    private static async Task<Refusal?> TryAsync(IntrospectorFixture introspector, SignedToken token)
    {
        try
        {
            await introspector.IntrospectAsync(token);
            return null;
        }
        catch (Refusal refusal)
        {
            return refusal;
        }
    }
}
