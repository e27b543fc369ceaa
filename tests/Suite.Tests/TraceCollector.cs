using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf;

namespace ClawBureau.Suite.Tests;

/// <summary>One span as a collector gets it.</summary>
/// <param name="Process">Its resource's <c>service.name</c>.</param>
/// <param name="Source">Such as <c>Npgsql</c>.</param>
/// <param name="Name">Of the span.</param>
/// <param name="TraceId">32 hex digits.</param>
internal sealed record ReceivedSpan(string Process, string Source, string Name, string TraceId);

/// <summary>An OTLP collector (http/protobuf) that keeps the spans it is sent.</summary>
internal sealed class TraceCollector : IDisposable
{
    private readonly HttpListener _listener = new();
    private readonly ConcurrentQueue<ReceivedSpan> _spans = new();

    public TraceCollector()
    {
        using (var free = new TcpListener(IPAddress.Loopback, 0))
        {
            free.Start();
            Address = $"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}/";
        }
        _listener.Prefixes.Add(Address);
        _listener.Start();
        _ = CollectAsync();
    }

    public string Address { get; }

    public IReadOnlyCollection<ReceivedSpan> Spans => _spans;

    public void Dispose() => _listener.Close();

    private async Task CollectAsync()
    {
        while (_listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }
            using var body = new MemoryStream();
            await context.Request.InputStream.CopyToAsync(body);
            if (context.Request.Url!.AbsolutePath == "/v1/traces") Read(body.ToArray());
            context.Response.Close();
        }
    }

    // opentelemetry/proto/collector/trace/v1 and trace/v1: resource_spans = 1 {resource = 1 {attributes = 1}, scope_spans = 2 {scope = 1 {name = 1},
    // spans = 2 {trace_id = 1, name = 5}}}.
    private void Read(byte[] request)
    {
        foreach (var resourceSpans in Fields(request, 1))
        {
            var process = Fields(resourceSpans, 1).SelectMany(r => Fields(r, 1)).Where(a => Text(a, 1) == "service.name").Select(a => Text(Fields(a, 2).Single(), 1)).Single();
            foreach (var scopeSpans in Fields(resourceSpans, 2))
            {
                var source = Fields(scopeSpans, 1).Select(s => Text(s, 1)).Single();
                foreach (var span in Fields(scopeSpans, 2))
                    _spans.Enqueue(new ReceivedSpan(process, source, Text(span, 5), Convert.ToHexStringLower(Fields(span, 1).Single())));
            }
        }
    }

    private static string Text(byte[] message, int field) => Fields(message, field).Select(System.Text.Encoding.UTF8.GetString).FirstOrDefault("");

    /// <summary>The length-delimited fields of one number.</summary>
    private static List<byte[]> Fields(byte[] message, int field)
    {
        var found = new List<byte[]>();
        var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag && tag != 0)
        {
            if (WireFormat.GetTagFieldNumber(tag) == field && WireFormat.GetTagWireType(tag) == WireFormat.WireType.LengthDelimited) found.Add(input.ReadBytes().ToByteArray());
            else input.SkipLastField();
        }
        return found;
    }
}
