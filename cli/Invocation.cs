using System.CommandLine;
using System.CommandLine.Parsing;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Npgsql;
using StatusCode = Grpc.Core.StatusCode;

namespace ClawBureau.Cli;

/// <summary>What the shell is told. Documented in README.md; scripts branch on it.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Refused = 1;
    public const int Usage = 2;
    public const int Unavailable = 3;
}

/// <summary>Runs one verb and turns whatever goes wrong into a sentence, a remedy and an exit code.</summary>
internal static class Invocation
{
    public static async Task<int> RunAsync(Command root, string[] args)
    {
        var parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors) await Console.Error.WriteLineAsync($"claw: {error.Message}");
            await Console.Error.WriteLineAsync($"claw: `{PathOf(parsed.CommandResult)} --help` shows how it is used");
            return ExitCode.Usage;
        }
        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (Refusal refusal)
        {
            return await ReportAsync(refusal);
        }
        catch (Exception e) when (e is StackException or StartRefused or NpgsqlException or InvalidOperationException or UsageException)
        {
            await Console.Error.WriteLineAsync($"claw: {e.Message}");
            return e is UsageException ? ExitCode.Usage : ExitCode.Unavailable;
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Unavailable;
        }
    }

    private static string PathOf(CommandResult? command) =>
        command is null ? "" : $"{PathOf(command.Parent as CommandResult)} {command.Command.Name}".Trim();

    private static async Task<int> ReportAsync(Refusal refusal)
    {
        var entry = ReasonCatalog.Of(refusal.Reason);
        bool unavailable = entry.GrpcCode is StatusCode.Unavailable or StatusCode.ResourceExhausted;
        await Console.Error.WriteLineAsync($"claw: {(unavailable ? "unavailable" : "refused")}: {refusal.Sentence ?? entry.Sentence} ({entry.Code})");
        await Console.Error.WriteLineAsync($"      {entry.Remedy}");
        return unavailable ? ExitCode.Unavailable : ExitCode.Refused;
    }
}

/// <summary>The command was put together wrongly. Exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
