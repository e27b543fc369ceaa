using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ClawBureau.Hosting.Tls;

/// <summary>
/// Between HTTP/2 and TLS: what many streams of a connection write at one time leaves as one TLS record and one send. HTTP/2 itself flushes after
/// every frame, which makes a record of it: more work than all that went before.
/// </summary>
internal static class GatheredOutput
{
    // What a peer that does not read may leave here before its streams have to wait; the framework's own measure for a connection.
    private const int MostHeld = 64 * 1024;

    public static async Task RunAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        var tls = connection.Transport;
        var gathered = new Pipe(new PipeOptions(connection.Features.Get<IMemoryPoolFeature>()?.MemoryPool, pauseWriterThreshold: MostHeld, resumeWriterThreshold: MostHeld / 2, useSynchronizationContext: false));
        connection.Transport = new Gathering(tls.Input, gathered.Writer);
        var sending = SendAsync(gathered.Reader, tls.Output);
        try
        {
            await next(connection);
        }
        finally
        {
            await gathered.Writer.CompleteAsync();
            await sending;          // also what was written last; the connection ends it where the peer does not take it
            connection.Transport = tls;
        }
    }

    private static async Task SendAsync(PipeReader from, PipeWriter to)
    {
        try
        {
            while (true)
            {
                var read = await from.ReadAsync();
                foreach (var segment in read.Buffer) to.Write(segment.Span);
                from.AdvanceTo(read.Buffer.End);
                var sent = await to.FlushAsync();
                if (sent.IsCompleted || read.IsCompleted) break;
            }
        }
        catch (Exception)
        {
            // The connection is gone; whoever reads it learns that, and what is written from now on goes nowhere.
        }
        await from.CompleteAsync();
    }

    private sealed record Gathering(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
