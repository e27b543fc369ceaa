using System.Text.Json;

namespace ClawBureau.Suite.Tests;

/// <summary>`claw bench` runs, and its last line has the form that others read. What it measures is asserted nowhere: that depends on the machine.</summary>
public sealed class BenchCommandTests
{
    [Fact]
    public async Task It_measures_beside_a_baseline_and_ends_with_one_line_of_json()
    {
        var ran = await Claw.RunAsync(["bench", "introspect", "--seconds", "0.2", "--clients", "4", "--json"], null);
        Assert.True(ran.Code == 0, ran.All);
        var last = JsonDocument.Parse(ran.Out.TrimEnd('\n').Split('\n')[^1]).RootElement;
        Assert.Equal(["machine", "rows"], last.EnumerateObject().Select(member => member.Name));
        var rows = last.GetProperty("rows").EnumerateArray().ToList();
        Assert.Equal(["introspect linearizable c=4", "empty unary c=4"], rows.Select(row => row.GetProperty("name").GetString()));
        Assert.All(rows, row => Assert.Equal(
            ["name", "per_second", "p50_ms", "p99_ms", "cpu_us", "baseline", "ratio", "cpu_ratio"], row.EnumerateObject().Select(member => member.Name)));
        Assert.Equal("empty unary c=4", rows[0].GetProperty("baseline").GetString());
        foreach (var figure in (string[])["per_second", "p50_ms", "p99_ms", "cpu_us", "ratio", "cpu_ratio"]) Assert.True(rows[0].GetProperty(figure).GetDouble() > 0, figure);
        Assert.Equal(JsonValueKind.Null, rows[1].GetProperty("ratio").ValueKind);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("introspect --seconds 0")]
    [InlineData("introspect --clients 0")]
    public async Task Wrong_usage_is_told_before_anything_starts(string line)
    {
        var ran = await Claw.RunAsync(["bench", .. line.Split(' ')], null);
        Assert.True(ran.Code == 2, ran.All);
        Assert.Equal("", ran.Out);
    }
}
