using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Types.V1;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;

namespace ClawBureau.Cli.Verbs;

/// <summary>
/// `--wait`: asks every Introspector until each process that decides by itself has applied what was done, or decides no longer
/// (DESIGN "Revocation", 4).
/// </summary>
internal sealed class AppliedWait(Connection introspector)
{
    /// <summary>For the answer to arrive after the wait itself.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(2);

    /// <summary>After this long all are asked again: a process may follow one Introspector and have told another what it applied.</summary>
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(200);

    private readonly Option<TimeSpan?> _wait = new("--wait")
    {
        Description = "Wait so long at most, such as 5s, until every follower has it, and say who has and who has not.",
        CustomParser = Parse,
    };

    public void AddTo(Command command)
    {
        command.Options.Add(_wait);
        introspector.AddTo(command);
    }

    /// <returns>Null: nobody asked to wait.</returns>
    public async Task<AppliedReport?> RunAsync(ParseResult parsed, Revision? revision, CancellationToken cancellationToken)
    {
        if (parsed.GetValue(_wait) is not { } atMost || revision is null) return null;
        var began = TimeProvider.System.GetTimestamp();
        IReadOnlyList<string> silent;
        IReadOnlyList<FollowerReceipt> followers;
        while (true)
        {
            var left = atMost - TimeProvider.System.GetElapsedTime(began);
            var turn = left < Turn ? left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1) : Turn;
            var answers = await introspector.CallEachAsync(parsed, channel => new FeedService.FeedServiceClient(channel.Calls).ReadIndexAsync(
                new ReadIndexRequest { AwaitApplied = revision, WaitAtMost = Duration.FromTimeSpan(turn) },
                new CallOptions(deadline: DateTime.UtcNow + turn + Margin, cancellationToken: cancellationToken)).ResponseAsync);
            silent = [.. answers.Where(a => a.Answer is null).Select(a => $"{a.Address}")];
            // A process may be known to several: what counts is the larger number.
            followers = [.. answers.SelectMany(a => a.Answer?.Followers ?? []).GroupBy(f => f.FollowerId)
                .Select(same => same.OrderByDescending(f => Has(f, revision)).ThenByDescending(f => f.LeaseLeft.ToTimeSpan()).First())
                .OrderBy(f => f.Identity, StringComparer.Ordinal)];
            if (silent.Count > 0)
            {
                // Who followed it is not known, also where it is back in a moment, but no lease that it gave outlives this.
                left = atMost - TimeProvider.System.GetElapsedTime(began);
                if (left > TimeSpan.Zero) await Task.Delay(left, cancellationToken);
                break;
            }
            if (left <= turn || followers.All(f => Has(f, revision) || f.LeaseLeft.ToTimeSpan() <= TimeSpan.Zero)) break;
        }
        return new AppliedReport(
            [.. followers.Where(f => Has(f, revision))],
            [.. followers.Where(f => !Has(f, revision) && f.LeaseLeft.ToTimeSpan() > TimeSpan.Zero)],
            [.. followers.Where(f => !Has(f, revision) && f.LeaseLeft.ToTimeSpan() <= TimeSpan.Zero)],
            silent,
            TimeProvider.System.GetElapsedTime(began));
    }

    private static bool Has(FollowerReceipt follower, Revision revision) =>
        follower.Epoch == revision.Epoch && follower.AppliedRevocationSeq >= revision.RevocationSeq;

    /// <summary>A time to wait, up to a minute.</summary>
    internal static TimeSpan? Parse(ArgumentResult argument)
    {
        var text = argument.Tokens.Count == 1 ? argument.Tokens[0].Value : "";
        var (digits, unit) = text.EndsWith("ms", StringComparison.Ordinal) ? (text[..^2], 0.001) : text.EndsWith('s') ? (text[..^1], 1.0) : (text, 1.0);
        if (double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && seconds * unit is > 0 and <= 60)
            return TimeSpan.FromSeconds(seconds * unit);
        argument.AddError($"--wait: '{text}' is no time up to a minute; it looks like 5s or 500ms.");
        return null;
    }
}

/// <summary>Who has what was done.</summary>
/// <param name="Applied">Have it.</param>
/// <param name="Lacking">May still decide without it.</param>
/// <param name="Lapsed">Do not have it, and decide nothing until they do.</param>
/// <param name="Silent">Introspectors that did not answer; the full wait was waited for their followers.</param>
/// <param name="Took">From the answer of the revocation on.</param>
internal sealed record AppliedReport(
    IReadOnlyList<FollowerReceipt> Applied, IReadOnlyList<FollowerReceipt> Lacking, IReadOnlyList<FollowerReceipt> Lapsed, IReadOnlyList<string> Silent, TimeSpan Took)
{
    public bool IsEverywhere => Lacking.Count == 0 && Silent.Count == 0;

    public object ToJson() => new
    {
        everywhere = IsEverywhere,
        took_ms = Math.Round(Took.TotalMilliseconds, 1),
        applied = Applied.Select(Name),
        lacking = Lacking.Select(Name),
        lapsed = Lapsed.Select(Name),
        silent_introspectors = Silent,
    };

    public void Print()
    {
        Console.Out.WriteLine(IsEverywhere ? $"applied everywhere after {Took.TotalMilliseconds:0} ms" : $"not everywhere after {Took.TotalMilliseconds:0} ms");
        Terminal.Print("has it", string.Join(", ", Applied.Select(Name)));
        Terminal.Print("lacks it", string.Join(", ", Lacking.Select(Name)));
        Terminal.Print("decides nothing", string.Join(", ", Lapsed.Select(Name)));
        Terminal.Print("does not answer", string.Join(", ", Silent));
    }

    private static string Name(FollowerReceipt follower) => $"{follower.Identity} {follower.FollowerId}";
}
