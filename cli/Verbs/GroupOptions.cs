using System.CommandLine;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Cli.Verbs;

/// <summary>How `claw revoke` and `claw lift` name groups of tokens.</summary>
internal sealed class GroupOptions
{
    private readonly IReadOnlyList<(GroupKind Kind, Option<string[]> Option)> _kinds =
    [
        (GroupKind.Subject, Of("--subject", "Every token of this subject.")),
        (GroupKind.Agent, Of("--agent", "Every token of this agent DID.")),
        (GroupKind.Controller, Of("--controller", "Every token under this controller DID.")),
        (GroupKind.Owner, Of("--owner", "Every token of this owner DID.")),
        (GroupKind.Delegator, Of("--delegator", "Every token that this DID delegated.")),
        (GroupKind.Delegation, Of("--delegation", "Every token of this delegation id.")),
        (GroupKind.Mission, Of("--mission", "Every token of this mission id.")),
        (GroupKind.KeyId, Of("--kid", "Every token that this key signed.")),
    ];

    private readonly Option<bool> _all = new("--all") { Description = "Every token there is." };
    private readonly Option<string?> _ownerScope = new("--owner-scope") { Description = "Only those of this owner DID." };

    public void AddTo(Command command)
    {
        foreach (var (_, option) in _kinds) command.Options.Add(option);
        command.Options.Add(_all);
        command.Options.Add(_ownerScope);
    }

    /// <summary>As a sentence about what is missing names them.</summary>
    public string Names => string.Join(", ", _kinds.Select(kind => kind.Option.Name).Append(_all.Name));

    public string OwnerScopeOf(ParseResult parsed) => parsed.GetValue(_ownerScope) ?? "";

    public IReadOnlyList<Group> GroupsOf(ParseResult parsed)
    {
        var groups = _kinds.SelectMany(kind => (parsed.GetValue(kind.Option) ?? []).Select(value => new Group { Kind = kind.Kind, Value = value })).ToList();
        if (parsed.GetValue(_all)) groups.Add(new Group { Kind = GroupKind.Everything });
        foreach (var group in groups) group.OwnerScope = OwnerScopeOf(parsed);
        return groups;
    }

    /// <summary>As people and JSON call a kind: <c>mission</c>, <c>key_id</c>.</summary>
    public static string NameOf(GroupKind kind) => kind == GroupKind.KeyId ? "key_id" : kind.ToString().ToLowerInvariant();

    private static Option<string[]> Of(string name, string description) => new(name) { Description = description };
}
