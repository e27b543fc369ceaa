using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;
using Google.Protobuf;
using Grpc.Core;

namespace ClawBureau.Introspector;

// Snapshots of the live set, for followers that begin or have to start over.
public sealed partial class FeedEndpoint
{
    private const int BytesPerEntry = 128;          // what an entry takes in a chunk, where it has no reason, generously

    /// <summary>
    /// Everything that is dead at one revision, from memory: the database is not asked for it, so a slow reader holds nothing there.
    /// </summary>
    public override async Task GetSnapshot(GetSnapshotRequest request, IServerStreamWriter<GetSnapshotResponse> responseStream, ServerCallContext context)
    {
        if (request.MaxFrameBytes < 0) throw Refusal.OfField(Reason.InvalidRequest, "max_frame_bytes", "max_frame_bytes must not be negative");
        if (request.Epoch.Length > 0 && !Guid.TryParse(request.Epoch, out _)) throw Refusal.OfField(Reason.InvalidRequest, "epoch", "epoch must be a UUID");

        using var turn = snapshots.Begin();
        var (revision, entries) = await CopyLiveAsync(context.CancellationToken);
        if (request.Epoch.Length > 0 && Guid.Parse(request.Epoch) != revision.Epoch) throw new Refusal(Reason.LedgerEpochMismatch);

        var stream = new PatientWriter<GetSnapshotResponse>(responseStream, options, time, context.CancellationToken);
        await stream.SendAsync(new GetSnapshotResponse
        {
            Begin = new SnapshotBegin { Revision = Mapping.ToRevision(revision), Count = entries.Count, KeysSeq = source.KeysSeq },
        });
        using var digest = new SnapshotDigest();
        foreach (var some in entries.Chunk(Math.Max(1, FrameBytes(request.MaxFrameBytes) / BytesPerEntry)))
        {
            foreach (var entry in some) digest.Add(entry);
            await stream.SendAsync(new GetSnapshotResponse { Chunk = new SnapshotChunk { Revocations = { some.Select(Mapping.ToRevocation) } } });
        }
        await stream.SendAsync(new GetSnapshotResponse { End = new SnapshotEnd { Count = entries.Count, Sha256 = ByteString.CopyFrom(digest.Compute()) } });
        Log.SnapshotSent(log, entries.Count, revision.RevocationSeq);
    }

    /// <summary>Everything that is dead at one revision, oldest first. Neither a read nor the source waits for it.</summary>
    private async Task<(Revision Revision, IReadOnlyList<RevocationEntry> Entries)> CopyLiveAsync(CancellationToken cancellationToken)
    {
        int epochs = source.Epochs;
        var read = (await source.ReadIndexAsync(cancellationToken)).Revision;
        // The set holds a prefix of the feed, which by now may be ahead of the read; its last entry says where it ends.
        var entries = live.ReadAll().ToList();
        if (source.Epochs != epochs) throw new Refusal(Reason.LedgerEpochMismatch);
        return (entries.Count == 0 || entries[^1].RevocationSeq <= read.RevocationSeq ? read : read with { Seq = entries[^1].Seq, RevocationSeq = entries[^1].RevocationSeq }, entries);
    }
}

/// <summary>Each snapshot is a copy of the live set; no more of them at one time than options say.</summary>
public sealed class SnapshotTurns(IntrospectorOptions options)
{
    private int _underWay;

    /// <exception cref="Refusal">RATE_LIMITED: too many are under way.</exception>
    public IDisposable Begin()
    {
        if (Interlocked.Increment(ref _underWay) <= options.MostSnapshots) return new Turn(this);
        Interlocked.Decrement(ref _underWay);
        throw new Refusal(Reason.RateLimited, "As many snapshots as this Introspector gives at one time are under way; try again in a moment.");
    }

    private sealed class Turn(SnapshotTurns turns) : IDisposable
    {
        private int _ended;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _ended, 1) == 0) Interlocked.Decrement(ref turns._underWay);
        }
    }
}
