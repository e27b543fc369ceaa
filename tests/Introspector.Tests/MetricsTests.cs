using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using ClawBureau.Hosting.Telemetry;

namespace ClawBureau.Introspector.Tests;

public sealed class MetricsTests
{
    [Fact]
    public async Task How_long_an_introspection_takes_is_measured_by_what_was_answered()
    {
        var measured = new ConcurrentBag<(string Name, string? Result, double Value)>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == SuiteMetrics.MeterName) self.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => measured.Add((instrument.Name, tags is [var tag, ..] ? (string?)tag.Value : null, value)));
        listener.Start();
        await using var introspector = await IntrospectorFixture.StartAsync();

        var token = await introspector.MintAsync();
        await introspector.IntrospectAsync(token);
        await introspector.RevokeAsync(token);
        await introspector.IntrospectAsync(token);
        await introspector.IntrospectAsync("not.a.token");

        foreach (var result in (string[])["active", "revoked", "inactive"]) Assert.Contains(measured, m => m.Name == "claw.introspection.duration" && m.Result == result && m.Value > 0);
    }
}
