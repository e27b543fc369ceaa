using ClawBureau.Protos.Feed.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Client.Feed;

/// <summary>
/// Goes along with a <see cref="RevocationFollower"/> and passes on what it follows: a relay. Told everything in the order of the feed,
/// one thing at a time; the feed waits for it.
/// </summary>
public interface IFeedCompanion
{
    /// <summary>A snapshot is complete. What was known still holds, and no lease is given until <see cref="Began"/> and a stream after it.</summary>
    void Beginning(Revision revision);

    /// <summary>The snapshot is in use.</summary>
    /// <param name="keysSeq">Of the latest change of a key.</param>
    void Began(Revision revision, long keysSeq);

    /// <summary>A stream goes on from what is applied.</summary>
    void Greeted(Hello hello);

    /// <summary>These were applied.</summary>
    void Applied(Events events);

    /// <summary>A key changed.</summary>
    void KeysChanged(long keysSeq);

    /// <summary>The stream, or what should have become one, is over; it is tried again.</summary>
    void Lost(Exception why);

    /// <summary>Waits until whoever is behind here has applied this too, or decides nothing any more: before that it is not acknowledged.</summary>
    Task WaitUntilAppliedAsync(Guid epoch, RevocationSeq through, CancellationToken cancellationToken);
}
