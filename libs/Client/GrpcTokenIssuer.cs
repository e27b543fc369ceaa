using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Grpc.Core;

namespace ClawBureau.Client;

/// <summary>Gets tokens from the Issuer. A lost answer is asked for again under the same idempotency key, so it is one token all the same.</summary>
/// <param name="issuer">Calls to the Issuer with the right to issue; refusals must arrive as <see cref="Refusal"/>.</param>
/// <param name="grant">What every token grants; its idempotency key is set here.</param>
public sealed class GrpcTokenIssuer(CallInvoker issuer, IssueTokenRequest grant, PeerCalls calls) : ITokenIssuer
{
    private readonly IssuanceService.IssuanceServiceClient _issuance = new(issuer);

    public async Task<IssuedToken> IssueAsync(CancellationToken cancellationToken)
    {
        var request = new IssueTokenRequest(grant) { IdempotencyKey = Guid.NewGuid().ToString("N") };
        var answer = await calls.AskAsync(token => _issuance.IssueTokenAsync(request, cancellationToken: token).ResponseAsync, cancellationToken);
        return new IssuedToken(answer.Token, TokenHash.Parse(answer.TokenHash), answer.IssuedAt.ToDateTimeOffset(), answer.ExpiresAt.ToDateTimeOffset());
    }
}
