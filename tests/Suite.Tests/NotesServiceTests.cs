using System.Diagnostics;
using System.Net;
using System.Text.Json;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Suite.Tests;

/// <summary>The services in examples/, as another team would run them: processes of their own, against a whole stack.</summary>
[Collection(SharedStack.Name)]
public sealed class NotesServiceTests(StackFixture fixture)
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);

    [Fact]
    public async Task A_service_that_uses_the_client_refuses_within_the_lease_after_a_revocation()
    {
        using var service = await StartAsync();
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
        using var service = await StartAsync();
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
        var start = Claw.Describe(Claw.Dotnet, [ProgramOf("NotesReader"), service.Address.ToString()], new Dictionary<string, string?>
        {
            ["CLAW_ISSUER"] = fixture.Stack.Issuer.Address.ToString(),
            ["CLAW_TLS_CA_FILE"] = fixture.Stack.CaFile,
            ["CLAW_ADMIN_KEY"] = fixture.Stack.AdminKey,
        });
        using var client = new RunningClaw(start);
        var ran = await client.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(ran is { Code: 0, Out: "200 [\"first\"]\n" }, ran.All);
    }

    private async Task<RunningService> StartAsync()
    {
        using var stack = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(fixture.Stack.StateFolder, "stack.json")));
        var start = Claw.Describe(Claw.Dotnet, [ProgramOf("Notes")], new Dictionary<string, string?>
        {
            ["ASPNETCORE_URLS"] = "http://127.0.0.1:0",
            ["CLAW_ISSUER"] = fixture.Stack.Issuer.Address.ToString(),
            ["CLAW_INTROSPECTOR"] = fixture.Stack.Introspector.Address.ToString(),
            ["CLAW_TLS_CA_FILE"] = fixture.Stack.CaFile,
            ["NOTES_CERT_FILE"] = stack.RootElement.GetProperty("client_cert_file").GetString(),
            ["NOTES_KEY_FILE"] = stack.RootElement.GetProperty("client_key_file").GetString(),
        });
        var running = new RunningClaw(start);
        try
        {
            const string listens = "Now listening on: ";
            await running.PrintsAsync(listens);
            await running.PrintsAsync("Application started");
            var line = running.Out.Split('\n').First(l => l.Contains(listens, StringComparison.Ordinal));
            return new RunningService(running, new Uri(line[(line.IndexOf(listens, StringComparison.Ordinal) + listens.Length)..].Trim()));
        }
        catch
        {
            running.Dispose();
            throw;
        }
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

    private static string ProgramOf(string example)
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        string[] candidates =
        [
            Path.Combine(here.FullName, "..", "..", example, here.Name, $"ClawBureau.{example}.dll"),                    // --artifacts-path
            Path.Combine(Claw.Root, "examples", example, "bin", here.Parent!.Name, here.Name, $"ClawBureau.{example}.dll"),
        ];
        return candidates.First(File.Exists);
    }

    private sealed record RunningService(RunningClaw Process, Uri Address) : IDisposable
    {
        public void Dispose() => Process.Dispose();
    }
}
