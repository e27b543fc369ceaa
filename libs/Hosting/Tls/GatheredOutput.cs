using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ClawBureau.Hosting.Tls;

/// <summary>
/// Between HTTP/2 and TLS: what many streams of a connection write at one time leaves as one TLS record and one send. HTTP/2 itself flushes
/// after every frame, which makes a record of it: more work than all that went before. It costs a turn of the thread pool, so a
/// connection is written through as ever until two streams have said that they write at the same times.
/// </summary>
public sealed class GatheredOutput : PipeWriter
{
    // What a peer that does not read may leave here before its streams have to wait; the framework's own measure for a connection.
    private const int MostHeld = 64 * 1024;

    private readonly PipeWriter _tls;
    private readonly Pipe _gathered;
    private PipeWriter _current;            // under HTTP/2's own lock, as all calls of a writer; changes once
    private int _streams;                   // by Interlocked

    private GatheredOutput(PipeWriter tls, MemoryPool<byte>? pool)
    {
        (_tls, _current) = (tls, tls);
        _gathered = new Pipe(new PipeOptions(pool, pauseWriterThreshold: MostHeld, resumeWriterThreshold: MostHeld / 2, useSynchronizationContext: false));
    }

    /// <summary>One more stream of this connection writes when others do. That is not taken back: a stream that came again is worth no more than that.</summary>
    public void Join() => Interlocked.Increment(ref _streams);

    public override void Advance(int bytes) => _current.Advance(bytes);

    public override Memory<byte> GetMemory(int sizeHint = 0) => _current.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _current.GetSpan(sizeHint);

    public override bool CanGetUnflushedBytes => _current.CanGetUnflushedBytes;

    public override long UnflushedBytes => _current.UnflushedBytes;

    public override void CancelPendingFlush() => _current.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => _current.Complete(exception);

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        var flushed = _current.FlushAsync(cancellationToken);
        // Only with nothing on its way: from here on it is the sending loop alone that writes to TLS.
        if (_current == _tls && flushed.IsCompletedSuccessfully && Volatile.Read(ref _streams) > 1) _current = _gathered.Writer;
        return flushed;
    }

    internal static async Task RunAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        var tls = connection.Transport;
        var output = new GatheredOutput(tls.Output, connection.Features.Get<IMemoryPoolFeature>()?.MemoryPool);
        connection.Features.Set(output);
        connection.Transport = new Gathering(tls.Input, output);
        var sending = SendAsync(output._gathered.Reader, tls.Output);
        try
        {
            await next(connection);
        }
        finally
        {
            await output._gathered.Writer.CompleteAsync();
            await sending;          // also what was written last; the end of the connection ends it where the peer does not take it
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
                if (read.Buffer.IsEmpty && read.IsCompleted) break;
                foreach (var segment in read.Buffer) to.Write(segment.Span);
                from.AdvanceTo(read.Buffer.End);
                if ((await to.FlushAsync()).IsCompleted) break;
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or OperationCanceledException)
        {
            // The connection is gone: whoever reads it learns that.
        }
        finally
        {
            await from.CompleteAsync();         // what is written from now on goes nowhere
        }
    }

    private sealed record Gathering(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
