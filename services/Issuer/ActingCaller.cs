using ClawBureau.Hosting.Callers;
using ClawBureau.Ledger;
using ClawBureau.Tokens;

namespace ClawBureau.Issuer;

/// <summary>Whoever asks for an act, as the ledger records and judges him.</summary>
/// <param name="Name">As the caller table names him.</param>
/// <param name="Token">The token he showed; null: another credential.</param>
/// <param name="OwnerDid">The owner he acts for and within whose scope alone; null: he acts for no owner.</param>
public sealed record ActingCaller(string Name, ActingToken? Token, string? OwnerDid)
{
    public static ActingCaller Of(Caller caller)
    {
        if (caller is not Caller.Token holder) return new ActingCaller(caller.Name, null, null);
        var claims = holder.Credential.Claims;
        var token = new ActingToken(holder.TokenHash, claims.Jti, claims.IssuedAt, holder.Credential.KeyId, TokenGroups.Of(claims, holder.Credential.KeyId));
        return new ActingCaller(caller.Name, token, caller.IsUnscoped() ? null : holder.OwnerDid);
    }
}
