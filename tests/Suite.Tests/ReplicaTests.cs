using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>Two Issuers on one ledger.</summary>
public sealed class TwoIssuers : StackFixture
{
    internal override StackOptions Options => base.Options with { Replicas = new Dictionary<string, int> { ["issuer"] = 2 } };
}

public sealed class ReplicaTests(TwoIssuers two) : IClassFixture<TwoIssuers>
{
    [Fact]
    public async Task When_one_issuer_is_killed_the_other_goes_on_and_seq_has_no_hole()
    {
        var issuers = two.Stack.Services.Where(s => s.Service == "Issuer").ToList();
        var clients = issuers.Select(i => new IssuerClient(new(two.Channel(i).Calls), new(two.Channel(i).Calls))).ToList();
        var acknowledged = new Acknowledged();
        var (stay, move) = (new Load(acknowledged), new Load(acknowledged));
        var moment = move.ReachesAsync(Random.Shared.Next(1, 300));
        // Half of the callers know the second Issuer alone; the others ask the first, and the second when that one is gone.
        var living = Enumerable.Range(0, 400).Select(i => i % 2 == 0
            ? stay.LiveAsync($"replica-{i}", revoke: i % 4 == 0, _ => clients[1])
            : move.LiveAsync($"replica-{i}", revoke: i % 4 == 1, attempt => clients[attempt == 1 ? 0 : 1])).ToList();
        await moment;
        issuers[0].Process.Kill();
        await Task.WhenAll(living);

        Assert.Equal((400, 200), (acknowledged.Issued.Count, acknowledged.Revoked.Count));
        Assert.True(move.Unreached > 0, "the kill interrupted nobody: nothing was shown");
        Assert.Equal(0, stay.Unreached);
        await using var ledger = await two.OpenAdminAsync();
        Assert.Empty(await acknowledged.FindViolationsAsync(ledger));
    }
}
