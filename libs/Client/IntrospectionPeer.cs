using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Wire = ClawBureau.Protos.Types.V1;

namespace ClawBureau.Client;

/// <summary>The Introspector, for what cannot be decided here. So many questions at one time and no more: it must live on when many lose their lease at once.</summary>
public sealed class IntrospectionPeer(CallInvoker introspector, PeerCalls calls, ClientOptions options, TimeProvider time) : IDisposable
{
    private const int MostTokens = 1000;            // in one call, by the contract of BatchIntrospectTokens
    private const int MostCharacters = 768 * 1024;  // so that call and answer stay below the megabyte that a message may have

    private readonly IntrospectionService.IntrospectionServiceClient _introspection = new(introspector);
    private readonly SemaphoreSlim _turns = new(options.MostIntrospections);
    private long _asked;

    /// <summary>Questions asked since the start, answered or not; one about many tokens counts once.</summary>
    public long Asked => Volatile.Read(ref _asked);

    /// <summary>Asks about all of them: one alone, several in as few calls as the Introspector's bound allows.</summary>
    /// <returns>One answer per token, in order.</returns>
    /// <exception cref="Refusal">The Introspector's own; PEER_UNAVAILABLE. Then about none of them.</exception>
    internal async Task<IReadOnlyList<Introspected>> AskAsync(IReadOnlyList<string> tokens, Freshness freshness, CancellationToken cancellationToken)
    {
        var consistency = ToWire(freshness);
        if (tokens.Count == 1)
        {
            var request = new IntrospectTokenRequest { Token = tokens[0], Consistency = consistency };
            var (answer, age) = await AskAsync(token => _introspection.IntrospectTokenAsync(request, cancellationToken: token).ResponseAsync, answer => answer.Age, cancellationToken);
            return [new Introspected(answer, answer.Revision, age)];
        }
        return [.. (await Task.WhenAll(Split(tokens).Select(AskBatchAsync))).SelectMany(answers => answers)];

        async Task<IEnumerable<Introspected>> AskBatchAsync(List<string> some)
        {
            var request = new BatchIntrospectTokensRequest { Tokens = { some }, Consistency = consistency };
            var (response, age) = await AskAsync(token => _introspection.BatchIntrospectTokensAsync(request, cancellationToken: token).ResponseAsync, answer => answer.Age, cancellationToken);
            if (response.Results.Count != some.Count || response.Results.Any(result => result.Answer is null)) throw new Refusal(Reason.Internal, "The Introspector did not answer for each token");
            return response.Results.Select(result => new Introspected(result.Answer, response.Revision, age));
        }
    }

    /// <returns>The answer, and how old its state may be now, the way here included.</returns>
    private async Task<(T Answer, TimeSpan Age)> AskAsync<T>(Func<CancellationToken, Task<T>> ask, Func<T, Duration?> ageOf, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _asked);
        long askedAt = time.GetTimestamp();
        string result = "refused";
        await _turns.WaitAsync(cancellationToken);
        try
        {
            long startedAt = 0;
            var answer = await calls.AskAsync(
                token =>
                {
                    startedAt = time.GetTimestamp();
                    return ask(token);
                },
                cancellationToken);
            result = "answered";
            return (answer, ageOf(answer) is { } age ? age.ToTimeSpan() + time.GetElapsedTime(startedAt) : throw new Refusal(Reason.Internal, "The Introspector does not say how fresh its answer is"));
        }
        finally
        {
            _turns.Release();
            ClientMetrics.IntrospectionWait.Record(time.GetElapsedTime(askedAt).TotalSeconds, new KeyValuePair<string, object?>("result", result));
        }
    }

    private static IEnumerable<List<string>> Split(IReadOnlyList<string> tokens)
    {
        var some = new List<string>();
        int characters = 0;
        foreach (var token in tokens)
        {
            if (some.Count == MostTokens || some.Count > 0 && characters + token.Length > MostCharacters)
            {
                yield return some;
                (some, characters) = ([], 0);
            }
            some.Add(token);
            characters += token.Length;
        }
        yield return some;
    }

    private static Wire.Consistency? ToWire(Freshness freshness) => freshness.Mode switch
    {
        FreshnessMode.Bounded => new Wire.Consistency { Bounded = Duration.FromTimeSpan(freshness.Bound) },
        FreshnessMode.AtLeast => new Wire.Consistency
        {
            AtLeast = new Wire.Revision { Epoch = freshness.Revision.Epoch.ToString(), Seq = freshness.Revision.Seq.Value, RevocationSeq = freshness.Revision.RevocationSeq.Value },
        },
        _ => null,      // linearizable
    };

    public void Dispose() => _turns.Dispose();
}

/// <summary>The Introspector's answer about one token.</summary>
/// <param name="Revision">What it was read from; null where it does not say.</param>
/// <param name="Age">How old its state may be when it is read here.</param>
internal readonly record struct Introspected(IntrospectTokenResponse Answer, Wire.Revision? Revision, TimeSpan Age);
