using System.Globalization;
using Microsoft.Extensions.Configuration;

namespace ClawBureau.Hosting;

/// <summary>
/// Reads the variables a process is configured by. A value that cannot be used refuses the start with a sentence that names
/// the variable; a blank one counts as absent.
/// </summary>
public sealed class Settings(IConfiguration configuration)
{
    /// <returns>The trimmed value, or null when there is none.</returns>
    public string? Text(string name) =>
        configuration[name]?.Trim() is { Length: > 0 } value ? value : null;

    /// <param name="name">The variable.</param>
    /// <param name="remedy">What to set it to, as the end of a sentence: "to the PEM file of …".</param>
    /// <exception cref="StartRefused">There is no value.</exception>
    public string Required(string name, string remedy) =>
        Text(name) ?? throw new StartRefused($"{name} is not set: set it {remedy}.");

    /// <exception cref="StartRefused">The value is not 1, 0, true or false.</exception>
    public bool Flag(string name) => Text(name)?.ToLowerInvariant() switch
    {
        null or "0" or "false" => false,
        "1" or "true" => true,
        var other => throw new StartRefused($"{name} is '{other}': set it to 1 or 0."),
    };

    /// <exception cref="StartRefused">The value is not a whole number from min to max.</exception>
    public int Number(string name, int fallback, int min, int max)
    {
        if (Text(name) is not { } text) return fallback;
        return int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max
            ? number
            : throw new StartRefused($"{name} is '{text}': set it to a whole number from {min} to {max}.");
    }

    /// <exception cref="StartRefused">The value is not a number of seconds from min to max; fractions are allowed.</exception>
    public TimeSpan Seconds(string name, TimeSpan fallback, TimeSpan min, TimeSpan max)
    {
        if (Text(name) is not { } text) return fallback;
        return double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds)
            && seconds >= min.TotalSeconds && seconds <= max.TotalSeconds
            ? TimeSpan.FromSeconds(seconds)
            : throw new StartRefused($"{name} is '{text}': set it to {min.TotalSeconds} to {max.TotalSeconds} seconds.");
    }

    /// <exception cref="StartRefused">The value is not the name of one of the choices; case does not matter.</exception>
    public T Choice<T>(string name, T fallback)
        where T : struct, Enum
    {
        if (Text(name) is not { } text) return fallback;
        foreach (var choice in Enum.GetValues<T>())
        {
            if (string.Equals(choice.ToString(), text, StringComparison.OrdinalIgnoreCase)) return choice;
        }
        throw new StartRefused($"{name} is '{text}': set it to one of {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}.");
    }
}
