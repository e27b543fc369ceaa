using System.CommandLine;
using ClawBureau.Protos.Revocation.V1;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw lift`: lifts blocks that `claw revoke` set.</summary>
internal static class LiftVerb
{
    public static Command Create()
    {
        var reason = new Option<string?>("--reason") { Description = "Why, for people and for the audit log." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var groups = new GroupOptions();
        var connection = new Connection("issuer");
        var wait = new AppliedWait(new Connection("introspector", connection));
        var command = new Command("lift", "Lift blocks: their groups get new tokens again. Tokens issued up to now stay dead.");
        groups.AddTo(command);
        command.Options.Add(reason);
        command.Options.Add(json);
        connection.AddTo(command);
        wait.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var lifting = groups.GroupsOf(parsed);
            if (lifting.Count == 0) throw new UsageException($"Say which block: {groups.Names}.");
            var results = await GroupResult.OfEachAsync(lifting, group => connection.CallAsync(parsed, async c =>
            {
                var answer = await new RevocationService.RevocationServiceClient(c.Calls).LiftBlockAsync(
                    new LiftBlockRequest { Group = group, Reason = parsed.GetValue(reason) ?? "" }, cancellationToken: cancellationToken);
                return (answer.Block, answer.Revision, answer.AlreadyLifted ? "already_lifted" : "lifted");
            }));
            var report = await wait.RunAsync(parsed, GroupResult.LatestOf(results), cancellationToken);

            if (parsed.GetValue(json)) Terminal.PrintJson(new { groups = results.Select(r => r.ToJson()), wait = report?.ToJson() });
            else foreach (var result in results) await result.PrintAsync();
            if (!parsed.GetValue(json)) report?.Print();
            var exit = results.Select(r => r.Failure?.ExitCode ?? ExitCode.Done).Max();
            return report is { IsEverywhere: false } ? Math.Max(exit, ExitCode.Unavailable) : exit;
        });
        return command;
    }
}
