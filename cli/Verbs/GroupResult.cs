using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;
using Revision = ClawBureau.Protos.Types.V1.Revision;

namespace ClawBureau.Cli.Verbs;

/// <summary>What became of one group.</summary>
/// <param name="Group">As it was named.</param>
/// <param name="Status">blocked, already_blocked, lifted, already_lifted; refused.</param>
/// <param name="Block">As it stands now; null when it was refused.</param>
/// <param name="Revision">That holds it.</param>
/// <param name="Failure">Why it was refused.</param>
/// <param name="Reason">The same for programs.</param>
internal sealed record GroupResult(Group Group, string Status, Block? Block, Revision? Revision, Failure? Failure, string? Reason)
{
    /// <summary>One after the other, so that one refused keeps no other from being done.</summary>
    public static async Task<IReadOnlyList<GroupResult>> OfEachAsync(IEnumerable<Group> groups, Func<Group, Task<(Block, Revision, string)>> act)
    {
        var results = new List<GroupResult>();
        foreach (var group in groups)
        {
            try
            {
                var (block, revision, status) = await act(group);
                results.Add(new GroupResult(group, status, block, revision, null, null));
            }
            catch (Refusal refusal)
            {
                results.Add(new GroupResult(group, "refused", null, null, Failure.Of(refusal), ReasonCatalog.Of(refusal.Reason).Code));
            }
        }
        return results;
    }

    public static Revision? LatestOf(IEnumerable<GroupResult> results) => results.Select(r => r.Revision).OfType<Revision>().MaxBy(r => r.RevocationSeq);

    public object ToJson() => new
    {
        group_kind = GroupOptions.NameOf(Group.Kind),
        status = Status,
        cut = Block?.Cut?.Seconds,
        changed_at = Block?.ChangedAt.Seconds,
        seq = Block?.Seq,
        revocation_seq = Block?.RevocationSeq,
        reason = Reason,
    };

    public async Task PrintAsync()
    {
        if (Failure is not null)
        {
            await Failure.ReportAsync();
            return;
        }
        Console.Out.WriteLine(Status switch
        {
            "blocked" => "blocked",
            "already_blocked" => "blocked before",
            "lifted" => "lifted",
            _ => "lifted before",
        });
        Terminal.Print(GroupOptions.NameOf(Group.Kind), Group.Value.Length > 0 ? Group.Value : "every token");
        Terminal.Print("of owner", Group.OwnerScope);
        Terminal.Print("at", Terminal.Time(Block!.ChangedAt.Seconds));
        if (Block.Cut is { } cut) Terminal.Print("dead up to", Terminal.Time(cut.Seconds));
        Terminal.Print("recorded", $"seq {Block.Seq}, revocation {Block.RevocationSeq}");
    }
}
