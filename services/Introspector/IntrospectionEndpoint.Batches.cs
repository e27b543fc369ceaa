using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Introspector;

// Many tokens from one read, and what a token may do.
public sealed partial class IntrospectionEndpoint
{
    private const int MostTokens = 1000;

    public override async Task<EncodedResponse> BatchIntrospectTokens(BatchIntrospectTokensRequest request, ServerCallContext context)
    {
        if (request.Tokens.Count == 0) throw Refusal.OfField(Reason.InvalidRequest, "tokens", "tokens must not be empty");
        if (request.Tokens.Count > MostTokens)
            throw new Refusal(Reason.BatchTooLarge, $"At most {MostTokens} tokens are introspected at once", new Dictionary<string, string> { ["limit"] = $"{MostTokens}" });
        var rights = RightsOf(context);
        var reading = await ReadAsync(request.Consistency);
        var results = new ReadOnlyMemory<byte>[request.Tokens.Count];
        for (int i = 0; i < results.Length; i++) results[i] = ResultOf(request.Tokens[i], rights);
        var rest = new BatchIntrospectTokensResponse { Revision = Mapping.ToRevision(reading.Revision), Age = Mapping.ToDuration(time.GetElapsedTime(reading.StartedAt)) };
        return new EncodedResponse(results, rest);
    }

    /// <returns>A response with this one result, encoded.</returns>
    private ReadOnlyMemory<byte> ResultOf(string token, CallerRights rights)
    {
        if (JsText.IsBlank(token))
            return Mapping.ToBatch(new() { Error = new() { Reason = Protos.Types.V1.Reason.InvalidRequest, Sentence = "token is required", Metadata = { ["field"] = "token" } } });
        var (known, answer) = Answer(token, rights);
        return known?.Batch ?? Mapping.ToBatch(new() { Answer = answer });
    }

    public override async Task<GetTransitionMatrixResponse> GetTransitionMatrix(GetTransitionMatrixRequest request, ServerCallContext context)
    {
        if (JsText.IsBlank(request.Token)) throw Refusal.OfField(Reason.InvalidRequest, "token", "token is required");
        RightsOf(context);
        var reading = await ReadAsync(request.Consistency);
        var response = new GetTransitionMatrixResponse { Revision = Mapping.ToRevision(reading.Revision), Age = Mapping.ToDuration(time.GetElapsedTime(reading.StartedAt)) };
        var (verified, death, fault) = Judge(request.Token);
        if (verified is null)
        {
            response.TokenHash = TokenHash.Of(request.Token).ToString();
            (response.InactiveReason, response.InactiveSentence) = Mapping.ToWire(fault!);
            return response;
        }

        response.TokenHash = verified.TokenHash.ToString();
        (response.Kid, response.KidSource) = (verified.KeyId.ToString(), Mapping.ToWire(verified.KidSource));
        response.Matrix.Add(TransitionMatrix.Judge(verified.Claims).Select(Mapping.ToDecision));
        if (death is not null)
        {
            // An unknown transition is not spoken of then: the token may make none (contract 5.3).
            response.Revoked = true;
            (response.InactiveReason, response.InactiveSentence) = Mapping.ToWire(TokenFault.Revoked);
            return response;
        }
        response.Active = true;
        if (request.Transition.Length > 0)
        {
            var asked = TransitionMatrix.Find(request.Transition)
                ?? throw Refusal.OfField(Reason.TransitionUnknown, "transition", request.Transition.Length > 64 ? null : $"Unknown transition '{request.Transition}'");
            response.TransitionResult = Mapping.ToDecision(TransitionMatrix.Judge(verified.Claims, asked));
        }
        return response;
    }
}
