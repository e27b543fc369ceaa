using System.CommandLine;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw prepare`: what processes need before they start, for those who start them by other means than `claw up`.</summary>
internal static class PrepareVerb
{
    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder that is filled (default .claw/state)." };
        var command = new Command("prepare", "Make what services need before they start: development CA and certificates, an admin key, a signing key. What is there is kept.") { state };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            await LocalStack.PrepareAsync(folder, cancellationToken);
            Console.Out.WriteLine($"certificates, admin key and signing key are in {folder}");
            return ExitCode.Done;
        });
        return command;
    }
}
