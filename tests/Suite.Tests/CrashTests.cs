using ClawBureau.Protos.Introspection.V1;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>1,000 callers of one Issuer, who each issue, half of whom revoke, who all ask again; and the Issuer killed again and again meanwhile.</summary>
public sealed class KilledIssuer : StackFixture
{
    private const int Callers = 1000;
    private const int Kills = 4;

    internal Acknowledged Acknowledged { get; } = new();
    internal int Interruptions { get; private set; }

    public override async Task InitializeAsync()
    {
        await base.InitializeAsync();
        var load = new Load(Acknowledged);
        var clients = Enumerable.Range(0, 5).Select(_ => new IssuerClient(Issuance, Revocation)).ToList();
        int most = 2 * Callers;     // of 2.5 answers per caller: the last kill still interrupts somebody
        var moments = Enumerable.Range(0, Kills).Select(i => load.ReachesAsync(Random.Shared.Next(most * i / Kills + 1, most * (i + 1) / Kills))).ToList();
        var living = Enumerable.Range(0, Callers).Select(i => load.LiveAsync($"crash-{i}", revoke: i % 2 == 0, _ => clients[i % clients.Count])).ToList();
        foreach (var moment in moments)
        {
            await Task.WhenAny(moment, Task.WhenAll(living));
            var serving = load.Hold();
            Stack.Issuer.Process.Kill();
            await Stack.Issuer.Process.WaitForExitAsync();
            Stack.Issuer.Restart();
            await Stack.Issuer.WaitUntilServingAsync(Stack.Peer, TimeSpan.FromSeconds(30), CancellationToken.None);
            serving.SetResult();
        }
        await Task.WhenAll(living);
        Interruptions = load.Interruptions;
    }
}

public sealed class CrashTests(KilledIssuer killed) : IClassFixture<KilledIssuer>
{
    [Fact]
    public async Task Nothing_acknowledged_is_lost_when_the_issuer_is_killed_and_seq_has_no_hole()
    {
        Assert.Equal((1000, 500), (killed.Acknowledged.Issued.Count, killed.Acknowledged.Revoked.Count));
        Assert.True(killed.Interruptions > 0, "no kill interrupted a call: nothing was shown");
        await using var ledger = await killed.OpenAdminAsync();
        Assert.Empty(await killed.Acknowledged.FindViolationsAsync(ledger));
    }

    [Fact]
    public async Task Every_acknowledged_revocation_introspects_revoked_and_no_other_token_does()
    {
        var revoked = killed.Acknowledged.Revoked.Select(r => r.TokenHash).ToHashSet(StringComparer.Ordinal);
        var client = killed.Introspection;
        await Parallel.ForEachAsync(killed.Acknowledged.Issued, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (issued, ended) =>
        {
            var answer = await Answered.ByAsync(() => client.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Token }, cancellationToken: ended));
            Assert.Equal((!revoked.Contains(issued.TokenHash), revoked.Contains(issued.TokenHash)), (answer.Active, answer.Revoked));
        });
    }

    [Theory]
    [InlineData("DELETE FROM ledger.events WHERE seq = $1", "issue", "an acknowledged issue is lost", "a hole before seq", "the head is not the number of events")]
    [InlineData("DELETE FROM ledger.issued WHERE seq = $1", "issue", "an acknowledged issue is lost")]
    [InlineData("DELETE FROM ledger.idempotency WHERE seq = $1", "issue", "a second token under a key")]
    [InlineData("DELETE FROM ledger.revoked_tokens WHERE seq = $1", "revocation", "an acknowledged revocation is lost")]
    public async Task The_checker_sees_one_row_that_is_missing(string loss, string of, params string[] expected)
    {
        await using var ledger = await killed.OpenAdminAsync();
        await using var undone = await ledger.BeginTransactionAsync();
        long seq = of == "issue" ? killed.Acknowledged.Issued.First().Seq : killed.Acknowledged.Revoked.First().Seq;
        await using (var delete = new NpgsqlCommand(loss, ledger) { Parameters = { new() { Value = seq } } }) Assert.Equal(1, await delete.ExecuteNonQueryAsync());

        var found = await killed.Acknowledged.FindViolationsAsync(ledger);
        foreach (var sentence in expected) Assert.Contains(found, f => f.StartsWith(sentence, StringComparison.Ordinal));
    }
}
