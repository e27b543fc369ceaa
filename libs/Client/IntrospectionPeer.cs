using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client;

/// <summary>The Introspector, for what cannot be decided here. So many questions at one time and no more: it must live on when many lose their lease at once.</summary>
public sealed class IntrospectionPeer(CallInvoker introspector, PeerCalls calls, ClientOptions options, TimeProvider time) : IDisposable
{
    private readonly IntrospectionService.IntrospectionServiceClient _introspection = new(introspector);
    private readonly SemaphoreSlim _turns = new(options.MostIntrospections);
    private long _asked;

    /// <summary>Questions asked since the start, answered or not.</summary>
    public long Asked => Volatile.Read(ref _asked);

    /// <returns>The answer, and how old its state may be now, the way here included.</returns>
    /// <exception cref="Refusal">The Introspector's own; PEER_UNAVAILABLE.</exception>
    internal async Task<(IntrospectTokenResponse Answer, TimeSpan Age)> AskAsync(string token, Freshness freshness, CancellationToken cancellationToken)
    {
        var request = new IntrospectTokenRequest { Token = token };
        if (freshness.Mode == FreshnessMode.Bounded) request.Consistency = new Wire.Consistency { Bounded = Duration.FromTimeSpan(freshness.Bound) };
        if (freshness.Mode == FreshnessMode.AtLeast)
        {
            request.Consistency = new Wire.Consistency
            {
                AtLeast = new Wire.Revision { Epoch = freshness.Revision.Epoch.ToString(), Seq = freshness.Revision.Seq.Value, RevocationSeq = freshness.Revision.RevocationSeq.Value },
            };
        }

        Interlocked.Increment(ref _asked);
        long askedAt = time.GetTimestamp();
        string result = "refused";
        await _turns.WaitAsync(cancellationToken);
        try
        {
            long startedAt = 0;
            var answer = await calls.AskAsync(
                async token =>
                {
                    startedAt = time.GetTimestamp();
                    return await _introspection.IntrospectTokenAsync(request, cancellationToken: token);
                },
                cancellationToken);
            result = "answered";
            return (answer, answer.Age is { } age ? age.ToTimeSpan() + time.GetElapsedTime(startedAt) : throw new Refusal(Reason.Internal, "The Introspector does not say how fresh its answer is"));
        }
        finally
        {
            _turns.Release();
            ClientMetrics.IntrospectionWait.Record(time.GetElapsedTime(askedAt).TotalSeconds, new KeyValuePair<string, object?>("result", result));
        }
    }

    public void Dispose() => _turns.Dispose();
}
