using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

/// <summary>Sends frames and gives up on a subscriber that does not take them.</summary>
internal sealed class PatientWriter<T>(IServerStreamWriter<T> writer, IntrospectorOptions options, TimeProvider time, CancellationToken ended)
{
    /// <summary>When the last frame had left, by the monotonic clock.</summary>
    public long SentAt { get; private set; } = time.GetTimestamp();

    /// <exception cref="Refusal">SUBSCRIBER_TOO_SLOW: the frame did not leave in time.</exception>
    public async Task SendAsync(T frame)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(ended);
        patience.CancelAfter(options.MostSendTime);
        try
        {
            await writer.WriteAsync(frame, patience.Token);
            SentAt = time.GetTimestamp();
        }
        catch (OperationCanceledException) when (!ended.IsCancellationRequested)
        {
            throw new Refusal(Reason.SubscriberTooSlow);
        }
    }
}
