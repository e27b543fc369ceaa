using System.CommandLine;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Stack;
using ClawBureau.Tokens;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw watch`: prints revocations as they happen.</summary>
internal static class WatchVerb
{
    public static Command Create()
    {
        var from = new Option<string?>("--from") { Description = "Resume after EPOCH:REVOCATION_SEQ, as printed; default: from now on." };
        var count = new Option<int>("--count") { Description = "End after this many; default: never." };
        var json = new Option<bool>("--json") { Description = "Print each as one JSON object on a line." };
        var connection = new Connection("introspector");
        var command = new Command("watch", "Print revocations as they happen. Ctrl-C ends it; --from goes on where it ended.") { from, count, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var start = new Start();
            if (parsed.GetValue(from) is { } cursor)
            {
                var parts = cursor.Split(':');
                if (parts.Length != 2 || !Guid.TryParse(parts[0], out _) || !long.TryParse(parts[1], out long after)) throw new UsageException("--from looks like EPOCH:REVOCATION_SEQ.");
                (start.Epoch, start.AfterRevocationSeq) = (parts[0], after);
            }
            int left = parsed.GetValue(count);
            string at = "";
            try
            {
                await connection.CallAsync(parsed, async channel =>
                {
                    using var call = new FeedService.FeedServiceClient(channel.Calls).WatchRevocations(cancellationToken: cancellationToken);
                    await call.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = start }, cancellationToken);
                    string epoch = "";
                    while (await call.ResponseStream.MoveNext(cancellationToken))
                    {
                        var frame = call.ResponseStream.Current;
                        switch (frame.FrameCase)
                        {
                            case WatchRevocationsResponse.FrameOneofCase.Hello:
                                epoch = frame.Hello.Epoch;
                                at = parsed.GetValue(from) ?? $"{epoch}:{frame.Hello.HeadRevocationSeq}";
                                await Console.Error.WriteLineAsync($"watching; the feed stands at {epoch}:{frame.Hello.HeadRevocationSeq}");
                                break;
                            case WatchRevocationsResponse.FrameOneofCase.Reset:
                                throw new Refusal((Reason)frame.Reset.Reason);
                            case WatchRevocationsResponse.FrameOneofCase.Events:
                                foreach (var revocation in frame.Events.Revocations)
                                {
                                    at = $"{epoch}:{revocation.RevocationSeq}";
                                    Print(revocation, at, parsed.GetValue(json));
                                    if (--left == 0) return true;
                                }
                                break;
                        }
                    }
                    throw new StackException("The introspector ended the stream.");
                });
            }
            catch (Exception) when (cancellationToken.IsCancellationRequested)
            {
                // Ctrl-C is how one ends watching.
            }
            catch (Exception e) when (at.Length > 0 && e is Refusal or UnreachableException or StackException)
            {
                await Failure.Of(e).ReportAsync();
                await Console.Error.WriteLineAsync($"      `--from {at}` goes on where it ended.");
                return Failure.Of(e).ExitCode;
            }
            return ExitCode.Done;
        });
        return command;
    }

    private static void Print(Revocation r, string cursor, bool json)
    {
        var hash = r.Token is null ? null : Convert.ToHexStringLower(r.Token.TokenHash.Span);
        if (json)
        {
            Terminal.PrintJson(new
            {
                cursor,
                revocation_seq = r.RevocationSeq,
                seq = r.Seq,
                revoked_at = r.RevokedAt.Seconds,
                token_hash = hash,
                jti = r.Token?.Jti,
                group_kind = r.Group?.Kind.ToString().ToLowerInvariant(),
                blocked = r.Group?.Blocked,
                reason = r.Reason,
            });
            return;
        }
        var what = r.Group is { } group ? $"{group.Kind} {(group.Blocked ? "blocked" : "lifted")}" : hash is { Length: > 0 } ? hash : "jti " + r.Token!.Jti;
        Console.Out.WriteLine($"{r.RevokedAt.ToDateTimeOffset():HH:mm:ss.fff}  {cursor}  {what}  {r.Reason}");
    }
}
