namespace ClawBureau.Hosting.Logs;

/// <summary>How log lines look; one line per message either way.</summary>
public enum LogFormat
{
    /// <summary>Time, level, event name, message.</summary>
    Text,

    /// <summary>One JSON object, with the message's values as members of their own.</summary>
    Json,
}
