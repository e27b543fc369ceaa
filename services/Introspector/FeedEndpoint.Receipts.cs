using ClawBureau.Hosting.Calls;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

// Where the ledger's head is, and who has applied what.
public sealed partial class FeedEndpoint
{
    // What an answer needs to arrive before its caller's deadline passes.
    private static readonly TimeSpan BeforeDeadline = TimeSpan.FromMilliseconds(200);

    public override async Task<ReadIndexResponse> ReadIndex(ReadIndexRequest request, ServerCallContext context)
    {
        var atMost = request.WaitAtMost is null ? (TimeSpan?)null
            : Mapping.ToTimeSpan(request.WaitAtMost) is { } given && given >= TimeSpan.Zero ? given
            : throw Refusal.OfField(Reason.InvalidRequest, "wait_at_most", "wait_at_most must not be negative");
        var reading = await source.ReadIndexAsync(context.CancellationToken);
        var response = new ReadIndexResponse { ServerId = ServerId };
        if (request.AwaitApplied is not null)
        {
            var wanted = Mapping.ToRevision(request.AwaitApplied);
            if (wanted.Epoch != reading.Revision.Epoch) throw new Refusal(Reason.LedgerEpochMismatch);
            if (wanted.RevocationSeq > reading.Revision.RevocationSeq) throw new Refusal(Reason.RevisionNotReached);
            var (all, done) = await receipts.WaitAsync(wanted.Epoch, wanted.RevocationSeq, AtMost(atMost, context), context.CancellationToken);
            response.Followers.Add(all.Select(Mapping.ToWire));
            response.AllApplied = done;
        }
        else if (request.IncludeFollowers)
        {
            response.Followers.Add(receipts.ReadAll().Select(Mapping.ToWire));
        }
        response.Revision = Mapping.ToRevision(reading.Revision);
        response.Age = Mapping.ToDuration(time.GetElapsedTime(reading.StartedAt));
        return response;
    }

    public override async Task<AckAppliedResponse> AckApplied(AckAppliedRequest request, ServerCallContext context)
    {
        if (!Guid.TryParse(request.FollowerId, out var followerId)) throw Refusal.OfField(Reason.InvalidRequest, "follower_id", "follower_id must be a UUID");
        if (request.Applied is null) throw Refusal.OfField(Reason.InvalidRequest, "applied", "applied is required");
        if (request.Applied.RevocationSeq < 0) throw Refusal.OfField(Reason.InvalidRequest, "applied.revocation_seq", "applied.revocation_seq must not be negative");
        var applied = Mapping.ToRevision(request.Applied);
        var known = source.Latest.Revision;
        // What this replica has not read yet may still be in the ledger: another replica delivered it.
        if (known.Epoch != applied.Epoch || known.RevocationSeq < applied.RevocationSeq) known = (await source.ReadIndexAsync(context.CancellationToken)).Revision;
        if (known.Epoch != applied.Epoch) throw new Refusal(Reason.LedgerEpochMismatch);
        if (known.RevocationSeq < applied.RevocationSeq) throw new Refusal(Reason.FeedCursorFuture);
        var largest = receipts.Acknowledge(followerId, context.GetCaller(), applied.Epoch, applied.RevocationSeq);
        return new AckAppliedResponse { AppliedRevocationSeq = largest.Value };
    }

    private TimeSpan AtMost(TimeSpan? asked, ServerCallContext context)
    {
        var untilDeadline = (context.Deadline == DateTime.MaxValue ? process.UnaryDeadline : context.Deadline - time.GetUtcNow().UtcDateTime) - BeforeDeadline;
        return asked is { } given && given > TimeSpan.Zero && given < untilDeadline ? given : untilDeadline;
    }
}
