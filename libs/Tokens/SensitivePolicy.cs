using System.Security.Cryptography;

namespace ClawBureau.Tokens;

/// <summary>
/// What a controller may ever be granted of sensitive scopes (control-plane-http.md 2.4). Its hash is over
/// <c>JSON.stringify</c> in the contract's member order, not canonical JSON: lists that differ in order hash differently.
/// </summary>
public sealed record SensitivePolicy
{
    public const string Version = "1";
    public const string Mode = "owner_bound";

    private const string Family = "control:";
    private const int MostScopes = 64;
    private const int MostScopeLength = 128;

    private SensitivePolicy(string ownerDid, IReadOnlyList<string> scopes)
    {
        OwnerDid = ownerDid;
        AllowedSensitiveScopes = scopes;
        var json = new JsJsonWriter().BeginObject()
            .Name("policy_version").Value(Version)
            .Name("mode").Value(Mode)
            .Name("owner_did").Value(ownerDid)
            .Name("allowed_sensitive_scopes").Value(scopes)
            .EndObject();
        Hash = PolicyHash.FromBytes(SHA256.HashData(json.Written));
    }

    public string OwnerDid { get; }

    /// <summary>In the order that is hashed.</summary>
    public IReadOnlyList<string> AllowedSensitiveScopes { get; }

    public PolicyHash Hash { get; }

    /// <summary>What holds when a request names no list; unsorted, as the contract has it.</summary>
    public static IReadOnlyList<string> DefaultScopes { get; } =
        ["control:token:issue_sensitive", "control:token:revoke", "control:key:rotate", "control:policy:update"];

    /// <summary>The policy a request asks for.</summary>
    /// <param name="ownerDid">Whose it is.</param>
    /// <param name="scopes">Null: the default list.</param>
    /// <exception cref="Refusal"><see cref="Reason.InvalidSensitivePolicy"/></exception>
    public static SensitivePolicy Of(string ownerDid, IReadOnlyList<string>? scopes)
    {
        if (scopes is null) return new SensitivePolicy(ownerDid, DefaultScopes);
        var listed = scopes.Select(JsText.Trim).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();
        if (listed.Length is 0 or > MostScopes
            || listed.Any(scope => scope.Length > MostScopeLength || !scope.StartsWith(Family, StringComparison.Ordinal) || !StorableText.IsStorable(scope)))
            throw Refusal.OfField(Reason.InvalidSensitivePolicy, "allowed_sensitive_scopes");
        return new SensitivePolicy(ownerDid, listed);
    }

    /// <summary>A policy as it stands in a record: the list's order is kept, because it is hashed.</summary>
    public static SensitivePolicy Recorded(string ownerDid, IReadOnlyList<string> scopes) => new(ownerDid, scopes);

    /// <summary>The same for another owner; the contract sorts the list on this occasion.</summary>
    public SensitivePolicy For(string ownerDid) => new(ownerDid, [.. AllowedSensitiveScopes.Order(StringComparer.Ordinal)]);

    /// <summary>Allows nothing that the other one does not.</summary>
    public bool IsWithin(SensitivePolicy other) => AllowedSensitiveScopes.All(scope => other.AllowedSensitiveScopes.Contains(scope, StringComparer.Ordinal));
}
