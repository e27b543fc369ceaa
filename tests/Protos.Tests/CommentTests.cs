using System.Text.RegularExpressions;
using ClawBureau.Protos.Types.V1;

namespace ClawBureau.Protos.Tests;

public sealed partial class CommentTests
{
    private static readonly string[] Labels = ["Callers:", "Refusals:", "Retry:"];

    public static TheoryData<string> RpcNames => [.. Contract.Rpcs.Select(rpc => rpc.FullName)];

    [Theory]
    [MemberData(nameof(RpcNames))]
    public void Rpc_says_what_it_does_who_may_call_what_refuses_and_whether_to_retry(string rpc)
    {
        var comment = CommentOf(rpc);

        Assert.False(string.IsNullOrWhiteSpace(comment.Split("Callers:")[0]), $"{rpc} does not say what it does");
        foreach (var label in Labels)
            Assert.Matches($@"(?m)^{label} \S", comment);
    }

    [Theory]
    [MemberData(nameof(RpcNames))]
    public void Refusals_that_a_comment_names_exist(string rpc)
    {
        var reasons = ReasonsReflection.Descriptor.EnumTypes[0].Values.Select(value => value.Name["REASON_".Length..]).ToHashSet();
        foreach (var named in RefusalCode().Matches(CommentOf(rpc)).Select(match => match.Value))
        {
            var known = named.EndsWith('*')
                ? reasons.Any(reason => reason.StartsWith(named[..^1], StringComparison.Ordinal))
                : reasons.Contains(named);
            Assert.True(known, $"{rpc} names {named}, which is no reason");
        }
    }

    private static string CommentOf(string fullName)
    {
        var rpc = Contract.Rpcs.Single(candidate => candidate.FullName == fullName);
        var lines = Contract.TextOf(rpc.File).Split('\n');
        var at = Array.FindIndex(lines, line => line.StartsWith($"  rpc {rpc.Name}(", StringComparison.Ordinal));
        Assert.True(at > 0, $"{fullName} is not in {rpc.File.Name}");
        var comment = lines.Take(at).Reverse().TakeWhile(line => line.TrimStart().StartsWith("//", StringComparison.Ordinal)).Reverse();
        return string.Join('\n', comment.Select(line => line.Trim().TrimStart('/').Trim()));
    }

    // At least one underscore: words such as UNAVAILABLE are codes of gRPC.
    [GeneratedRegex(@"\b[A-Z]+(_[A-Z]+)+\b(_\*)?|\b[A-Z]+(_[A-Z]+)*_\*")]
    private static partial Regex RefusalCode();
}
