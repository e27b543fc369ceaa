using System.CommandLine;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Tokens;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw revoke`: takes tokens back.</summary>
internal static class RevokeVerb
{
    public static Command Create()
    {
        var token = new Option<string[]>("--token") { Description = "The token itself, or - to read it from standard input." };
        var hash = new Option<string[]>("--hash") { Description = "Its hash: 64 hex digits." };
        var jti = new Option<string[]>("--jti") { Description = "Its jti." };
        var reason = new Option<string?>("--reason") { Description = "Why, for people and for the audit log." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var groups = new GroupOptions();
        var connection = new Connection("issuer");
        var wait = new AppliedWait(new Connection("introspector", connection));
        var command = new Command("revoke", "Take tokens back: single ones for ever, whole groups until `claw lift`. Done means committed: no introspection that starts later says active.") { token, hash, jti };
        groups.AddTo(command);
        command.Options.Add(reason);
        command.Options.Add(json);
        connection.AddTo(command);
        wait.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new RevokeTokensRequest { Reason = parsed.GetValue(reason) ?? "", OwnerScope = groups.OwnerScopeOf(parsed) };
            request.Targets.AddRange((parsed.GetValue(token) ?? []).Select(t => new RevocationTarget { Token = Terminal.ReadToken(t) }));
            request.Targets.AddRange((parsed.GetValue(hash) ?? []).Select(h => new RevocationTarget { TokenHash = h }));
            request.Targets.AddRange((parsed.GetValue(jti) ?? []).Select(j => new RevocationTarget { Jti = j }));
            var blocking = groups.GroupsOf(parsed);
            if (request.Targets.Count + blocking.Count == 0) throw new UsageException($"Say what: --token, --hash, --jti, {groups.Names}.");

            var response = request.Targets.Count == 0 ? new RevokeTokensResponse() : await connection.CallAsync(parsed, c =>
                new RevocationService.RevocationServiceClient(c.Calls).RevokeTokensAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            var blocked = await GroupResult.OfEachAsync(blocking, group => connection.CallAsync(parsed, async c =>
            {
                var answer = await new RevocationService.RevocationServiceClient(c.Calls).BlockGroupAsync(
                    new BlockGroupRequest { Group = group, Reason = request.Reason }, cancellationToken: cancellationToken);
                return (answer.Block, answer.Revision, answer.AlreadyBlocked ? "already_blocked" : "blocked");
            }));
            var report = await wait.RunAsync(parsed, GroupResult.LatestOf(blocked) ?? response.Revision, cancellationToken);
            var errors = response.Results.Where(r => r.Error is not null).Select(r => r.Error).ToList();
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    results = response.Results.Select(r => new
                    {
                        status = r.Revocation is null ? "refused" : r.Revocation.Status == RevocationStatus.Revoked ? "revoked" : "already_revoked",
                        token_hash = r.Revocation?.TokenHash,
                        revoked_at = r.Revocation?.RevokedAt.Seconds,
                        seq = r.Revocation?.Seq,
                        revocation_seq = r.Revocation?.RevocationSeq,
                        reason = r.Error is null ? null : ReasonCatalog.Of((Reason)r.Error.Reason).Code,
                    }),
                    groups = blocked.Select(b => b.ToJson()),
                    wait = report?.ToJson(),
                });
            }
            else
            {
                foreach (var revoked in response.Results.Where(r => r.Revocation is not null).Select(r => r.Revocation))
                {
                    Console.Out.WriteLine(revoked.Status == RevocationStatus.Revoked ? "revoked" : "revoked before");
                    Terminal.Print("hash", revoked.TokenHash);
                    Terminal.Print("at", Terminal.Time(revoked.RevokedAt.Seconds));
                    Terminal.Print("recorded", $"seq {revoked.Seq}, revocation {revoked.RevocationSeq}");
                }
            }
            var failures = errors.Select(e => Failure.Of(e.Sentence, ReasonCatalog.Of((Reason)e.Reason))).ToList();
            if (!parsed.GetValue(json))
            {
                foreach (var failure in failures) await failure.ReportAsync();
                foreach (var group in blocked) await group.PrintAsync();
                report?.Print();
            }
            failures.AddRange(blocked.Select(b => b.Failure).OfType<Failure>());
            var exit = failures.Select(f => f.ExitCode).DefaultIfEmpty(ExitCode.Done).Max();
            return report is { IsEverywhere: false } ? Math.Max(exit, ExitCode.Unavailable) : exit;
        });
        return command;
    }
}
