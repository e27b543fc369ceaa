using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using ClawBureau.Hosting.Callers;
using Xunit.Abstractions;

namespace ClawBureau.Hosting.Tests;

/// <summary>
/// SECURITY.md D10: how long the search for an admin key takes says nothing of what it found. Measured as dudect does: classes in random
/// order, so that whatever else the machine does falls on all of them alike; the slowest tenth is cropped; Welch's t between each two
/// classes. 20,000 measurements by default; CLAW_TIMING_MEASUREMENTS says how many.
/// </summary>
public sealed class AdminKeyTimingTests(ITestOutputHelper output)
{
    private const double Leaks = 4.5;
    private const int Keys = 16;
    private const int HashLength = 32;

    [Fact, Trait("Length", "Nightly")]
    public void A_key_that_is_there_one_that_is_not_and_one_withdrawn_take_the_same_time()
    {
        var count = Environment.GetEnvironmentVariable("CLAW_TIMING_MEASUREMENTS") is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : 20_000;
        var table = new AdminKeyTable([.. Enumerable.Range(0, Keys).Select(i => Record($"key {i}"))]);
        var random = new Random(20_261_126);
        var (classes, inputs) = (new int[count], new byte[count * HashLength]);
        for (var i = 0; i < count; i++)
        {
            classes[i] = random.Next(3);
            var shown = classes[i] switch
            {
                0 => HashOf($"key {random.Next(Keys)}"),
                1 => HashOf($"guess {random.Next()}"),
                _ => HashOf($"withdrawn {random.Next(Keys)}"),
            };
            shown.CopyTo(inputs, i * HashLength);
        }

        var found = 0;
        var times = Measure(count, i => table.Find(inputs.AsSpan(i * HashLength, HashLength)) is not null, ref found);
        Assert.Equal(classes.Count(c => c == 0), found);
        foreach (var (one, other, names) in new[] { (0, 1, "there, not there"), (0, 2, "there, withdrawn"), (1, 2, "not there, withdrawn") })
        {
            var t = Welch(times, classes, one, other);
            output.WriteLine($"{names}: t = {t.ToString("0.00", CultureInfo.InvariantCulture)} over {count:N0} measurements");
            Assert.InRange(Math.Abs(t), 0, Leaks);
        }
    }

    [Fact]
    public void A_comparison_that_ends_at_the_first_difference_is_seen()
    {
        // The negative control: what this measures can fail. Here one class differs at once, and the other at the end.
        const int count = 20_000, length = 4096;
        var random = new Random(1);
        var secret = new byte[length];
        byte[][] shown = [new byte[length], new byte[length]];
        (shown[0][0], shown[1][length - 1]) = (1, 1);
        var classes = Enumerable.Range(0, count).Select(_ => random.Next(2)).ToArray();
        var equal = 0;
        var t = Welch(Measure(count, i => EndsEarly(secret, shown[classes[i]]), ref equal), classes, 0, 1);
        output.WriteLine($"t = {t.ToString("0.0", CultureInfo.InvariantCulture)}");
        Assert.Equal(0, equal);
        Assert.InRange(t, double.MinValue, -Leaks);

        static bool EndsEarly(byte[] one, byte[] other)
        {
            for (var i = 0; i < one.Length; i++)
            {
                if (one[i] != other[i]) return false;
            }
            return true;
        }
    }

    [Fact]
    public void Welchs_t_is_the_books()
    {
        // Means 3 and 6, variances 2.5 and 10, five of each: (3 - 6) / sqrt(0.5 + 2).
        double[] times = [1, 2, 3, 4, 5, 2, 4, 6, 8, 10];
        int[] classes = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1];
        Assert.Equal(-3 / Math.Sqrt(2.5), Welch(times, classes, 0, 1, cropped: 0), 12);
    }

    [Fact]
    public void The_first_of_two_equal_keys_is_found_and_of_none_nobody()
    {
        Assert.Null(new AdminKeyTable([]).Find(HashOf("a")));
        var table = new AdminKeyTable([Record("a", "first"), Record("b", "second")]).With([Record("a", "third"), Record("c", "fourth")]);
        Assert.Equal(4, table.Count);
        Assert.Equal(["first", "second", "fourth", null], ((string[])["a", "b", "c", "d"]).Select(key => table.Find(HashOf(key))?.KeyName));
        for (var i = 0; i < HashLength; i++)
        {
            var near = HashOf("a");
            near[i] ^= 1;
            Assert.Null(table.Find(near));
        }
    }

    private static double[] Measure(int count, Func<int, bool> search, ref int found)
    {
        for (var warm = 0; warm < 2_000; warm++) search(warm % count);
        var times = new double[count];
        for (var i = 0; i < count; i++)
        {
            var start = Stopwatch.GetTimestamp();
            var isFound = search(i);
            times[i] = Stopwatch.GetTimestamp() - start;
            if (isFound) found++;
        }
        return times;
    }

    /// <param name="cropped">The share of slowest measurements that is left out, whatever their class.</param>
    private static double Welch(double[] times, int[] classes, int one, int other, double cropped = 0.1)
    {
        var limit = times.Order().ElementAt((int)((times.Length - 1) * (1 - cropped)));
        var (a, b) = (Of(one), Of(other));
        return (a.Mean - b.Mean) / Math.Sqrt(a.Variance / a.Count + b.Variance / b.Count);

        (double Mean, double Variance, int Count) Of(int which)
        {
            var of = times.Where((time, i) => classes[i] == which && time <= limit).ToList();
            var mean = of.Average();
            return (mean, of.Sum(time => (time - mean) * (time - mean)) / (of.Count - 1), of.Count);
        }
    }

    private static AdminKeyRecord Record(string key, string? name = null) => new(name ?? "k", [.. HashOf(key)], ["*"]);

    private static byte[] HashOf(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));
}
