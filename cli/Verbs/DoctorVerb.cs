using System.CommandLine;
using ClawBureau.Cli.Doctor;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw doctor`: what is wrong with this machine or a stack on it, or with the services that the environment names, and what to do.</summary>
internal static class DoctorVerb
{
    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder of the stack (default .claw/state)." };
        var portBase = new Option<int>("--port-base") { Description = "First port that `claw up` would use.", DefaultValueFactory = _ => 7400 };
        var json = new Option<bool>("--json") { Description = "Print what was found as one JSON object." };
        var command = new Command("doctor", "Say what is wrong with this machine, and with the stack in a folder or else the services that CLAW_ISSUER and its like name, and what to do. Exit code 0: nothing that keeps it from working, 1: something.") { state, portBase, json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            StackDescription? described = null;
            var found = new List<Diagnosis>();
            try
            {
                described = StackDescription.Read(folder);
            }
            catch (StackException e)
            {
                found.Add(Diagnosis.Problem("stack", e.Message, $"`claw down --state {folder}`, then `claw up --state {folder}`, describes it anew."));
            }
            bool runs = described is not null || StackFolder.OwnerOf(folder) is not null;
            var named = parsed.GetValue(state) is null && !runs ? NamedServices.Find(Environment.GetEnvironmentVariable) : [];
            if (named.Count > 0) found.Insert(0, Machine.Signatures());
            else found.InsertRange(0, await Machine.LookAtAsync(folder, runs ? null : parsed.GetValue(portBase), cancellationToken));
            if (named.Count > 0) found.AddRange(await NamedServices.LookAtAsync(named, Environment.GetEnvironmentVariable("CLAW_CA_FILE"), cancellationToken));
            else if (described is not null) found.AddRange(await RunningStack.LookAtAsync(described, TimeProvider.System, cancellationToken));
            else if (found.All(f => f.Check != "stack")) found.Add(Diagnosis.Ok("stack", runs ? $"the one in {folder} is starting" : $"none runs in {folder}"));

            bool works = found.All(f => f.Severity != Severity.Problem);
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    ok = works,
                    checks = found.Select(f => new { name = f.Check, severity = f.Severity.ToString().ToLowerInvariant(), told = f.Told, remedy = f.Remedy }),
                });
            }
            else
            {
                foreach (var one in found)
                {
                    Console.Out.WriteLine($"{Mark(one.Severity)} {one.Check,-22} {one.Told}");
                    if (one.Remedy is not null) Console.Out.WriteLine($"{"",-25} {one.Remedy}");
                }
            }
            return works ? ExitCode.Done : ExitCode.Refused;
        });
        return command;
    }

    private static char Mark(Severity severity) => severity switch { Severity.Ok => '✓', Severity.Warning => '!', _ => '✗' };
}
