using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Microsoft.Extensions.Logging;
using Reason = ClawBureau.Tokens.Reason;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client.Feed;

/// <summary>
/// Acknowledges what was applied, so that a revocation can be waited for. One call at a time, always with the latest; a receipt that
/// does not arrive delays whoever waits for it until this follower's lease has run out, and changes nothing else.
/// </summary>
internal sealed class Receipts(
    FeedService.FeedServiceClient feed, string followerId, string streamId, IFeedCompanion? companion, ClientOptions options, TimeProvider time, ILogger log)
{
    private readonly Lock _lock = new();
    private (Guid Epoch, RevocationSeq Through)? _latest;       // locked: what is not acknowledged yet
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);        // locked

    public void Applied(Guid epoch, RevocationSeq through)
    {
        lock (_lock)
        {
            _latest = (epoch, through);
            _changed.TrySetResult();
        }
    }

    public async Task RunAsync(CancellationToken ended)
    {
        while (true)
        {
            Task changed;
            lock (_lock) changed = _changed.Task;
            await changed.WaitAsync(ended);
            (Guid Epoch, RevocationSeq Through) applied;
            lock (_lock)
            {
                applied = _latest!.Value;
                _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
            if (companion is not null) await companion.WaitUntilAppliedAsync(applied.Epoch, applied.Through, ended);
            try
            {
                await feed.AckAppliedAsync(
                    new AckAppliedRequest
                    {
                        FollowerId = followerId,
                        StreamId = streamId,
                        Applied = new Wire.Revision { Epoch = applied.Epoch.ToString(), RevocationSeq = applied.Through.Value },
                    },
                    deadline: time.GetUtcNow().UtcDateTime + options.CallTimeout,
                    cancellationToken: ended);
            }
            catch (Refusal refusal) when (refusal.Reason == Reason.RpcNotAvailable)
            {
                return;             // an Introspector of an earlier version takes no receipts
            }
            catch (Refusal refusal)
            {
                Log.ReceiptNotTaken(log, refusal.Reason);
                await Task.Delay(options.LeastBackoff, time, ended);
                lock (_lock) _changed.TrySetResult();       // once more, with what is the latest then
            }
        }
    }
}
