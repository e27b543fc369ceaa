using System.CommandLine;
using System.Globalization;
using ClawBureau.Stack;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw up`: the local stack in the foreground, or behind the shell's back.</summary>
internal static class UpVerb
{
    private const int MostPortBase = 65_000;

    public static Command Create()
    {
        var state = new Option<string?>("--state") { Description = "Folder that keeps database, keys and logs between runs (default .claw/state)." };
        var portBase = new Option<int>("--port-base") { Description = "First port; port = base + 10 · service + replica, services in the order Edge, Issuer, Introspector, Verifier, AuditSink.", DefaultValueFactory = _ => 7400 };
        var replicas = new Option<string?>("--replicas") { Description = $"How many processes of which service: issuer=2,introspector=2; 1 to {Place.MostReplicas}, default 1." };
        var relays = new Option<int>("--relays") { Description = $"Introspectors that follow the others instead of the ledger; with them at most {Place.MostReplicas}." };
        var edgeHttp = new Option<bool>("--edge-http") { Description = "The Edge also listens for plain HTTP, on this machine alone: port base + 5." };
        var detach = new Option<bool>("--detach") { Description = "Return when the stack stands; `claw down` ends it." };
        var log = new Option<string?>(Detached.LogOption) { Hidden = true };
        var command = new Command("up", "Run the suite on this machine until Ctrl-C. What it holds is kept for the next time; what dies is started again.") { state, portBase, replicas, relays, edgeHttp, detach, log };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(portBase) is < 1 or > MostPortBase) throw new UsageException($"--port-base must be between 1 and {MostPortBase}.");
            var processes = ReadReplicas(parsed.GetValue(replicas));
            int mostRelays = Place.MostReplicas - processes.GetValueOrDefault("introspector", 1);
            if (parsed.GetValue(relays) < 0 || parsed.GetValue(relays) > mostRelays)
                throw new UsageException($"--relays must be between 0 and {mostRelays}: with the Introspectors there are at most {Place.MostReplicas}.");
            var folder = Path.GetFullPath(parsed.GetValue(state) ?? Connection.DefaultStateFolder);
            var options = new StackOptions
            {
                StateFolder = folder,
                PortBase = parsed.GetValue(portBase),
                Replicas = processes,
                Relays = parsed.GetValue(relays),
                PlainHttp = parsed.GetValue(edgeHttp),
                Database = AdminDatabase.Read(),
            };
            bool isDetached = parsed.GetValue(log) is not null;
            if (parsed.GetValue(log) is { } file) Detached.Enter(file);
            else if (parsed.GetValue(detach)) return await Detached.StartAsync(folder, cancellationToken);

            await using var stack = await LocalStack.StartAsync(options, line => Console.Out.WriteLine("  " + line), cancellationToken);
            var at = parsed.GetValue(state) is null ? "" : $" --state {folder}";
            Console.Out.WriteLine($"""

                Try{(isDetached ? "" : ", in another terminal")}:
                  ./claw token issue{at} --sub did:key:z6MkexampleAgent --aud clawproxy.example --scope clawproxy:call
                  ./claw token introspect{at} TOKEN
                  ./claw revoke{at} --token TOKEN

                {(isDetached ? $"`./claw down{at}` ends it." : "Ctrl-C ends it.")}
                """);
            if (isDetached) Console.Out.WriteLine(Detached.Stands);
            await new Supervisor(stack, line => Console.Out.WriteLine($"{TimeProvider.System.GetUtcNow():HH:mm:ss}  {line}")).RunAsync(cancellationToken);
            Console.Out.WriteLine("stopping");
            return ExitCode.Done;
        });
        return command;
    }

    private static Dictionary<string, int> ReadReplicas(string? text)
    {
        var replicas = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var part in (text ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var (name, number) = part.Split('=') is [var n, var c] && int.TryParse(c, NumberStyles.None, CultureInfo.InvariantCulture, out int count) ? (n, count) : (part, 0);
            if (!Place.Names.Contains(name) || number is < 1 or > Place.MostReplicas || !replicas.TryAdd(name, number))
                throw new UsageException($"--replicas: '{part}' is not one of {string.Join(", ", Place.Names)} with a number from 1 to {Place.MostReplicas}, such as issuer=2, each named once.");
        }
        return replicas;
    }
}
