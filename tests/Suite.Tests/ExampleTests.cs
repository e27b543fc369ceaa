using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;
using ClawBureau.Testing;

namespace ClawBureau.Suite.Tests;

/// <summary>The examples of the client library that have no web framework: a plain program, and the two ends of a gRPC call.</summary>
[Collection(SharedStack.Name)]
public sealed class ExampleTests(StackFixture fixture)
{
    [Fact]
    public async Task A_plain_program_judges_tokens_gets_its_own_and_is_told_when_one_dies()
    {
        var passes = await IssueAsync("door.example", "clawproxy:door.pass");
        var elsewhere = await IssueAsync("another.example", "clawproxy:door.pass");
        var lacks = await IssueAsync("door.example", "clawproxy:door.knock");
        using var door = new RunningClaw(Example.OfPerson("Doorkeeper", fixture), string.Join('\n', passes.Token, elsewhere.Token, lacks.Token, "no token", "", ""));
        await Eventually.HoldsAsync("it has judged them all", () => LinesOf(door).Length >= 5, TimeSpan.FromSeconds(60));

        var lines = LinesOf(door);
        Assert.StartsWith($"VALID {passes.TokenHash} did:key:z6MkexampleAgent ", lines[0], StringComparison.Ordinal);
        Assert.Equal(
            ["INVALID TOKEN_BAD_AUDIENCE", "INVALID TOKEN_INSUFFICIENT_SCOPE", "INVALID TOKEN_MALFORMED"],
            lines[1..4].Select(line => string.Join(' ', line.Split(' ')[..2])));
        var own = lines[4].Split(' ');
        Assert.Equal(("VALID", "did:key:z6MkexampleDoorkeeper"), (own[0], own[2]));

        await RevokeAsync(own[1]);
        await door.PrintsAsync($"DEAD {own[1]}");
        await RevokeAsync(passes.TokenHash);
        var ran = await door.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(ran.Code == 0, ran.All);
        Assert.Equal($"DEAD {passes.TokenHash}", ran.LastLine);
    }

    [Fact]
    public async Task A_gRPC_service_admits_calls_by_their_token_and_ends_them_with_it()
    {
        using var service = await Example.StartServiceAsync("Weather", fixture);
        using var reader = await ReadAsync(service, "clawproxy:weather.read");
        await reader.PrintsAsync("sunny in Oslo");
        var lines = LinesOf(reader);
        Assert.Equal("sunny in Rome, did:key:z6MkexampleReader", lines[1]);

        await RevokeAsync(lines[0]["token ".Length..]);
        var ran = await reader.WaitAsync(TimeSpan.FromSeconds(60));         // its stream would go on for ever
        Assert.True(ran.Code == 1 && ran.LastLine.StartsWith("ended: ", StringComparison.Ordinal), ran.All);

        using var lacks = await ReadAsync(service, "clawproxy:weather.report");
        ran = await lacks.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(ran is { Code: 1, LastLine: "ended: TOKEN_INSUFFICIENT_SCOPE" }, ran.All);
    }

    /// <summary>The first calls of a service that has only just started may be refused for want of an answer, and for nothing else.</summary>
    private async Task<RunningClaw> ReadAsync(RunningService service, string scope)
    {
        for (int attempt = 1; ; attempt++)
        {
            var reader = new RunningClaw(Example.OfPerson("WeatherReader", fixture, service.Address.ToString(), scope));
            await Eventually.HoldsAsync("the call is answered", () => LinesOf(reader).Length >= 2, TimeSpan.FromSeconds(60));
            if (attempt == 10 || LinesOf(reader)[1] is not ("ended: PEER_UNAVAILABLE" or "ended: NOT_READY")) return reader;
            reader.Dispose();
        }
    }

    private static string[] LinesOf(RunningClaw program) => program.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private async Task RevokeAsync(string hash) =>
        await fixture.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = hash } }, Reason = "suite" });

    private async Task<IssueTokenResponse> IssueAsync(string audience, string scope) => await fixture.Issuance.IssueTokenAsync(new IssueTokenRequest
    {
        Sub = "did:key:z6MkexampleAgent",
        Aud = new Audience { Values = { audience } },
        Scope = { scope },
    });
}
