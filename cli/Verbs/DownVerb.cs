using System.CommandLine;
using System.Diagnostics;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw down`: ends the stack of a state folder.</summary>
internal static class DownVerb
{
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(60);

    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder of the stack (default .claw/state)." };
        var command = new Command("down", "End the stack that `claw up` runs in a folder, and whatever a killed one left there. What it holds is kept.") { state };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            bool ran = StackFolder.OwnerOf(folder) is { } owner && await EndAsync(owner, cancellationToken);
            if (Directory.Exists(folder)) StackFolder.Open(folder).Release();       // opening ends what a killed one left
            Console.Out.WriteLine(ran ? $"the stack in {folder} has ended" : $"no stack was running in {folder}");
            return ExitCode.Done;
        });
        return command;
    }

    private static async Task<bool> EndAsync(int id, CancellationToken cancellationToken)
    {
        try
        {
            using var owner = Process.GetProcessById(id);
            if (OperatingSystem.IsWindows()) owner.Kill();
            else Programs.Run("kill", ["-TERM", $"{id}"], TimeSpan.FromSeconds(5));
            await owner.WaitForExitAsync(cancellationToken).WaitAsync(Most, cancellationToken);
        }
        catch (ArgumentException)
        {
            // It ended by itself in this moment.
        }
        catch (TimeoutException)
        {
            throw new StackException($"The stack's process {id} has not ended within {Most.TotalSeconds:0} s: `kill -9 {id}`, then `claw down` again.");
        }
        return true;
    }
}
