using System.Text.Json;
using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>A lease long enough that a slow machine does not outlast it between two commands.</summary>
public sealed class LongLease : StackFixture
{
    internal override StackOptions Options => base.Options with { Variables = new Dictionary<string, string?>(base.Options.Variables) { ["CLAW_FEED_LEASE_SECONDS"] = "15" } };
}

/// <summary>`claw revoke --wait`: who has it, who may still decide without it, and who decides nothing any more (DESIGN "Revocation", 4).</summary>
public sealed class WaitTests(LongLease fixture) : IClassFixture<LongLease>
{
    [Fact]
    public async Task A_follower_that_stands_still_is_named_first_as_lacking_it_and_once_its_lease_is_over_as_deciding_nothing()
    {
        var verifier = fixture.Stack.First("verifier");
        var before = await RevokeAsync("40s");
        Assert.Equal((0, true), (before.Code, Wait(before).GetProperty("everywhere").GetBoolean()));
        Assert.Contains(Names(before, "applied"), name => name.StartsWith("spiffe://claw.local/verifier ", StringComparison.Ordinal));

        Signals.Send("STOP", verifier.Process);
        try
        {
            // It was given a lease just before.
            var lacking = await RevokeAsync("2s");
            Assert.True(lacking.Code == 3, lacking.All);
            Assert.False(Wait(lacking).GetProperty("everywhere").GetBoolean());
            Assert.Contains(Names(lacking, "lacking"), name => name.StartsWith("spiffe://claw.local/verifier ", StringComparison.Ordinal));
            Assert.DoesNotContain(Names(lacking, "applied"), name => name.StartsWith("spiffe://claw.local/verifier ", StringComparison.Ordinal));
            Assert.Equal("revoked", JsonDocument.Parse(lacking.LastLine).RootElement.GetProperty("results")[0].GetProperty("status").GetString());

            var lapsed = await RevokeAsync("40s");
            Assert.True(lapsed.Code == 0, lapsed.All);
            Assert.Empty(Names(lapsed, "lacking"));
            Assert.DoesNotContain(Names(lapsed, "applied"), name => name.Contains("/verifier ", StringComparison.Ordinal));
        }
        finally
        {
            Signals.Send("CONT", verifier.Process);
        }
        Assert.Equal(0, (await RevokeAsync("40s")).Code);
    }

    private Task<Ran> RevokeAsync(string wait) => Claw.RunAsync(
        ["revoke", "--hash", Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32)), "--wait", wait, "--json", "--state", fixture.Stack.StateFolder], null);

    private static JsonElement Wait(Ran ran) => JsonDocument.Parse(ran.LastLine).RootElement.GetProperty("wait");

    private static List<string> Names(Ran ran, string member) => [.. Wait(ran).GetProperty(member).EnumerateArray().Select(name => name.GetString()!)];
}
