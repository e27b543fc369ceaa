using System.Net.Http.Json;
using System.Text.Json;
using ClawBureau.Stack;
using ClawBureau.Testing;
using Npgsql;

namespace ClawBureau.Suite.Tests;

/// <summary>A stack whose processes send their traces to a collector.</summary>
public sealed class TracedStack : StackFixture
{
    internal TraceCollector Collector { get; } = new();

    internal override StackOptions Options => base.Options with
    {
        Variables = new Dictionary<string, string?>
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = Collector.Address,
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "100",
        },
    };
}

public sealed class TraceTests(TracedStack traced) : IClassFixture<TracedStack>, IDisposable
{
    private const string TraceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    private readonly HttpClient _edge = new() { BaseAddress = traced.Stack.EdgeHttp };

    public void Dispose() => _edge.Dispose();

    [Fact]
    public async Task One_trace_leads_from_the_edge_to_postgresql_and_the_caller_is_told_its_id()
    {
        var (told, hash) = await IssueAsync("traceparent", $"00-{TraceId}-00f067aa0ba902b7-01");

        Assert.Equal(TraceId, told);
        Assert.Equal(TraceId, await InLedgerAsync(hash));
        await Eventually.HoldsAsync("the collector has the trace", () => Sources(TraceId).IsSupersetOf(
        [
            ("clawbureau-edge", "Microsoft.AspNetCore"), ("clawbureau-edge", "System.Net.Http"),
            ("clawbureau-issuer", "Microsoft.AspNetCore"), ("clawbureau-issuer", "ClawBureau"), ("clawbureau-issuer", "Npgsql"),
        ]));
    }

    [Fact]
    public async Task Who_brings_no_id_is_told_that_of_the_trace_that_is_recorded()
    {
        var (told, hash) = await IssueAsync(null, null);

        Assert.Matches("^[0-9a-f]{32}$", told);
        Assert.Equal(told, await InLedgerAsync(hash));
        await Eventually.HoldsAsync("the collector has the trace", () => Sources(told).Contains(("clawbureau-issuer", "Npgsql")));
    }

    [Fact]
    public async Task An_id_of_the_caller_s_own_is_kept_as_it_stands()
    {
        var (told, hash) = await IssueAsync("x-trace-id", "order-4711");

        Assert.Equal("order-4711", told);
        Assert.Equal("order-4711", await InLedgerAsync(hash));
    }

    private async Task<(string Told, string Hash)> IssueAsync(string? header, string? value)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/tokens/issue")
        {
            Content = JsonContent.Create(new { sub = "did:key:z6MkexampleAgent", aud = "clawproxy.example", scope = new[] { "clawproxy:call" } }),
        };
        request.Headers.Authorization = new("Bearer", traced.Stack.AdminKey);
        if (header is not null) request.Headers.Add(header, value);
        using var answer = await _edge.SendAsync(request);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (answer.Headers.GetValues("x-trace-id").Single(), (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("token_hash").GetString()!);
    }

    private async Task<string> InLedgerAsync(string hash)
    {
        await using var ledger = await traced.OpenAdminAsync();
        await using var command = new NpgsqlCommand("SELECT trace_id FROM ledger.events WHERE token_hash = $1", ledger) { Parameters = { new() { Value = Convert.FromHexString(hash) } } };
        return (string)(await command.ExecuteScalarAsync())!;
    }

    private HashSet<(string Process, string Source)> Sources(string traceId) => [.. traced.Collector.Spans.Where(s => s.TraceId == traceId).Select(s => (s.Process, s.Source))];
}
