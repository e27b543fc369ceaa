using System.IO.Compression;
using Grpc.Core;
using Grpc.Net.Compression;

namespace ClawBureau.Compat.Tests;

/// <summary>Compressed messages in both directions.</summary>
public sealed class CompressionTests
{
    private readonly CancellationToken patience = Patience.Token();

    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    public async Task A_compressed_request_and_response_arrive_whole(string encoding)
    {
        await using var server = await EchoServer.StartAsync(options => options.ResponseCompressionAlgorithm = encoding);
        IEnumerable<string> answered = [];
        using var channel = server.Connect(watch: response => answered = response.Headers.GetValues("grpc-encoding"));
        var client = new EchoService.EchoServiceClient(channel);
        var text = new string('a', 100_000);

        var headers = new Metadata { { "grpc-internal-encoding-request", encoding } };
        var response = await client.SayAsync(new SayRequest { Text = text }, headers, cancellationToken: patience);

        Assert.Equal(text, response.Text);
        Assert.Equal([encoding], answered);
    }

    public static TheoryData<string> Encodings => new("gzip", "deflate");

    [Theory]
    [MemberData(nameof(Encodings))]
    public void What_a_provider_compresses_it_decompresses(string encoding)
    {
        ICompressionProvider provider = encoding == "gzip"
            ? new GzipCompressionProvider(CompressionLevel.Fastest)
            : new DeflateCompressionProvider(CompressionLevel.Fastest);
        var text = new byte[10_000];
        using var compressed = new MemoryStream();
        using (var writer = provider.CreateCompressionStream(compressed, null))
        {
            writer.Write(text);
        }

        using var source = new MemoryStream(compressed.ToArray());
        using var reader = provider.CreateDecompressionStream(source);
        using var restored = new MemoryStream();
        reader.CopyTo(restored);

        Assert.Equal(encoding, provider.EncodingName);
        Assert.InRange(source.Length, 1, text.Length / 2);
        Assert.Equal(text, restored.ToArray());
    }
}
