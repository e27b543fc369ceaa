namespace ClawBureau.Cli.Doctor;

/// <summary>How bad it is.</summary>
internal enum Severity
{
    Ok,

    /// <summary>It works, and will not for ever, or not as well as it could.</summary>
    Warning,

    /// <summary>Something does not work.</summary>
    Problem,
}

/// <summary>One thing that was looked at.</summary>
/// <param name="Check">A stable name, such as <c>postgresql</c> or <c>service.issuer-0</c>.</param>
/// <param name="Severity">How bad it is.</param>
/// <param name="Told">What was found.</param>
/// <param name="Remedy">What to do; null where nothing has to be done.</param>
internal sealed record Diagnosis(string Check, Severity Severity, string Told, string? Remedy)
{
    public static Diagnosis Ok(string check, string told) => new(check, Severity.Ok, told, null);

    public static Diagnosis Warning(string check, string told, string remedy) => new(check, Severity.Warning, told, remedy);

    public static Diagnosis Problem(string check, string told, string remedy) => new(check, Severity.Problem, told, remedy);
}
