using System.Text.Encodings.Web;
using System.Text.Json;

namespace ClawBureau.Cli;

/// <summary>How answers are printed.</summary>
internal static class Terminal
{
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>One JSON object on one line of stdout.</summary>
    public static void PrintJson(object value) => Console.Out.WriteLine(JsonSerializer.Serialize(value, Json));

    /// <summary>A name and its value, aligned.</summary>
    public static void Print(string name, string? value)
    {
        if (!string.IsNullOrEmpty(value)) Console.Out.WriteLine($"  {name,-14} {value}");
    }

    /// <summary>Epoch seconds as people read time, and how far away that is.</summary>
    public static string Time(long epochSeconds)
    {
        if (epochSeconds > DateTimeOffset.MaxValue.ToUnixTimeSeconds()) return $"{epochSeconds} s after 1970";       // whoever made this token meant never
        var at = DateTimeOffset.FromUnixTimeSeconds(epochSeconds);
        var distance = at - TimeProvider.System.GetUtcNow();
        var text = distance.Duration() < TimeSpan.FromMinutes(2) ? $"{distance.Duration().TotalSeconds:0} s" : $"{distance.Duration().TotalMinutes:0} min";
        return $"{at:yyyy-MM-dd HH:mm:ss}Z ({(distance < TimeSpan.Zero ? text + " ago" : "in " + text)})";
    }

    /// <summary>A token given as an argument, or `-` for standard input, so that it need not stand in the shell's history.</summary>
    public static string ReadToken(string argument) => argument == "-" ? (Console.In.ReadLine() ?? "").Trim() : argument;
}
