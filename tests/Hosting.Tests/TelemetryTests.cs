using System.Collections.Concurrent;
using System.Text;
using ClawBureau.Hosting.Telemetry;
using ClawBureau.Hosting.Tests.Processes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ClawBureau.Hosting.Tests;

/// <summary>Alone: while a collector is named, every call of this test process carries a traceparent.</summary>
[CollectionDefinition(nameof(TelemetryTests), DisableParallelization = true)]
[Collection(nameof(TelemetryTests))]
public sealed class TelemetryTests
{
    [Fact]
    public async Task Traces_and_metrics_reach_the_collector_that_is_named()
    {
        var received = new ConcurrentDictionary<string, string>();
        await using var collector = await CollectAsync(received);
        var address = collector.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""), settings: new Dictionary<string, string?>
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = address,
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
        });
        using (var channel = process.Connect()) await channel.ProbeAsync(CallKind.Unary);
        SuiteMetrics.TokensIssued.Add(1, new KeyValuePair<string, object?>("tier", "default"));
        await process.DisposeAsync();       // flushes

        Assert.Contains("clawbureau.probe.v1.ProbeService", received["/v1/traces"], StringComparison.Ordinal);
        Assert.Contains("claw.tokens.issued", received["/v1/metrics"], StringComparison.Ordinal);
        Assert.DoesNotContain(RunningProcess.AdminKey, received["/v1/traces"], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address")]
    [InlineData("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke")]
    public async Task A_collector_that_cannot_be_meant_refuses_the_start(string name, string value)
    {
        var settings = new Dictionary<string, string?> { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:4317" };
        settings[name] = value;
        var refused = await Assert.ThrowsAsync<StartRefused>(() => RunningProcess.ProbeAsync((_, _) => Task.FromResult(""), settings: settings));
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }

    private static async Task<WebApplication> CollectAsync(ConcurrentDictionary<string, string> received)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapPost("/v1/{signal}", async (HttpRequest request) =>
        {
            using var reader = new StreamReader(request.Body, Encoding.Latin1);
            var body = await reader.ReadToEndAsync();
            received.AddOrUpdate(request.Path, body, (_, before) => before + body);
            return Results.Ok();
        });
        await app.StartAsync();
        return app;
    }
}
