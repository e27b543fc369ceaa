using ClawBureau.Protos.Types.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Stack;
using ClawBureau.Testing;

namespace ClawBureau.Suite.Tests;

/// <summary>A Verifier that follows two Introspectors.</summary>
public sealed class FollowedIntrospectors : StackFixture
{
    internal override StackOptions Options => base.Options with { Replicas = new Dictionary<string, int> { ["introspector"] = 2 } };
}

/// <summary>L3 of verifications, whose state may be as old as they say, with what they follow and themselves killed, silent and standing still.</summary>
public sealed class StaleYesTests(FollowedIntrospectors fixture) : IClassFixture<FollowedIntrospectors>
{
    private const int Writers = 3, Readers = 6, LeastAnswers = 1_000;
    private static readonly TimeSpan MaxStaleness = TimeSpan.FromSeconds(3);

    [Fact]
    public async Task No_verification_says_yes_on_a_state_that_is_older_than_it_may_be_whatever_is_killed_silent_or_stands_still()
    {
        var (stale, linearizable) = (new FreshnessLog(MaxStaleness), new FreshnessLog());
        var load = new RevokingLoad(fixture, stale, linearizable);
        var (verifier, introspectors) = (load.Of("verifier").Single(), load.Of("introspector"));
        var client = new VerificationService.VerificationServiceClient(fixture.Channel(verifier).Calls);
        using var stop = new CancellationTokenSource();
        for (int i = 0; i < Writers; i++) load.Write(new Random(i), stop.Token);
        for (int i = 0; i < Readers; i++)
        {
            load.Read(stale, new Random(100 + i), (token, _) => AskAsync(token, null), stop.Token);
            load.Read(linearizable, new Random(200 + i), (token, _) => AskAsync(token, new Consistency { Linearizable = new() }), stop.Token);
        }

        int seed = Random.Shared.Next();
        var random = new Random(seed);
        Func<Task>[] faults =
        [
            // Longer than the lease: what it held when it was stopped is worth nothing when it goes on.
            () => load.PauseAsync(TimeSpan.FromSeconds(5), verifier),
            // The connections live, and nothing comes: the lease runs out, and there is nobody to ask.
            () => load.PauseAsync(TimeSpan.FromSeconds(5), introspectors),
            () => FlapAsync(introspectors),
            () => load.KillAsync(introspectors[random.Next(2)]),
            () => load.KillAsync(verifier),
        ];
        random.Shuffle(faults);
        foreach (var fault in faults)
        {
            await load.ProgressAsync();
            await fault();
        }
        await load.ProgressAsync();
        await Eventually.HoldsAsync("enough was asked", () => Suffices(stale) && Suffices(linearizable), TimeSpan.FromSeconds(60));
        await stop.CancelAsync();
        await load.EndedAsync();

        foreach (var log in new[] { stale, linearizable })
            Assert.True(log.FindViolations().Count == 0, $"seed {seed}: {string.Join("; ", log.FindViolations().Take(5))}");

        Assert.True(load.Wrong.Count == 0, $"seed {seed}: {string.Join("; ", load.Wrong.Take(5))}");
        Assert.True(load.Interruptions > 0, "no fault interrupted a call: nothing was shown");

        // Of each kind enough to prove something, however slow the machine is.
        static bool Suffices(FreshnessLog log) => log.Answers >= LeastAnswers && log.ActiveAnswers > 20 && log.AnswersAfterRevoke > 20;

        async Task FlapAsync(ServiceInstance[] services)
        {
            for (int i = 0; i < 6; i++) await load.PauseAsync(TimeSpan.FromMilliseconds(random.Next(50, 700)), services[i % 2]);
        }

        async Task<(bool, bool, string)> AskAsync(string token, Consistency? consistency)
        {
            var answer = await client.VerifyTokenAsync(new VerifyTokenRequest { Token = token, Consistency = consistency }, deadline: DateTime.UtcNow.AddSeconds(10));
            bool isGood = answer.Verdict.Status == VerificationStatus.Valid;
            if (isGood && consistency is null && answer.Confidence.RevocationAge.ToTimeSpan() > MaxStaleness) return (false, false, $"a yes on a state of {answer.Confidence.RevocationAge}");
            return (isGood, answer.Revoked, answer.Verdict.Reason.ToString());
        }
    }
}
