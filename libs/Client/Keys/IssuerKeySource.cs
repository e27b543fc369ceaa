using ClawBureau.Protos.Keys.V1;
using ClawBureau.Tokens;
using Grpc.Core;
using KeyState = ClawBureau.Tokens.KeyState;
using Wire = ClawBureau.Protos.Keys.V1;

namespace ClawBureau.Client.Keys;

/// <summary>Keys from the Issuer, <c>clawbureau.keys.v1</c>: with their states, cut-offs and whether they ever signed there.</summary>
/// <param name="issuer">Calls to the Issuer; refusals must arrive as <see cref="Refusal"/>.</param>
public sealed class IssuerKeySource(CallInvoker issuer, PeerCalls calls) : IKeySource
{
    private readonly KeyService.KeyServiceClient _keys = new(issuer);

    public async Task<KeyReading> ReadAsync(CancellationToken cancellationToken)
    {
        var answer = await calls.AskAsync(token => _keys.GetKeySetAsync(new GetKeySetRequest { IncludeRetired = true }, cancellationToken: token).ResponseAsync, cancellationToken);
        var keys = new KeyStates(answer.KeySet.Keys.Select(key => new KeyEntry
        {
            KeyId = ToKeyId(key.Kid),
            PublicKey = key.PublicKey.ToByteArray(),
            State = ToState(key.State),
            NotAfter = key.NotAfter?.Seconds,
            IsForeign = key.Foreign,
            IsRevoked = key.Revoked,
            PublishedAt = key.PublishedAt?.Seconds,
        }));
        return new KeyReading(keys.ToVerificationKeys(), answer.KeySet.Epoch, answer.KeySet.Seq);
    }

    private static KeyId ToKeyId(string kid) => KeyId.TryParse(kid, out var keyId) ? keyId : throw new Refusal(Reason.SigningConfigInvalid, "The Issuer names a key by something that is no key id");

    // A state of a later version is none in which a key is known to be accepted.
    private static KeyState ToState(Wire.KeyState state) => state switch
    {
        Wire.KeyState.Next => KeyState.Next,
        Wire.KeyState.Active => KeyState.Active,
        Wire.KeyState.VerifyOnly => KeyState.VerifyOnly,
        _ => KeyState.Retired,
    };
}
