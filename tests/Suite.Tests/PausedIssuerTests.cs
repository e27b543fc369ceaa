using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>Two Issuers on one ledger. The first reaches it over a wire on which its batches can be stopped.</summary>
public sealed class IssuerOnAWire : StackFixture, IAsyncDisposable
{
    private StepWire? _wire;

    internal StepWire Wire => _wire!;
    internal ServiceInstance Wired => Stack.Services.First(s => s.Name == "issuer-0");
    internal ServiceInstance Other => Stack.Services.First(s => s.Name == "issuer-1");

    internal override StackOptions Options => base.Options with
    {
        Replicas = new Dictionary<string, int> { ["issuer"] = 2 },
        Wire = (process, connection) => process == "issuer-0" ? (_wire = new StepWire(connection)).ConnectionString : connection,
    };

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        if (_wire is not null) await _wire.DisposeAsync();
    }

    ValueTask IAsyncDisposable.DisposeAsync() => new(DisposeAsync());
}

/// <summary>An Issuer that is stopped (SIGSTOP) at a step of an append. What it did not send stays unsent, what it is answered stays unread.</summary>
public sealed class PausedIssuerTests(IssuerOnAWire fixture) : IClassFixture<IssuerOnAWire>
{
    [Theory]
    [InlineData(BatchStep.NotSent)]
    [InlineData(BatchStep.HeadTaken)]
    [InlineData(BatchStep.NotCommitted)]
    [InlineData(BatchStep.AnswerUnread)]
    public async Task An_issuer_stopped_in_an_append_keeps_nobody_else_for_two_seconds(BatchStep step)
    {
        var acknowledged = new Acknowledged();
        var key = $"stopped-{step}";
        await Answered.ByAsync(() => Issuance(fixture.Wired).IssueTokenAsync(StackFixture.Request($"before-{step}")));
        var standing = fixture.Wire.StopAt(step);
        var asked = Answered.ByAsync(() => Issuance(fixture.Wired).IssueTokenAsync(StackFixture.Request(key)));
        var goOn = await standing.WaitAsync(TimeSpan.FromSeconds(20));
        if (step is BatchStep.HeadTaken or BatchStep.NotCommitted) await WaitUntilHeadIsHeldAsync();
        await WhileStoppedAsync(fixture.Wired, () => OthersGoOnAsync(step.ToString(), acknowledged));
        goOn();

        await RequireNothingLostAsync(acknowledged, (key, asked));
    }

    [Fact]
    public async Task An_issuer_stopped_while_it_owes_large_answers_keeps_nobody_else_for_two_seconds()
    {
        const int Repeats = 150;
        var acknowledged = new Acknowledged();
        var client = Issuance(fixture.Wired);
        var first = await Task.WhenAll(Enumerable.Range(0, Repeats).Select(i => Answered.ByAsync(() => client.IssueTokenAsync(Large($"large-{i}")))));
        for (int i = 0; i < Repeats; i++) acknowledged.Add($"large-{i}", first[i]);

        // All of them again: what comes while one batch is held back makes up the next.
        var holding = fixture.Wire.StopAt(BatchStep.NotSent);
        var before = Answered.ByAsync(() => client.IssueTokenAsync(StackFixture.Request("before-large-answers")));
        var goOn = await holding.WaitAsync(TimeSpan.FromSeconds(20));
        var standing = fixture.Wire.StopAt(BatchStep.AnswerUnread);
        var again = Enumerable.Range(0, Repeats).Select(i => ($"large-{i}", Answered.ByAsync(() => client.IssueTokenAsync(Large($"large-{i}"))))).ToList();
        goOn();
        goOn = await standing.WaitAsync(TimeSpan.FromSeconds(20));
        await WhileStoppedAsync(fixture.Wired, () => OthersGoOnAsync("large", acknowledged));
        goOn();

        await RequireNothingLostAsync(acknowledged, [.. again, ("before-large-answers", before)]);
    }

    private IssuanceService.IssuanceServiceClient Issuance(ServiceInstance issuer) => new(fixture.Channel(issuer).Calls);

    private static IssueTokenRequest Large(string key)
    {
        var request = StackFixture.Request(key);
        request.Aud.Values.Add(Enumerable.Range(0, 15).Select(i => $"https://{new string((char)('a' + i), 480)}.example"));
        return request;
    }

    /// <summary>Acts of the other Issuer, none of which may be refused, and the time that the head is waited for by the database's own clock and bound.</summary>
    private async Task OthersGoOnAsync(string name, Acknowledged acknowledged)
    {
        var head = RequireHeadWithinTwoSecondsAsync();
        var (issuance, revocation) = (Issuance(fixture.Other), new RevocationService.RevocationServiceClient(fixture.Channel(fixture.Other).Calls));
        for (int i = 0; i < 5; i++)
        {
            var issued = await issuance.IssueTokenAsync(StackFixture.Request($"meanwhile-{name}-{i}"));
            acknowledged.Add($"meanwhile-{name}-{i}", issued);
            var revoked = await revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = issued.TokenHash } } });
            acknowledged.Add(revoked.Results[0].Revocation);
        }
        await head;
    }

    private async Task RequireHeadWithinTwoSecondsAsync()
    {
        await using var admin = await fixture.OpenAdminAsync();
        await using (var bound = new NpgsqlCommand("SET lock_timeout = '2s'", admin)) await bound.ExecuteNonQueryAsync();
        await using var take = new NpgsqlCommand("SELECT 1 FROM ledger.head FOR UPDATE", admin);
        Assert.Equal(1, await take.ExecuteScalarAsync());       // else 55P03, lock_not_available
    }

    private async Task WaitUntilHeadIsHeldAsync()
    {
        await using var admin = await fixture.OpenAdminAsync();
        await using var look = new NpgsqlCommand(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = 'ledger.head'::regclass AND l.mode = 'RowShareLock' AND a.wait_event = 'ClientRead'", admin);
        await Eventually.HoldsAsync("the head is held", async () => await look.ExecuteScalarAsync() is 1L);
    }

    private static async Task WhileStoppedAsync(ServiceInstance issuer, Func<Task> act)
    {
        Signals.Send("STOP", issuer.Process);
        try
        {
            await Eventually.HoldsAsync($"{issuer.Name} stands still", () => Signals.IsStopped(issuer.Process));
            await act();
            Assert.True(Signals.IsStopped(issuer.Process));
        }
        finally
        {
            Signals.Send("CONT", issuer.Process);
        }
    }

    /// <summary>Whoever waited for the stopped Issuer is answered in the end, by either with the same token (L1, L2).</summary>
    private async Task RequireNothingLostAsync(Acknowledged acknowledged, params (string Key, Task<IssueTokenResponse> Answer)[] waiting)
    {
        foreach (var (key, answer) in waiting) acknowledged.Add(key, await answer);
        foreach (var (key, _) in waiting.Where(w => !w.Key.StartsWith("large", StringComparison.Ordinal)))
            acknowledged.Add(key, await Answered.ByAsync(() => Issuance(fixture.Other).IssueTokenAsync(StackFixture.Request(key))));
        await using var ledger = await fixture.OpenAdminAsync();
        Assert.Empty(await acknowledged.FindViolationsAsync(ledger));
    }
}
