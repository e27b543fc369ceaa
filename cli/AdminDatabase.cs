using Npgsql;

namespace ClawBureau.Cli;

/// <summary>CLAW_DATABASE: an administrator's connection string.</summary>
internal static class AdminDatabase
{
    /// <returns>Null when it is not set.</returns>
    /// <exception cref="UsageException">It is no connection string. What it holds is not repeated: a password may be in it.</exception>
    public static string? Read()
    {
        var text = Environment.GetEnvironmentVariable("CLAW_DATABASE");
        if (string.IsNullOrWhiteSpace(text)) return null;
        try
        {
            return new NpgsqlConnectionStringBuilder(text) is { Host.Length: > 0 } builder ? builder.ConnectionString : throw new UsageException($"CLAW_DATABASE names no host; {Example}");
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
        {
            throw new UsageException($"CLAW_DATABASE is no connection string; {Example}");
        }
    }

    public const string Example = "it looks like Host=db;Database=claw;Username=postgres;Password=…";
}
