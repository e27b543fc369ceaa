using System.Diagnostics;
using System.Globalization;
using ClawBureau.Stack;
using ClawBureau.Testing;

namespace ClawBureau.Suite.Tests;

/// <summary>`claw up` with replicas, every process of it killed in turn, and its database restarted, while it is used.</summary>
[Collection(SharedDetachedStack.Name)]
public sealed class RecoveryTests(DetachedStack stack)
{
    private const int Callers = 6;
    private static readonly TimeSpan MostRecovery = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Whatever_is_killed_under_load_comes_back_nothing_acknowledged_is_lost_and_no_answer_is_wrong()
    {
        var acknowledged = new Acknowledged();
        using var edge = new HttpClient { BaseAddress = stack.Described.EdgeHttp, Timeout = TimeSpan.FromSeconds(10) };
        var load = new RecoveryLoad(stack.Channel("issuer"), stack.Channel("introspector"), edge, acknowledged);
        using var stop = new CancellationTokenSource();
        var callers = Enumerable.Range(0, Callers).Select(i => load.RunAsync($"recovery-{i}", stop.Token)).ToList();

        foreach (var (member, replica) in stack.Described.Services.SelectMany(s => s.Value.Select((_, replica) => (s.Key, replica))).ToList())
        {
            await ProgressAsync(load, callers);
            int killed = stack.Described.Services[member][replica].Pid;
            Signal("KILL", killed);
            await ComesBackAsync($"{member}-{replica}", () => stack.Described.Services[member][replica].Pid != killed);
        }
        foreach (var signal in (string[])["INT", "KILL"])        // a fast shutdown, as of a restart; and a crash
        {
            await ProgressAsync(load, callers);
            int killed = Postmaster();
            Signal(signal, killed);
            await ComesBackAsync("PostgreSQL", () => Postmaster() is var now && now != 0 && now != killed);
        }
        await ProgressAsync(load, callers);
        await stop.CancelAsync();
        await Task.WhenAll(callers);

        Assert.Empty(load.Wrong);
        Assert.True(load.Interruptions > 0, "no kill interrupted a call: nothing was shown");
        Assert.Equal(acknowledged.Issued.Count, acknowledged.Revoked.Count);
        await using var ledger = await stack.OpenAdminAsync();
        Assert.Empty(await acknowledged.FindViolationsAsync(ledger));
        var log = await File.ReadAllTextAsync(Path.Combine(stack.State, "logs", "up.log"));
        foreach (var name in (string[])["edge-0", "issuer-0", "issuer-1", "introspector-0", "introspector-1", "PostgreSQL"])
        {
            Assert.Contains($"  {name} ended", log, StringComparison.Ordinal);
            Assert.Contains($"  {name} is up again", log, StringComparison.Ordinal);
        }
    }

    /// <summary>Every caller has been served since: what was killed before is no longer in their way.</summary>
    private static async Task ProgressAsync(RecoveryLoad load, List<Task> callers)
    {
        int rounds = load.Rounds;
        await Eventually.HoldsAsync("the load goes on", async () =>
        {
            if (callers.Find(c => c.IsFaulted) is { } failed) await failed;
            return load.Rounds >= rounds + 2 * Callers;
        }, MostRecovery);
    }

    private async Task ComesBackAsync(string name, Func<bool> isAnother) =>
        await Eventually.HoldsAsync($"{name} serves again", async () =>
        {
            return isAnother() && (await StackHealth.AskAsync(stack.Described, CancellationToken.None)).All(s => s.State == ServiceState.Serving);
        }, MostRecovery);

    private int Postmaster()
    {
        try
        {
            return int.Parse(File.ReadLines(Path.Combine(stack.State, "postgres", "data", "postmaster.pid")).First(), CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is FileNotFoundException or InvalidOperationException)
        {
            return 0;       // it is down, or about to write it
        }
    }

    private static void Signal(string name, int id)
    {
        using var process = Process.GetProcessById(id);
        var (code, output) = Programs.Run("kill", ["-" + name, $"{id}"], TimeSpan.FromSeconds(5));
        Assert.True(code == 0, output);
    }
}
