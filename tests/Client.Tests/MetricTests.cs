using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Tests;

/// <summary>The product's success metrics, by the names that docs/metrics.md gives them.</summary>
public sealed class MetricTests
{
    [Fact]
    public void Every_metric_of_the_library_stands_on_the_page_that_documents_them()
    {
        var page = File.ReadAllText(Path.Combine(SourceFolder(), "..", "..", "docs", "metrics.md"));
        var instruments = typeof(ClientMetrics).GetFields().Select(field => field.GetValue(null)).OfType<Instrument>().ToList();
        Assert.Equal(3, instruments.Count);
        Assert.All(instruments, instrument => Assert.Contains($"| `{instrument.Name}` | {(instrument is Counter<long> ? "counter" : $"histogram, {instrument.Unit}")} |", page, StringComparison.Ordinal));

        static string SourceFolder([System.Runtime.CompilerServices.CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
    }

    [Fact]
    public async Task Verifications_are_counted_by_how_they_were_decided_and_revocations_by_how_long_they_took()
    {
        var seen = new ConcurrentQueue<(string Name, double Value, string Tags)>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listening) =>
            {
                if (instrument.Meter.Name == ClientMetrics.MeterName) listening.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => seen.Enqueue((instrument.Name, value, Join(tags))));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => seen.Enqueue((instrument.Name, value, Join(tags))));
        listener.Start();

        await using var client = await ClientFixture.StartAsync();
        await client.VerifyAsync(client.Sign().Compact);
        Assert.Contains(("claw.verification", 1.0, "path=offline"), seen);
        client.Feed.RevokeToken(TokenHash.Of("token"));
        await client.AppliedAsync(1);
        Assert.Contains(seen, measured => measured is ("claw.revocation.propagation", >= 0, ""));

        client.Feed.Down = new Refusal(Reason.NotReady);
        client.Feed.Cut();
        await Testing.Eventually.HoldsAsync("the stream is gone", () => !client.Follower.IsConnected);
        client.Clock.Advance(TimeSpan.FromSeconds(3));
        client.Introspection.Answer = request => FakeIntrospection.Active(request.Token, client.Key.KeyId);
        await client.VerifyAsync(client.Sign().Compact);
        Assert.Contains(("claw.verification", 1.0, "path=introspection"), seen);
        Assert.Contains(seen, measured => measured is ("claw.verification.introspection_wait", >= 0, "result=answered"));

        static string Join(ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            var joined = new List<string>();
            foreach (var (name, value) in tags) joined.Add($"{name}={value}");
            return string.Join(' ', joined);
        }
    }
}
