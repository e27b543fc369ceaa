using System.CommandLine;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw up`: the local stack in the foreground.</summary>
internal static class UpVerb
{
    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder that keeps database, keys and logs between runs (default .claw/state)." };
        var portBase = new Option<int>("--port-base") { Description = "First port; port = base + 10 · service + replica.", DefaultValueFactory = _ => 7400 };
        var command = new Command("up", "Run the suite on this machine until Ctrl-C. What it holds is kept for the next time.") { state, portBase };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            await using var stack = await LocalStack.StartAsync(new StackOptions { StateFolder = folder, PortBase = parsed.GetValue(portBase) }, line => Console.Out.WriteLine("  " + line), cancellationToken);
            var at = parsed.GetValue(state) is null ? "" : $" --state {folder}";
            Console.Out.WriteLine($"""

                Try, in another terminal:
                  ./claw token issue{at} --sub did:key:z6MkexampleAgent --aud clawproxy.example --scope clawproxy:call
                  ./claw token introspect{at} TOKEN
                  ./claw revoke{at} --token TOKEN

                Ctrl-C ends it.
                """);
            await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Console.Out.WriteLine("stopping");
            return ExitCode.Done;
        });
        return command;
    }
}
