using ClawBureau.Hosting;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Npgsql;
using StatusCode = Grpc.Core.StatusCode;

namespace ClawBureau.Cli;

/// <summary>Whatever went wrong as a person is told of it: a sentence, what to do, an exit code. Never a stack trace.</summary>
internal sealed record Failure(string Sentence, string? Remedy, int ExitCode)
{
    public static Failure Of(Exception e) => e switch
    {
        Refusal refusal => Of(refusal.Sentence, ReasonCatalog.Of(refusal.Reason)),
        UsageException => new(e.Message, null, Cli.ExitCode.Usage),
        UnreachableException => new($"unavailable: {e.Message}", "Is it running? `claw up` starts a local stack; --state, --issuer and --introspector say where to look.", Cli.ExitCode.Unavailable),
        PostgresException refused => new($"the database refused: {refused.MessageText} (SQLSTATE {refused.SqlState})", "CLAW_DATABASE must name an administrator's account.", Cli.ExitCode.Unavailable),
        NpgsqlException or TimeoutException => new($"the database cannot be reached: {e.Message}", "Start the server, or correct CLAW_DATABASE.", Cli.ExitCode.Unavailable),
        StackException or StartRefused or InvalidOperationException or IOException or UnauthorizedAccessException => new(e.Message, null, Cli.ExitCode.Unavailable),
        StepFailed => new(e.Message, null, Cli.ExitCode.Refused),
        _ => new($"a defect of claw itself: {e.GetType().Name}: {e.Message}", "Please report it with the command that led to it.", Cli.ExitCode.Unavailable),
    };

    /// <param name="sentence">More precise than the reason's own; null: there is none.</param>
    public static Failure Of(string? sentence, ReasonEntry entry)
    {
        bool unavailable = entry.GrpcCode is StatusCode.Unavailable or StatusCode.ResourceExhausted;
        return new(
            $"{(unavailable ? "unavailable" : "refused")}: {sentence ?? entry.Sentence} ({entry.Code})",
            entry.Remedy,
            unavailable ? Cli.ExitCode.Unavailable : Cli.ExitCode.Refused);
    }

    public async Task ReportAsync()
    {
        await Console.Error.WriteLineAsync($"claw: {Sentence}");
        if (Remedy is not null) await Console.Error.WriteLineAsync($"      {Remedy}");
    }
}

/// <summary>The command was put together wrongly. Exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>Nobody answers at a service's address.</summary>
internal sealed class UnreachableException(string message, Exception inner) : Exception(message, inner);

/// <summary>A step of the demo did not hold.</summary>
internal sealed class StepFailed(string message) : Exception(message);
