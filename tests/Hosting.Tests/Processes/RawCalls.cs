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
        using var request = Post(process, rpc, new ByteArrayContent(frame));
        if (isCompressed) request.Headers.Add("grpc-encoding", "gzip");
        using var response = await client.SendAsync(request);
        await response.Content.ReadAsByteArrayAsync();
        var headers = response.TrailingHeaders.TryGetValues("grpc-status", out var values) ? values : response.Headers.GetValues("grpc-status");
        return (StatusCode)int.Parse(headers.Single());
    }

    /// <summary>Sends the beginning of a request and never its rest.</summary>
    public static async Task BeginAsync(RunningProcess process, string rpc, byte[] beginning, CancellationToken leaving)
    {
        using var client = new HttpClient(Handlers.Trusting(process.Folder));
        using var request = Post(process, rpc, new Unfinished(beginning));
        using var response = await client.SendAsync(request, leaving);
    }

    private static HttpRequestMessage Post(RunningProcess process, string rpc, HttpContent content)
    {
        content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        return new HttpRequestMessage(HttpMethod.Post, new Uri(process.Address, rpc))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
            Headers = { TE = { new TransferCodingWithQualityHeaderValue("trailers") } },
        };
    }

    private sealed class Unfinished(byte[] beginning) : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            await stream.WriteAsync(beginning, cancellationToken);
            await stream.FlushAsync(cancellationToken);
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
