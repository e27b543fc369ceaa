using ClawBureau.Hosting;
using ClawBureau.Hosting.Health;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Testing;
using ClawBureau.Tokens;
using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Verifier.Tests;

public sealed class StartTests
{
    private static readonly Dictionary<string, string?> Nowhere = new() { ["CLAW_ISSUER"] = "https://127.0.0.1:1", ["CLAW_INTROSPECTOR"] = "https://127.0.0.1:1" };

    [Fact]
    public async Task Without_keys_and_revocations_it_is_not_ready_says_what_it_waits_for_and_says_yes_to_nothing()
    {
        await using var process = await TestProcess.StartAsync("verifier", s => s.AddVerifier(), a => a.MapVerifier(), Nowhere);
        var readiness = process.Services.GetRequiredService<Readiness>();
        Assert.False(readiness.IsReady);
        Assert.Equal(["keys", "revocations"], readiness.NotReady.Keys);
        var calls = new VerificationService.VerificationServiceClient(process.Channel().Calls);
        var token = VerifierFixture.Sign().Compact;
        Assert.Equal(Reason.PeerUnavailable, (await Assert.ThrowsAsync<Refusal>(async () => await calls.VerifyTokenAsync(new() { Token = token }))).Reason);
        Assert.Equal(Reason.DependencyNotConfigured, (await Assert.ThrowsAsync<Refusal>(async () => await calls.VerifyTokenControlAsync(new() { Token = token }))).Reason);
    }

    [Theory]
    [InlineData("CLAW_ISSUER", null)]
    [InlineData("CLAW_ISSUER", "http://127.0.0.1:1")]
    [InlineData("CLAW_INTROSPECTOR", null)]
    [InlineData("CLAW_MAX_STALENESS_SECONDS", "0")]
    [InlineData("CLAW_KEY_COOL_DOWN_SECONDS", "never")]
    [InlineData("CONTROL_VERIFY_TIMEOUT_MS", "1")]
    [InlineData("CONTROL_KEY_TRANSPARENCY_MAX_AGE_SECONDS", "1")]
    [InlineData("CLAW_PUBLIC_VERIFICATION", "perhaps")]
    public async Task A_setting_that_cannot_be_used_stops_the_start_with_a_sentence_that_names_it(string name, string? value)
    {
        var settings = new Dictionary<string, string?>(Nowhere) { [name] = value };
        var refused = await Assert.ThrowsAsync<StartRefused>(() => TestProcess.StartAsync("verifier", s => s.AddVerifier(), a => a.MapVerifier(), settings));
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_public_verifies_through_the_Edge_where_that_is_switched_on_and_only_so_often()
    {
        foreach (var (isPublic, reason) in new[] { ("1", Reason.RateLimited), ("0", Reason.CallerNotAllowed) })
        {
            await using var process = await TestProcess.StartAsync("verifier", s => s.AddVerifier(), a => a.MapVerifier(), new Dictionary<string, string?>(Nowhere)
            {
                ["CLAW_PUBLIC_VERIFICATION"] = isPublic,
                ["CLAW_PUBLIC_VERIFICATION_RATE"] = "1",
            });
            var folder = Path.GetDirectoryName(process.CaFile)!;
            using var edge = Hosting.Peers.PeerChannel.Create(process.Address, new()
            {
                CaFile = process.CaFile,
                ClientCertFile = Path.Combine(folder, "edge.crt"),
                ClientKeyFile = Path.Combine(folder, "edge.key"),
            });
            var calls = new VerificationService.VerificationServiceClient(edge.Calls);
            var refusals = new List<Reason>();
            for (int i = 0; i < 30; i++)
                refusals.Add((await Assert.ThrowsAsync<Refusal>(async () => await calls.VerifyControlChainAsync(new()))).Reason);
            Assert.Contains(reason, refusals);
            Assert.Equal(isPublic == "1", refusals.Contains(Reason.MissingRequiredField));         // the first one is heard
            Assert.Equal(Reason.Unauthorized, (await Assert.ThrowsAsync<Refusal>(async () => await calls.VerifyTokenAsync(new() { Token = "a.b.c" }))).Reason);
        }
    }
}
