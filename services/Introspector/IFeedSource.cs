using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>What an answer rests on: a revision whose every revocation is applied, and when its read began.</summary>
public readonly record struct Reading(Revision Revision, long StartedAt);

/// <summary>
/// Where this process has the live set, the keys and the feed from: the ledger itself (<see cref="LedgerFollower"/>), or another
/// Introspector (<see cref="UpstreamFollower"/>). What callers are promised is the same: cursors, leases and revisions are the ledger's.
/// </summary>
public interface IFeedSource
{
    /// <summary>The keys as of the latest read.</summary>
    VerificationKeySet Keys { get; }

    /// <summary>Seq of the latest change of a key that watchers are told of.</summary>
    long KeysSeq { get; }

    /// <summary>Why nothing is answered any more, until recovery has opened the next epoch; null: it is.</summary>
    Refusal? Ended { get; }

    /// <summary>Grows with every epoch: what was begun under another number goes on no further.</summary>
    int Epochs { get; }

    /// <summary>The latest read; its revision is applied, keys too. Default when there is none to rest on.</summary>
    Reading Latest { get; }

    /// <summary>How long a follower may decide by itself after a renewal, counted from its t0.</summary>
    TimeSpan Lease { get; }

    /// <summary>The head of the ledger as of a moment after this call, its revocations applied.</summary>
    /// <exception cref="Refusal">NOT_READY; LEDGER_UNAVAILABLE; LEDGER_EPOCH_MISMATCH; LEDGER_NEEDS_RECOVERY; PEER_UNAVAILABLE.</exception>
    Task<Reading> ReadIndexAsync(CancellationToken cancellationToken);

    /// <summary>The same, the keys too, for who judges tokens. Nobody leaves it earlier, so it ends by itself, whatever happens.</summary>
    /// <exception cref="Refusal">As of <see cref="ReadIndexAsync"/>.</exception>
    Task<Reading> JoinNextRead();

    /// <summary>What a watcher is given whom the ring does not reach: entries of the epoch that is followed, oldest first.</summary>
    /// <exception cref="Refusal">As of <see cref="ReadIndexAsync"/>; FEED_CURSOR_*.</exception>
    Task<IReadOnlyList<Revocation>> ReadBacklogAsync(RevocationSeq after, CancellationToken cancellationToken);

    /// <summary>The oldest entry a watcher can still be given; head + 1 when there is none.</summary>
    /// <exception cref="Refusal">As of <see cref="ReadIndexAsync"/>.</exception>
    Task<RevocationSeq> ReadOldestAsync(CancellationToken cancellationToken);
}
