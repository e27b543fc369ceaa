using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;

namespace ClawBureau.Hosting.Tests.Processes;

/// <summary>Calls with bytes of the test's choice, which no gRPC client would send.</summary>
internal static class RawCalls
{
    public static async Task<StatusCode> SendAsync(RunningProcess process, string rpc, bool isCompressed, byte[] message)
    {
        var frame = new byte[5 + message.Length];
        frame[0] = (byte)(isCompressed ? 1 : 0);
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), message.Length);
        message.CopyTo(frame, 5);

        using var client = new HttpClient(Handlers.Trusting(process.Folder));
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(process.Address, rpc))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(frame) { Headers = { ContentType = new MediaTypeHeaderValue("application/grpc") } },
        };
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        if (isCompressed) request.Headers.Add("grpc-encoding", "gzip");
        using var response = await client.SendAsync(request);
        await response.Content.ReadAsByteArrayAsync();
        var headers = response.TrailingHeaders.TryGetValues("grpc-status", out var values) ? values : response.Headers.GetValues("grpc-status");
        return (StatusCode)int.Parse(headers.Single());
    }
}
