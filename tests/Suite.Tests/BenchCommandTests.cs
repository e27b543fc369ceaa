using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using ClawBureau.Load;
using ClawBureau.Stack;

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
        Assert.Equal(["introspect linearizable c=4", "introspect, the ledger not read c=4", "empty unary c=4"], rows.Select(row => row.GetProperty("name").GetString()));
        Assert.All(rows, row => Assert.Equal(
            ["name", "per_second", "p50_ms", "p99_ms", "cpu_us", "baseline", "ratio", "cpu_ratio"], row.EnumerateObject().Select(member => member.Name)));
        Assert.Equal("empty unary c=4", rows[0].GetProperty("baseline").GetString());
        foreach (var figure in (string[])["per_second", "p50_ms", "p99_ms", "cpu_us", "ratio", "cpu_ratio"]) Assert.True(rows[0].GetProperty(figure).GetDouble() > 0, figure);
        Assert.Equal(JsonValueKind.Null, rows[^1].GetProperty("ratio").ValueKind);
    }

    [Fact]
    public async Task Ctrl_C_ends_it_and_takes_its_stack_along()
    {
        using var bench = new RunningClaw(["bench", "introspect", "--seconds", "60", "--clients", "2"]);
        await bench.PrintsAsync("round 1 of");
        var processes = Regex.Matches(bench.Error, @" pid (\d+)").Select(m => int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture)).ToList();
        var folder = Regex.Match(bench.Error, @"private cluster in (\S+)/postgres").Groups[1].Value;
        Assert.True(processes.Count >= Place.All.Count && Directory.Exists(folder), bench.Error);

        int code = bench.Interrupt();
        var ran = await bench.WaitAsync(TimeSpan.FromSeconds(60));

        Assert.True(ran.Code == code, ran.All);
        Assert.EndsWith("claw: interrupted\n", ran.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder));
        Assert.All(processes, id => Assert.Throws<ArgumentException>(() => Process.GetProcessById(id)));
    }

    [Fact]
    public async Task What_is_unknown_is_told_what_there_is()
    {
        var ran = await Claw.RunAsync("bench", "introspect", "nonsense");
        Assert.Equal((2, ""), (ran.Code, ran.Out));
        Assert.Equal($"claw: There is nothing called 'nonsense' to measure: {string.Join(", ", LoadRun.Names)}.\n", ran.Error);
        foreach (var name in (string[])["issue", "introspect", "batch-introspect", "mass", "verify", "revoke", "watch", "audit"]) Assert.Contains(name, LoadRun.Names);
    }

    /// <summary>As they are but for their size: that they measure what they say is not left to whoever next has an hour.</summary>
    [Fact]
    public async Task The_scenarios_of_mass_and_of_the_audit_log_measure_what_they_name()
    {
        var rows = new List<Row>();
        var failures = new List<string>();
        var options = new LoadOptions { Names = ["mass", "audit"], Duration = TimeSpan.FromMilliseconds(200), WarmUp = TimeSpan.FromMilliseconds(100), Rounds = 2, Clients = 4, LiveRevocations = 2_500, MissionTokens = 200 };
        await LoadRun.RunAsync(options, _ => { }, rows.AddRange, (name, e) => failures.Add($"{name}: {e.Message}"), CancellationToken.None);

        Assert.Empty(failures);
        Assert.Equal(
            [
                ("Introspector start, 2,500 live", "the same rows read by plain SQL"), ("the same rows read by plain SQL", null), ("follower start, 2,500 live, # bytes each", null),
                ("introspect c=4, 2,500 live", "introspect c=4, 0 live"), ("introspect c=4, 0 live", null),
                ("introspect c=4, a mission of 200", "empty unary c=4"), ("empty unary c=4", null),
                ("introspect c=4, that mission blocked by one row", "empty unary c=4"), ("empty unary c=4", null),
                ("introspect c=4, everything blocked by one row", "empty unary c=4"), ("empty unary c=4", null),
                ("audit append, 1000 a call, c=4", "the same bytes inserted, not hashed"), ("all that the log keeps of them inserted", "the same bytes inserted, not hashed"),
                ("the same bytes inserted, not hashed", null),
            ],
            rows.Select(row => (Regex.Replace(row.Name, @"\d+ bytes", "# bytes"), row.Baseline)));
        Assert.All(rows, row => Assert.True(row.PerSecond > 0 && row.P50Ms > 0 && row.P99Ms >= row.P50Ms && row.Ratio is null or > 0, $"{row}"));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("introspect --seconds 0")]
    [InlineData("introspect --clients 0")]
    [InlineData("watch --watchers 100 0")]
    public async Task Wrong_usage_is_told_before_anything_starts(string line)
    {
        var ran = await Claw.RunAsync(["bench", .. line.Split(' ')], null);
        Assert.True(ran.Code == 2, ran.All);
        Assert.Equal("", ran.Out);
    }
}
