using ClawBureau.Ledger.Model;
using ClawBureau.Tokens;

namespace ClawBureau.Ledger;

/// <summary>What a decision was made from. Sent to the statement that checks it; numbers are never reused.</summary>
public enum SeenKind : short
{
    Binding = 1,

    /// <summary>Stands for its agents, their aliases and its policy too: acts on them move its version.</summary>
    Controller = 2,

    /// <summary>Of a controller; the key is the former DID.</summary>
    Alias = 3,
    Import = 4,
}

/// <summary>A record as it was read: its version, or 0 where there was none.</summary>
public readonly record struct Seen(SeenKind Kind, string Key, long Version);

/// <summary>A cut to be left in a group: tokens of it issued up to now are dead.</summary>
/// <param name="From">Null: now. Otherwise the cut that this group has, if it has one, goes over.</param>
public sealed record CutOrder(GroupKey Group, GroupKey? From = null);

/// <summary>
/// A mutation of the control plane: decided from records that were read, and recorded, with every row it writes, if under the
/// ledger's lock they still are what was read, its challenge is unused and no group it concerns is blocked. One event, and
/// one more for every cut it leaves.
/// </summary>
public sealed record ControlAct : Act
{
    public required EventKind What { get; init; }

    /// <summary>The DID it is about.</summary>
    public required string About { get; init; }

    /// <summary>What the event says beside who did it: text, numbers, flags and lists of text.</summary>
    public required IReadOnlyDictionary<string, object?> Facts { get; init; }

    /// <summary>Used up by this act; null where there is none.</summary>
    public string? ChallengeId { get; init; }

    public IReadOnlyList<Seen> Seen { get; init; } = [];
    public IReadOnlyList<GroupKey> MustNotBeBlocked { get; init; } = [];
    public IReadOnlyList<CutOrder> Cuts { get; init; } = [];

    // Rows as they are to stand; Seq 0 means this act, anything else is kept.
    public IReadOnlyList<Binding> Bindings { get; init; } = [];
    public IReadOnlyList<Controller> Controllers { get; init; } = [];
    public IReadOnlyList<Agent> Agents { get; init; } = [];
    public IReadOnlyList<Alias> Aliases { get; init; } = [];
    public IReadOnlyList<Import> Imports { get; init; } = [];

    public override EventKind Kind => What;
    internal override long MostEvents => 1 + Cuts.Count;
    public override string? Subject => About;

    internal override IEnumerable<(string Field, string? Text)> Texts =>
        [.. base.Texts, .. Facts.Values.OfType<string>().Select(text => ("text", (string?)text))];

    // Whatever an act writes it has seen. A block in the same batch is another statement: before it, or after it.
    internal override IEnumerable<string> ConflictKeys =>
    [
        .. Seen.Select(s => $"{s.Kind} {s.Key}"),
        .. Cuts.Select(c => GroupConflictKey(c.Group)),
        .. ChallengeId is null ? (string[])[] : ["challenge " + ChallengeId],
    ];

    private protected override byte[] WritePayload() => EventPayload.OfControl(this);
}
