using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using ClawBureau.Testing;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;

namespace ClawBureau.Edge.Tests;

/// <summary>A caller of an Edge over TLS, as any HTTP library is one.</summary>
public sealed class HttpFaceClient : IAsyncDisposable
{
    private readonly HttpClient _http;

    public HttpFaceClient(TestProcess edge)
    {
        Edge = edge;
        var anchor = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        anchor.CustomTrustStore.Add(X509CertificateLoader.LoadCertificateFromFile(edge.CaFile));
        _http = new HttpClient(new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = anchor }, AllowAutoRedirect = false })
        {
            BaseAddress = edge.Address,
        };
    }

    public TestProcess Edge { get; }

    /// <summary>The plain loopback listener.</summary>
    public Uri PlainAddress => new(Edge.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single(a => a.StartsWith("http:", StringComparison.Ordinal)));

    public Task<Answered> GetAsync(string path, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Get, path, null, headers);

    public Task<Answered> PostAsync(string path, string body, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Post, path, body, headers);

    /// <summary>With the operator's key, as `Authorization: Bearer`.</summary>
    public Task<Answered> PostAsAdminAsync(string path, string body) => PostAsync(path, body, ("Authorization", $"Bearer {EdgeFixture.AdminKey}"));

    /// <summary>A form, as OAuth clients send one.</summary>
    public Task<Answered> PostFormAsync(string path, string form, params (string Name, string Value)[] headers) =>
        SendAsync(HttpMethod.Post, path, form, [.. headers, ("Content-Type", "application/x-www-form-urlencoded")]);

    /// <summary>A stream of events, as a browser's EventSource opens it.</summary>
    public async Task<EventStream> OpenEventsAsync(string path, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path) { Version = HttpVersion.Version20 };
        foreach (var (name, value) in headers.Append(("Accept", "text/event-stream"))) Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal((HttpStatusCode.OK, "text/event-stream"), (response.StatusCode, response.Content.Headers.ContentType?.ToString()));
        return new EventStream(response, await response.Content.ReadAsStreamAsync());
    }

    public async Task<Answered> SendAsync(HttpMethod method, string path, string? body, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionOrLower };
        if (body is not null) request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
        foreach (var (name, value) in headers)
            Assert.True(name == "Content-Type" ? request.Content!.Headers.TryAddWithoutValidation(name, value) : request.Headers.TryAddWithoutValidation(name, value));
        using var response = await _http.SendAsync(request);
        return await Answered.ReadAsync(response);
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await Edge.DisposeAsync();
    }

    /// <summary>A token as an OpenClaw plugin gets one.</summary>
    public async Task<(string Token, string Hash)> IssueAsync(string body = """{"sub":"did:key:zAgent","aud":"clawproxy.example","scope":["clawproxy:call"]}""")
    {
        var answer = await PostAsAdminAsync("/v1/tokens/issue", body);
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        return (answer.Json.GetProperty("token").GetString()!, answer.Json.GetProperty("token_hash").GetString()!);
    }
}

/// <summary>What came back.</summary>
public sealed record Answered(HttpStatusCode Status, string Text, IReadOnlyDictionary<string, string> Headers)
{
    public JsonElement Json => JsonDocument.Parse(Text).RootElement;

    /// <summary>Member names in order, blank separated.</summary>
    public string Members => MembersOf(Json);

    public static string MembersOf(JsonElement json) => string.Join(' ', json.EnumerateObject().Select(member => member.Name));

    public static async Task<Answered> ReadAsync(HttpResponseMessage response) => new(
        response.StatusCode,
        await response.Content.ReadAsStringAsync(),
        response.Headers.Concat(response.Content.Headers).ToDictionary(h => h.Key.ToLowerInvariant(), h => string.Join(',', h.Value)));

    /// <summary>Exactly <c>{"error","message"}</c>.</summary>
    public void IsRefused(int status, string code, string? message = null)
    {
        Assert.Equal((status, code), ((int)Status, Json.GetProperty("error").GetString()));
        if (message is not null) Assert.Equal(message, Json.GetProperty("message").GetString());
        Assert.Equal("error message", Members);
        Assert.Equal("application/json; charset=utf-8", Headers["content-type"]);
    }

    /// <summary>Exactly <c>{"error","message","active":false}</c>: a token that is not good.</summary>
    public void IsInactive(int status, string code, string? message = null)
    {
        Assert.Equal((status, code), ((int)Status, Json.GetProperty("error").GetString()));
        if (message is not null) Assert.Equal(message, Json.GetProperty("message").GetString());
        Assert.Equal("error message active", Members);
        Assert.False(Json.GetProperty("active").GetBoolean());
        Assert.Equal("application/json; charset=utf-8", Headers["content-type"]);
    }

    /// <summary>200, laid out as JSON.stringify(value, null, 2) does, with these members in this order.</summary>
    public void IsOk(string members)
    {
        Assert.True(Status == HttpStatusCode.OK, $"{Status} {Text}");
        Assert.Equal(members, Members);
        Assert.Equal("application/json; charset=utf-8", Headers["content-type"]);
        Assert.StartsWith("{\n  \"", Text, StringComparison.Ordinal);
        Assert.EndsWith("\n}", Text, StringComparison.Ordinal);
    }
}
