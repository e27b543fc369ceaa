using ClawBureau.Hosting.Peers;
using Grpc.Core;

namespace ClawBureau.Hosting.Tests.Processes;

public enum CallKind
{
    Unary,
    ClientStream,
    ServerStream,
    Duplex,
}

internal static class ProbeCalls
{
    /// <summary>Makes one call of a kind and returns the last answer.</summary>
    public static async Task<string> ProbeAsync(this PeerChannel channel, CallKind kind, string text = "", CallOptions options = default)
    {
        var client = new ProbeService.ProbeServiceClient(channel.Calls);
        var request = new ProbeRequest { Text = text };
        switch (kind)
        {
            case CallKind.Unary:
                return (await client.UnaryAsync(request, options)).Text;
            case CallKind.ClientStream:
                using (var call = client.ClientStream(options))
                {
                    await call.RequestStream.WriteAsync(request, CancellationToken.None);
                    await call.RequestStream.CompleteAsync();
                    return (await call.ResponseAsync).Text;
                }
            case CallKind.ServerStream:
                using (var call = client.ServerStream(request, options)) return await LastAsync(call.ResponseStream);
            default:
                using (var call = client.Duplex(options))
                {
                    await call.RequestStream.WriteAsync(request, CancellationToken.None);
                    await call.RequestStream.CompleteAsync();
                    return await LastAsync(call.ResponseStream);
                }
        }
    }

    private static async Task<string> LastAsync(IAsyncStreamReader<ProbeResponse> stream)
    {
        var last = "";
        while (await stream.MoveNext(CancellationToken.None))
        {
            last = stream.Current.Text;
        }
        return last;
    }
}
