using System.Text.Json;

namespace ClawBureau.Suite.Tests;

/// <summary>`claw revoke --wait` where there are several Introspectors.</summary>
public sealed class WaitTests(TwoOfEach fixture) : IClassFixture<TwoOfEach>
{
    /// <summary>A process follows one of them and may tell another what it has applied: waiting for it ends all the same.</summary>
    [Fact]
    public async Task Waiting_ends_when_all_have_it_whichever_introspector_they_told()
    {
        for (int i = 0; i < 4; i++)
        {
            var token = (await fixture.Issuance.IssueTokenAsync(StackFixture.Request($"{Guid.NewGuid()}"))).Token;
            var revoked = await Claw.RunAsync(["revoke", "--token", token, "--wait", "40s", "--json", "--state", fixture.Stack.StateFolder], null, "");
            Assert.True(revoked.Code == 0, revoked.All);
            using var answer = JsonDocument.Parse(revoked.Out);
            var wait = answer.RootElement.GetProperty("wait");
            Assert.True(wait.GetProperty("everywhere").GetBoolean(), revoked.Out);
            Assert.NotEmpty(wait.GetProperty("applied").EnumerateArray());
            Assert.True(wait.GetProperty("took_ms").GetDouble() < 20_000, $"it was waited for to the end: {revoked.Out}");
        }
    }
}
