using ClawBureau.Hosting.Claims;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Introspector;

/// <summary>
/// What every answer says of an active token to those who may know its claims, encoded once: the claims are about as long as
/// the token, and a batch spent more on encoding them than on judging the tokens.
/// </summary>
internal sealed class ActiveToken
{
    private ActiveToken(byte[] batch, int answerBytes) => (Batch, Answer) = (batch, batch.AsMemory(batch.Length - answerBytes));

    /// <summary>A BatchIntrospectTokensResponse with it as the only result.</summary>
    public ReadOnlyMemory<byte> Batch { get; }

    /// <summary>An IntrospectTokenResponse without revision and age.</summary>
    public ReadOnlyMemory<byte> Answer { get; }

    /// <summary>For <see cref="VerifiedToken.Derive{T}"/>.</summary>
    public static ActiveToken Of(VerifiedToken token)
    {
        var answer = Mapping.ToAnswer(token, death: null, TokenClaimsMapping.ToWire(token.Claims));
        // The answer is the last thing in it, behind the tags and lengths around it.
        return new ActiveToken(Mapping.ToBatch(new BatchIntrospectTokensResult { Answer = answer }), answer.CalculateSize());
    }
}
