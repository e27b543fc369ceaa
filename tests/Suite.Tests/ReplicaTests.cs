using System.Net.Http.Json;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;

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

/// <summary>Two of every service.</summary>
public sealed class TwoOfAll : StackFixture
{
    internal override StackOptions Options => base.Options with { Replicas = Place.Names.ToDictionary(name => name, _ => 2) };
}

public sealed class EveryReplicaTests(TwoOfAll two) : IClassFixture<TwoOfAll>
{
    private const int Callers = 4, AnswersAfter = 10;
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("introspector")]
    [InlineData("verifier")]
    [InlineData("audit-sink")]
    [InlineData("edge")]
    public async Task When_one_replica_is_killed_whoever_knows_both_is_served_on_and_told_what_is_so(string name)
    {
        var (good, dead) = (await two.Issuance.IssueTokenAsync(StackFixture.Request($"good-{name}")), await two.Issuance.IssueTokenAsync(StackFixture.Request($"dead-{name}")));
        await two.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = dead.TokenHash } } });
        var replicas = two.Stack.All(name).ToList();
        using var both = PeerChannel.Create(new PeerAddresses([.. replicas.Select(r => r.Address)]), two.Stack.Peer);
        using var edges = name == "edge" ? OpenEdges() : null;
        // The log has what the ledger has a moment later: until then a dead one looks good there.
        if (name == "audit-sink")
        {
            foreach (var replica in replicas)
                await Eventually.HoldsAsync($"{replica.Name} was told of both", async () => (await ListAsync(two.Channel(replica), dead.TokenHash)).Count == 2 && (await ListAsync(two.Channel(replica), good.TokenHash)).Count == 1, Most);
        }
        int answers = 0;
        using var stop = new CancellationTokenSource();
        var calling = Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
        {
            for (int i = caller; !stop.IsCancellationRequested; i++)
            {
                var token = i % 2 == 0 ? good : dead;
                Assert.Equal(token == good, await IsGoodAsync(name, both, edges, replicas, token.Token, token.TokenHash, i));
                Interlocked.Increment(ref answers);
            }
        })).ToList();
        await ReachAsync(Callers * AnswersAfter);
        replicas[0].Process.Kill();
        await replicas[0].Process.WaitForExitAsync();
        await ReachAsync(Volatile.Read(ref answers) + Callers * AnswersAfter);
        replicas[0].Restart();
        await replicas[0].WaitUntilServingAsync(two.Stack.Peer, Most, CancellationToken.None);
        await ReachAsync(Volatile.Read(ref answers) + Callers * AnswersAfter);
        await stop.CancelAsync();
        await Task.WhenAll(calling);

        Task ReachAsync(int wanted) => Eventually.HoldsAsync($"they are answered {wanted} times", async () =>
        {
            if (calling.Find(c => c.IsFaulted) is { } failed) await failed;
            return Volatile.Read(ref answers) >= wanted;
        }, Most);
    }

    /// <summary>What a service says of a token, by whichever replica answers.</summary>
    private static async Task<bool> IsGoodAsync(string name, PeerChannel both, HttpClient? edges, List<ServiceInstance> replicas, string token, string hash, int attempt)
    {
        switch (name)
        {
            case "introspector":
                return (await Answered.ByAsync(() => new IntrospectionService.IntrospectionServiceClient(both.Calls).IntrospectTokenAsync(new IntrospectTokenRequest { Token = token }))).Active;
            case "verifier":
                return (await Answered.ByAsync(() => new VerificationService.VerificationServiceClient(both.Calls).VerifyTokenAsync(
                    new VerifyTokenRequest { Token = token, Consistency = new() { Linearizable = new() } }))).Verdict.Status == VerificationStatus.Valid;
            case "audit-sink":
                // Of the good one only its issuance is told.
                while (true)
                {
                    var events = await ListAsync(both, hash);
                    if (events.Count > 0 && (events.Count == 2) == events.Any(e => e.Kind == "token.revoked")) return events.Count == 1;
                    await Task.Delay(10);
                }
            default:
                for (int i = attempt; ; i++)        // as a plugin with two addresses does
                {
                    try
                    {
                        using var answer = await edges!.PostAsJsonAsync(new Uri(replicas[i % 2].Address, "/v1/tokens/introspect"), new { token });
                        if (answer.IsSuccessStatusCode) return (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("active").GetBoolean();
                        Assert.True((int)answer.StatusCode >= 500, $"{answer.StatusCode}");
                    }
                    catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
                    {
                        await Task.Delay(10);
                    }
                }
        }
    }

    private static async Task<IReadOnlyList<Protos.Audit.V1.Entry>> ListAsync(PeerChannel sinks, string hash) => (await Answered.ByAsync(() =>
        new Protos.Audit.V1.AuditService.AuditServiceClient(sinks.Calls).ListEventsAsync(new() { Filter = new() { TokenHash = hash } }))).Entries;

    private HttpClient OpenEdges()
    {
        var anchor = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        anchor.CustomTrustStore.Add(X509CertificateLoader.LoadCertificateFromFile(two.Stack.CaFile));
        return new HttpClient(new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = anchor } }) { Timeout = TimeSpan.FromSeconds(10) };
    }
}
