namespace ClawBureau.Tokens;

/// <summary>
/// The groups a token belongs to: one per claim that a block can name, as such and within its owner's scope
/// (feed.proto, RevokedGroup.key). Issuer and every verifier must agree on them, so they are made here only.
/// </summary>
public static class TokenGroups
{
    /// <summary>The kinds of group, in the order in which they are asked for.</summary>
    internal static ReadOnlySpan<RevocationKind> Kinds =>
    [
        RevocationKind.Subject, RevocationKind.Agent, RevocationKind.Controller, RevocationKind.Owner, RevocationKind.Delegator,
        RevocationKind.Delegation, RevocationKind.Mission, RevocationKind.KeyId, RevocationKind.Everything,
    ];

    /// <param name="claims">The token's claims.</param>
    /// <param name="signedBy">The key it was verified with, or is being signed with.</param>
    public static IReadOnlyList<GroupKey> Of(TokenClaims claims, KeyId signedBy)
    {
        var owner = claims.OwnerDid?.ToString();
        var groups = new List<GroupKey>(16);
        foreach (var kind in Kinds)
        {
            if (ValueOf(kind, claims, signedBy) is not { } value) continue;
            groups.Add(GroupKey.Of(kind, "", value));
            if (owner is not null) groups.Add(GroupKey.Of(kind, owner, value));
        }
        return groups;
    }

    /// <summary>What a group of this kind would have to name to have the token in it; null: no group of this kind has it.</summary>
    internal static string? ValueOf(RevocationKind kind, TokenClaims claims, KeyId signedBy) => kind switch
    {
        RevocationKind.Subject => claims.Sub,
        RevocationKind.Agent => claims.AgentDid?.ToString(),
        RevocationKind.Controller => claims.ControllerDid?.ToString(),
        RevocationKind.Owner => claims.OwnerDid?.ToString(),
        RevocationKind.Delegator => claims.Delegation?.DelegatorDid?.ToString(),
        RevocationKind.Delegation => claims.Delegation?.Id,
        RevocationKind.Mission => claims.MissionId,
        RevocationKind.KeyId => signedBy.ToString(),
        RevocationKind.Everything => "",
        _ => null,
    };
}
