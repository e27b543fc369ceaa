using System.Net;
using System.Net.Sockets;
using ClawBureau.Stack;

namespace ClawBureau.Suite.Tests;

/// <summary>Where a stack that is started by hand can listen.</summary>
internal static class PortBases
{
    // As Place has them: ten a service.
    private static readonly int Ports = 10 * (Place.All.Max(place => place.Number) + 1);

    /// <summary>A <c>--port-base</c> whose ports nobody holds: below those that stacks choose by themselves.</summary>
    /// <exception cref="StackException">There is none.</exception>
    public static int Free()
    {
        for (int attempt = 0; attempt < 100; attempt++)
        {
            int first = 10 * Random.Shared.Next(1000, 1990);
            if (Enumerable.Range(first, Ports).All(CanListen)) return first;
        }
        throw new StackException($"No {Ports} ports of 127.0.0.1 in a row can be listened on.");
    }

    private static bool CanListen(int port)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
