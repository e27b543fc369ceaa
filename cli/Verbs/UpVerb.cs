using System.CommandLine;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw up`: the local stack in the foreground.</summary>
internal static class UpVerb
{
    private const int MostPortBase = 65_000;

    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder that keeps database, keys and logs between runs (default .claw/state)." };
        var portBase = new Option<int>("--port-base") { Description = "First port; port = base + 10 · service + replica.", DefaultValueFactory = _ => 7400 };
        var command = new Command("up", "Run the suite on this machine until Ctrl-C. What it holds is kept for the next time.") { state, portBase };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(portBase) is < 1 or > MostPortBase) throw new UsageException($"--port-base must be between 1 and {MostPortBase}.");
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            await using var stack = await LocalStack.StartAsync(new StackOptions { StateFolder = folder, PortBase = parsed.GetValue(portBase), Database = AdminDatabase.Read() }, line => Console.Out.WriteLine("  " + line), cancellationToken);
            var at = parsed.GetValue(state) is null ? "" : $" --state {folder}";
            Console.Out.WriteLine($"""

                Try, in another terminal:
                  ./claw token issue{at} --sub did:key:z6MkexampleAgent --aud clawproxy.example --scope clawproxy:call
                  ./claw token introspect{at} TOKEN
                  ./claw revoke{at} --token TOKEN

                Ctrl-C ends it.
                """);
            var ended = await Task.WhenAny(stack.Services.Select(async s =>
            {
                await s.Process.WaitForExitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                return s;
            }));
            if (!cancellationToken.IsCancellationRequested)
            {
                var service = await ended;
                throw new StackException($"{service.Name} ended with code {service.Process.ExitCode}; the rest was taken down. Its last words are in {service.LogFile}");
            }
            Console.Out.WriteLine("stopping");
            return ExitCode.Done;
        });
        return command;
    }
}
