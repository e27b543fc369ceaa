using ClawBureau.Protos.Feed.V1;
using Grpc.Core;
using Frame = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse;
using FrameCase = ClawBureau.Protos.Feed.V1.WatchRevocationsResponse.FrameOneofCase;

namespace ClawBureau.Introspector.Tests;

/// <summary>A follower on the wire: keeps every frame, waits for nothing longer than 20 s.</summary>
internal sealed class Watcher(AsyncDuplexStreamingCall<WatchRevocationsRequest, Frame> call) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public List<Frame> Frames { get; } = [];

    /// <summary>Everything delivered so far.</summary>
    public IEnumerable<Revocation> Delivered => Frames.Where(f => f.FrameCase == FrameCase.Events).SelectMany(f => f.Events.Revocations);

    public static async Task<Watcher> StartAsync(FeedService.FeedServiceClient feed, Start start)
    {
        var watcher = new Watcher(feed.WatchRevocations());
        await watcher.SendAsync(new WatchRevocationsRequest { Start = start });
        return watcher;
    }

    public Task SendAsync(WatchRevocationsRequest request) => call.RequestStream.WriteAsync(request).WaitAsync(Patience);

    public Task RenewAsync(long t0) => SendAsync(new WatchRevocationsRequest { Renew = new Renew { T0 = t0 } });

    /// <summary>The next frame; null when the stream ended with OK.</summary>
    public async Task<Frame?> NextAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        return await NextAsync(patience.Token);
    }

    /// <summary>Reads up to and with the first frame of this kind.</summary>
    public async Task<Frame> UntilAsync(FrameCase kind) => await UntilAsync(f => f.FrameCase == kind);

    public async Task<Frame> UntilAsync(Func<Frame, bool> wanted)
    {
        using var patience = new CancellationTokenSource(Patience);     // for all of them: a stream is never silent for long
        while (true)
        {
            var frame = await NextAsync(patience.Token) ?? throw new InvalidOperationException($"the stream ended after: {string.Join(' ', Frames.TakeLast(5))}");
            if (wanted(frame)) return frame;
        }
    }

    /// <summary>Reads until this entry was delivered.</summary>
    public Task UntilDeliveredAsync(long revocationSeq) => UntilAsync(f => f.FrameCase == FrameCase.Events && f.Events.LastRevocationSeq >= revocationSeq);

    private async Task<Frame?> NextAsync(CancellationToken patience)
    {
        try
        {
            if (!await call.ResponseStream.MoveNext(patience)) return null;
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested)
        {
            throw new TimeoutException($"not within {Patience.TotalSeconds} s, after: {string.Join(' ', Frames.TakeLast(5))}");
        }
        Frames.Add(call.ResponseStream.Current);
        return call.ResponseStream.Current;
    }

    public void Dispose() => call.Dispose();
}
