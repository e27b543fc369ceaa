using System.CommandLine;
using System.CommandLine.Parsing;

namespace ClawBureau.Cli;

/// <summary>What the shell is told. Documented in README.md; scripts branch on it. One that was interrupted says 128 and the signal, as shells do.</summary>
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
        using var interruption = new Interruption();
        try
        {
            // The framework's own handling of Ctrl-C gives up after two seconds, in the middle of taking a stack down.
            return await parsed.InvokeAsync(
                new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, interruption.Token);
        }
        catch (Exception) when (interruption.ExitCode is not null)
        {
            await Console.Error.WriteLineAsync("claw: interrupted");
            return interruption.ExitCode.Value;
        }
        catch (Exception e)
        {
            var failure = Failure.Of(e);
            await failure.ReportAsync();
            return failure.ExitCode;
        }
    }

    private static string PathOf(CommandResult? command) =>
        command is null ? "" : $"{PathOf(command.Parent as CommandResult)} {command.Command.Name}".Trim();
}
