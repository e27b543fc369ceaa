using System.Diagnostics;
using ClawBureau.Hosting;
using ClawBureau.Hosting.Peers;
using ClawBureau.Tokens;
using Grpc.Core;
using Grpc.Health.V1;

namespace ClawBureau.Stack;

internal enum ServiceState
{
    /// <summary>It answers and is ready.</summary>
    Serving,

    /// <summary>It answers that it is not ready.</summary>
    NotServing,

    /// <summary>Its process lives and does not answer.</summary>
    Silent,

    /// <summary>There is no such process.</summary>
    Dead,
}

internal static class ServiceStates
{
    public static string ToText(this ServiceState state) => state switch
    {
        ServiceState.Serving => "serving",
        ServiceState.NotServing => "not serving",
        ServiceState.Silent => "silent",
        _ => "dead",
    };
}

/// <summary>One process of a described stack, as it is now.</summary>
internal sealed record ProcessHealth(string Name, Uri Url, int Pid, ServiceState State);

/// <summary>Asks every process of a described stack how it is.</summary>
internal static class StackHealth
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    public static async Task<IReadOnlyList<ProcessHealth>> AskAsync(StackDescription described, CancellationToken cancellationToken)
    {
        var peer = new PeerOptions { CaFile = described.CaFile };
        return await Task.WhenAll(described.Services.SelectMany(service => service.Value.Select(async (process, replica) => new ProcessHealth(
            $"{service.Key.Replace('_', '-')}-{replica}", process.Url, process.Pid, await AskAsync(process, peer, cancellationToken)))));
    }

    private static async Task<ServiceState> AskAsync(DescribedProcess process, PeerOptions peer, CancellationToken cancellationToken) =>
        IsAlive(process.Pid) ? await AskAsync(process.Url, peer, cancellationToken) : ServiceState.Dead;

    /// <summary>Asks one process, of which only its address is known.</summary>
    /// <exception cref="StartRefused">The options cannot be used: a CA file that is not there.</exception>
    public static async Task<ServiceState> AskAsync(Uri address, PeerOptions peer, CancellationToken cancellationToken)
    {
        using var channel = PeerChannel.Create(address, peer);
        try
        {
            var answer = await new Health.HealthClient(channel.Calls).CheckAsync(new HealthCheckRequest(), deadline: DateTime.UtcNow + Patience, cancellationToken: cancellationToken);
            return answer.Status == HealthCheckResponse.Types.ServingStatus.Serving ? ServiceState.Serving : ServiceState.NotServing;
        }
        catch (Exception e) when (e is Refusal or RpcException)
        {
            return ServiceState.Silent;
        }
    }

    private static bool IsAlive(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }
}
