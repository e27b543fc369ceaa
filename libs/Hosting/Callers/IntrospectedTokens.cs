using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Hosting.Callers;

/// <summary>
/// Asks the Introspector about the tokens of callers, linearizable. The claims are read from the token itself: it is the text
/// whose signature the Introspector vouches for.
/// </summary>
public sealed class IntrospectedTokens(IntrospectionService.IntrospectionServiceClient introspection) : ICallerTokens
{
    public async Task<PresentedToken> JudgeAsync(string compact, CancellationToken cancellationToken)
    {
        var token = TokenParser.Parse(compact);
        var answer = await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = compact }, new CallOptions(cancellationToken: cancellationToken));
        if (!answer.Active && !answer.Revoked)
            throw new Refusal((Reason)answer.InactiveReason, answer.InactiveSentence.Length > 0 ? answer.InactiveSentence : null);
        if (answer.TokenHash != token.TokenHash.ToString()) throw new Refusal(Reason.Internal, "The Introspector answered for another token");
        return new PresentedToken(token.TokenHash, token.Claims, KeyId.Parse(answer.Kid), answer.Foreign, answer.Revoked);
    }
}
