using System.Diagnostics;
using ClawBureau.Hosting.Peers;
using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Health.V1;

namespace ClawBureau.Stack;

/// <summary>One service process of a stack.</summary>
internal sealed class ServiceInstance : IDisposable
{
    /// <summary>The one that runs us, which need not be on PATH.</summary>
    private static readonly string Dotnet = Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet";

    private readonly string _binary;
    private readonly string _log;
    private readonly IReadOnlyDictionary<string, string?> _environment;
    private readonly StackFolder _folder;

    public ServiceInstance(Place place, int replica, Uri address, StackFolder folder, IReadOnlyDictionary<string, string?> environment)
    {
        (Place, Replica, Address, _folder, _environment) = (place, replica, address, folder, environment);
        _binary = ServiceBinary.Find(place.Service);
        _log = Path.Combine(folder.Logs, $"{Name}.log");
        Process = Start();
    }

    public Place Place { get; }
    public string Service => Place.Service;
    public int Replica { get; }
    public Uri Address { get; }
    public string Name => $"{Place.Name}-{Replica}";
    public string LogFile => _log;

    /// <summary>Of a relay: what it follows.</summary>
    public string? Upstream => _environment.GetValueOrDefault("CLAW_UPSTREAM");

    public Process Process { get; private set; }

    /// <summary>Starts the process again after it ended.</summary>
    public void Restart()
    {
        Process.Dispose();
        Process = Start();
    }

    /// <summary>Waits until the process says it serves.</summary>
    /// <exception cref="StackException">It ended, or did not come up in time; the sentence quotes its last words.</exception>
    public async Task WaitUntilServingAsync(PeerOptions peer, TimeSpan most, CancellationToken cancellationToken)
    {
        var started = Stopwatch.StartNew();
        using var channel = PeerChannel.Create(Address, peer);
        var health = new Health.HealthClient(channel.Calls);
        while (true)
        {
            if (Process.HasExited)
            {
                await Process.WaitForExitAsync(cancellationToken);      // until its last words are in the log
                throw new StackException($"{Name} ended with code {Process.ExitCode}: {LastWords()} (log: {_log})");
            }
            try
            {
                var answer = await health.CheckAsync(new HealthCheckRequest(), deadline: DateTime.UtcNow.AddSeconds(2), cancellationToken: cancellationToken);
                if (answer.Status == HealthCheckResponse.Types.ServingStatus.Serving) return;
            }
            catch (Exception e) when (e is Refusal or RpcException)
            {
                // Not listening yet.
            }
            if (started.Elapsed > most) throw new StackException($"{Name} did not come up within {most.TotalSeconds:0} s: {LastWords()} (log: {_log})");
            await Task.Delay(25, cancellationToken);
        }
    }

    /// <summary>Asks the process to end, then makes it.</summary>
    public void Stop()
    {
        if (Process.HasExited) return;
        if (OperatingSystem.IsWindows()) Process.Kill();
        else Programs.Run("kill", ["-TERM", Process.Id.ToString()], TimeSpan.FromSeconds(5));
        if (!Process.WaitForExit(TimeSpan.FromSeconds(15))) Process.Kill(entireProcessTree: true);
    }

    public void Dispose()
    {
        Stop();
        Process.Dispose();
    }

    private Process Start()
    {
        var process = Programs.Start(Dotnet, [_binary], _log, _environment);
        _folder.Note(process);
        return process;
    }

    /// <summary>The last lines of its log, without what only a programmer reads.</summary>
    public string LastWords() => File.Exists(_log) ? string.Join(" / ", File.ReadLines(_log).TakeLast(2).Select(l => l.Split("\\n   at ")[0])) : "it left no log";
}
