namespace ClawBureau.Tokens;

/// <summary>
/// The groups a token belongs to: one per claim that a block can name, as such and within its owner's scope
/// (feed.proto, RevokedGroup.key). Issuer and every verifier must agree on them, so they are made here only.
/// </summary>
public static class TokenGroups
{
    /// <param name="claims">The token's claims.</param>
    /// <param name="signedBy">The key it was verified with, or is being signed with.</param>
    public static IReadOnlyList<GroupKey> Of(TokenClaims claims, KeyId signedBy)
    {
        var owner = claims.OwnerDid?.ToString();
        var groups = new List<GroupKey>(16);
        Add(RevocationKind.Subject, claims.Sub);
        Add(RevocationKind.Agent, claims.AgentDid?.ToString());
        Add(RevocationKind.Controller, claims.ControllerDid?.ToString());
        Add(RevocationKind.Owner, owner);
        Add(RevocationKind.Delegator, claims.Delegation?.DelegatorDid?.ToString());
        Add(RevocationKind.Delegation, claims.Delegation?.Id);
        Add(RevocationKind.Mission, claims.MissionId);
        Add(RevocationKind.KeyId, signedBy.ToString());
        Add(RevocationKind.Everything, "");
        return groups;

        void Add(RevocationKind kind, string? value)
        {
            if (value is null) return;
            groups.Add(GroupKey.Of(kind, "", value));
            if (owner is not null) groups.Add(GroupKey.Of(kind, owner, value));
        }
    }
}
