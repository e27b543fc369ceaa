using System.CommandLine;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw status`: what runs in a state folder, and whether it serves.</summary>
internal static class StatusVerb
{
    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder of the stack (default .claw/state)." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var command = new Command("status", "Say what runs in a folder, and whether it serves. Exit code 0: everything does, 3: something does not, or nothing runs.") { state, json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            var owner = StackFolder.OwnerOf(folder);
            var described = StackDescription.Read(folder);
            if (described is null && !parsed.GetValue(json)) throw new StackException(owner is null ? $"No stack runs in {folder}: `claw up` starts one." : $"The stack in {folder} is starting.");

            var services = described is null ? [] : await StackHealth.AskAsync(described, cancellationToken);
            bool serves = owner is not null && services.Count > 0 && services.All(s => s.State == ServiceState.Serving);
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    serving = serves,
                    state = folder,
                    pid = owner,
                    services = services.Select(s => new { name = s.Name, url = s.Url.ToString(), pid = s.Pid, state = s.State.ToText() }),
                    edge_http = described?.EdgeHttp?.ToString(),
                });
                return serves ? ExitCode.Done : ExitCode.Unavailable;
            }
            Console.Out.WriteLine(owner is null ? $"the process that ran the stack in {folder} is gone: `claw down` ends what it left" : $"a stack runs in {folder}, process {owner}");
            foreach (var service in services) Console.Out.WriteLine($"  {service.Name,-14} {service.Url} pid {service.Pid,-8} {service.State.ToText()}");
            if (described!.EdgeHttp is { } plain) Console.Out.WriteLine($"  {"plain HTTP",-14} {plain}");
            return serves ? ExitCode.Done : ExitCode.Unavailable;
        });
        return command;
    }
}
