using System.Diagnostics;
using System.Net;
using System.Text.Json;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Suite.Tests;

/// <summary>examples/Notes and examples/NotesReader: a service on ASP.NET Core that takes tokens, and its client.</summary>
[Collection(SharedStack.Name)]
public sealed class NotesServiceTests(StackFixture fixture)
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);

    [Fact]
    public async Task A_service_that_uses_the_client_refuses_within_the_lease_after_a_revocation()
    {
        using var service = await Example.StartServiceAsync("Notes", fixture);
        using var http = new HttpClient { BaseAddress = service.Address, Timeout = TimeSpan.FromSeconds(30) };
        var token = await IssueAsync("clawproxy:notes.read");
        await ReadyAsync(http, token.Token);

        using var live = await SendAsync(http, "/notes/live", token.Token);
        using var lines = new StreamReader(await live.Content.ReadAsStreamAsync());
        Assert.Equal((HttpStatusCode.OK, ": open"), (live.StatusCode, await lines.ReadLineAsync()));

        await fixture.Revocation.RevokeTokensAsync(new RevokeTokensRequest { Targets = { new RevocationTarget { TokenHash = token.TokenHash } }, Reason = "suite" });
        long revokedAt = Stopwatch.GetTimestamp();
        while (true)
        {
            var askedAfter = Stopwatch.GetElapsedTime(revokedAt);
            using var answer = await SendAsync(http, "/notes", token.Token);
            if (answer.StatusCode == HttpStatusCode.OK)
            {
                Assert.True(askedAfter < Lease, $"a request {askedAfter.TotalSeconds:0.0} s after the revocation was let in");
                continue;
            }
            Assert.Equal((HttpStatusCode.Unauthorized, "TOKEN_REVOKED"), (answer.StatusCode, await CodeOfAsync(answer)));
            break;
        }
        // And what was open under it is closed.
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            while (await lines.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(20)) is not null)
            {
                // Whatever was under way.
            }
            throw new EndOfStreamException();
        });
    }

    [Fact]
    public async Task Scopes_decide_what_a_token_may_do_there_and_the_audience_whether_it_may_do_anything()
    {
        using var service = await Example.StartServiceAsync("Notes", fixture);
        using var http = new HttpClient { BaseAddress = service.Address, Timeout = TimeSpan.FromSeconds(30) };
        var reader = await IssueAsync("clawproxy:notes.read");
        var writer = await IssueAsync("clawproxy:notes.write");
        await ReadyAsync(http, reader.Token);

        using var wrote = await SendAsync(http, "/notes", writer.Token, HttpMethod.Post, "first");
        using var refused = await SendAsync(http, "/notes", reader.Token, HttpMethod.Post, "second");
        Assert.Equal((HttpStatusCode.NoContent, HttpStatusCode.Forbidden), (wrote.StatusCode, refused.StatusCode));
        using var read = await SendAsync(http, "/notes", reader.Token);
        Assert.Equal("""["first"]""", await read.Content.ReadAsStringAsync());
        var elsewhere = await fixture.Issuance.IssueTokenAsync(new IssueTokenRequest(StackFixture.Request($"notes-{Guid.NewGuid():N}")) { Scope = { "clawproxy:notes.read" } });
        using var foreign = await SendAsync(http, "/notes", elsewhere.Token);
        Assert.Equal((HttpStatusCode.Forbidden, "TOKEN_BAD_AUDIENCE"), (foreign.StatusCode, await CodeOfAsync(foreign)));

        using var confidence = await SendAsync(http, "/confidence", reader.Token);
        using var json = JsonDocument.Parse(await confidence.Content.ReadAsStringAsync());
        Assert.Equal("Offline", json.RootElement.GetProperty("source").GetString());

        // The client beside it gets its own token and reads with it.
        using var client = new RunningClaw(Example.OfPerson("NotesReader", fixture, service.Address.ToString()));
        var ran = await client.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(ran is { Code: 0, Out: "200 [\"first\"]\n" }, ran.All);
    }

    private async Task<IssueTokenResponse> IssueAsync(string scope) => await fixture.Issuance.IssueTokenAsync(new IssueTokenRequest
    {
        Sub = "did:key:z6MkexampleAgent",
        Aud = new Audience { Values = { "notes.example" } },
        Scope = { scope },
    });

    /// <summary>Until keys and revocations are loaded, nobody gets in: 503, and never anything else.</summary>
    private static Task ReadyAsync(HttpClient http, string token) => Testing.Eventually.HoldsAsync("the service knows keys and revocations", async () =>
    {
        using var answer = await SendAsync(http, "/notes", token);
        if (answer.StatusCode == HttpStatusCode.OK) return true;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        return false;
    });

    private static Task<HttpResponseMessage> SendAsync(HttpClient http, string path, string token, HttpMethod? method = null, string? body = null)
    {
        var request = new HttpRequestMessage(method ?? HttpMethod.Get, path) { Headers = { { "X-CST", token } } };
        if (body is not null) request.Content = new StringContent(body);
        return http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    private static async Task<string?> CodeOfAsync(HttpResponseMessage answer)
    {
        using var json = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
        return json.RootElement.GetProperty("error").GetString();
    }
}
