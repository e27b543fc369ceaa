using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using ClawBureau.Hosting.Peers;
using ClawBureau.Hosting.Tests.Processes;
using ClawBureau.Tokens;
using Microsoft.Extensions.Configuration;

namespace ClawBureau.Hosting.Tests;

public sealed class PeerReplicaTests
{
    private static Task<RunningProcess> ReplicaAsync(string name, int port = 0) =>
        RunningProcess.ProbeAsync((_, _) => Task.FromResult(name), settings: new Dictionary<string, string?> { ["CLAW_LISTEN"] = $"https://127.0.0.1:{port}" });

    private static PeerChannel Connect(string folder, params IReadOnlyList<Uri> addresses) =>
        PeerChannel.Create(new PeerAddresses(addresses), new PeerOptions { CaFile = Path.Combine(folder, "ca.crt") });

    [Fact]
    public async Task Calls_go_to_each_replica_in_turn()
    {
        await using var first = await ReplicaAsync("first");
        await using var second = await ReplicaAsync("second");
        using var channel = Connect(first.Folder, first.Address, second.Address);

        Assert.Equal(["first", "second"], (await AskUntilAsync(channel, answers => answers.Distinct().Count() == 2)).Distinct().Order());
        foreach (var kind in Enum.GetValues<CallKind>()) Assert.Contains(await channel.ProbeAsync(kind), (string[])["first", "second"]);
    }

    [Fact]
    public async Task A_replica_that_is_gone_is_passed_over_and_used_again_when_it_is_back()
    {
        await using var first = await ReplicaAsync("first");
        var second = await ReplicaAsync("second");
        using var channel = Connect(first.Folder, first.Address, second.Address);
        await AskUntilAsync(channel, answers => answers.Contains("second"));

        await second.DisposeAsync();
        Assert.All((await AskUntilAsync(channel, answers => answers is [.., "first", "first", "first", "first", "first", "first"]))[^6..], answer => Assert.Equal("first", answer));
        for (int i = 0; i < 20; i++) Assert.Equal("first", await channel.ProbeAsync(CallKind.Unary));

        await using var again = await ReplicaAsync("again", second.Address.Port);
        await AskUntilAsync(channel, answers => answers.Contains("again") && answers.Contains("first"));
    }

    [Fact]
    public async Task One_that_was_never_there_delays_nobody()
    {
        await using var there = await ReplicaAsync("there");
        using var channel = Connect(there.Folder, new Uri($"https://127.0.0.1:{ClosedPort()}"), there.Address);

        for (int i = 0; i < 20; i++) Assert.Equal("there", await channel.ProbeAsync(CallKind.Unary));
    }

    [Fact]
    public async Task Where_none_can_be_reached_the_call_is_PEER_UNAVAILABLE()
    {
        using var channel = Connect(await Certificates.OursAsync(), new Uri($"https://127.0.0.1:{ClosedPort()}"), new Uri($"https://127.0.0.1:{ClosedPort()}"));

        var refusal = await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary));

        Assert.Equal(Reason.PeerUnavailable, refusal.Reason);
    }

    [Fact]
    public async Task Replicas_whose_certificate_another_CA_signed_are_not_talked_to()
    {
        await using var first = await ReplicaAsync("first");
        await using var second = await ReplicaAsync("second");
        using var channel = Connect(await Certificates.OthersAsync(), first.Address, second.Address);

        for (int i = 0; i < 4; i++) Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(() => channel.ProbeAsync(CallKind.Unary))).Reason);
    }

    [Fact]
    public void Several_addresses_are_separated_by_commas_and_each_must_be_https()
    {
        Assert.Null(PeerAddresses.Read(Of(null), "CLAW_VERIFIER"));
        Assert.Equal(["https://one:1/", "https://two:2/"], PeerAddresses.Read(Of("https://one:1, https://two:2"), "CLAW_VERIFIER")!.All.Select(address => address.ToString()));
        foreach (var wrong in (string[])["http://one:1", "https://one:1,", "one:1,https://two:2", "nonsense"])
            Assert.Contains("CLAW_VERIFIER", Assert.Throws<StartRefused>(() => PeerAddresses.Read(Of(wrong), "CLAW_VERIFIER")).Message, StringComparison.Ordinal);
        Assert.Contains("to the Verifier's address", Assert.Throws<StartRefused>(() => PeerAddresses.Require(Of(" "), "CLAW_VERIFIER", "to the Verifier's address")).Message, StringComparison.Ordinal);
        Assert.Throws<StartRefused>(() => PeerChannel.Create(new PeerAddresses(new Uri("https://127.0.0.1:1"), new Uri("http://127.0.0.1:1")), new PeerOptions { AllowPlaintext = true }));
        Assert.Throws<StartRefused>(() => PeerChannel.Create(new PeerAddresses(new Uri("http://127.0.0.1:1"), new Uri("http://192.0.2.1:1")), new PeerOptions { AllowPlaintext = true }));
    }

    /// <summary>Asks again and again until the answers are as wanted; a call that met a replica in the moment of its end does not count.</summary>
    private static async Task<List<string>> AskUntilAsync(PeerChannel channel, Func<List<string>, bool> wanted)
    {
        var answers = new List<string>();
        var started = Stopwatch.StartNew();
        while (!wanted(answers))
        {
            Assert.True(started.Elapsed < TimeSpan.FromSeconds(20), $"within 20 s only {string.Join(' ', answers.Distinct())} answered");
            try
            {
                answers.Add(await channel.ProbeAsync(CallKind.Unary));
            }
            catch (Refusal refusal) when (refusal.Reason == Reason.PeerUnavailable || refusal.Reason == Reason.NotReady)
            {
                answers.Add("nobody");
            }
            await Task.Delay(5);
        }
        return answers;
    }

    private static Settings Of(string? value) => new(new ConfigurationBuilder().AddInMemoryCollection([KeyValuePair.Create("CLAW_VERIFIER", value)]).Build());

    private static int ClosedPort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
