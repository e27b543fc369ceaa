using ClawBureau.Tokens;

namespace ClawBureau.Issuer.Control;

/// <summary>The groups of tokens that an act on a chain concerns (DESIGN "Revocation").</summary>
internal static class ChainGroups
{
    private static readonly RevocationKind[] Roles =
        [RevocationKind.Subject, RevocationKind.Agent, RevocationKind.Controller, RevocationKind.Owner, RevocationKind.Delegator];

    /// <summary>Every token that names the DID, in whatever role.</summary>
    public static IEnumerable<GroupKey> OfDid(string did) => Roles.Select(role => GroupKey.Of(role, "", did));

    /// <summary>The same, and within each owner's scope: a block on any of these stands against the DID.</summary>
    public static IEnumerable<GroupKey> OfDid(string did, params ReadOnlySpan<string> owners)
    {
        var groups = OfDid(did).ToList();
        foreach (var owner in owners) groups.AddRange(Roles.Select(role => GroupKey.Of(role, owner, did)));
        return groups;
    }
}
