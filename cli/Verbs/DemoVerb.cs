using System.CommandLine;
using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;
using ClawBureau.Hosting.Peers;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Audit.V1;
using ClawBureau.Protos.Feed.V1;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Revocation.V1;
using ClawBureau.Protos.Verification.V1;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Audience = ClawBureau.Protos.Types.V1.Audience;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw demo`: a fresh stack, one token's life, and everything gone again.</summary>
internal static class DemoVerb
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "Print {\"ok\":…,\"steps\":[…]} as the last line of stdout." };
        var command = new Command("demo", "Bring up a fresh stack, walk one token through its life, tear everything down.") { json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var story = new Story(quiet: parsed.GetValue(json));
            try
            {
                await TellAsync(story, cancellationToken);
            }
            catch (Exception e)
            {
                if (cancellationToken.IsCancellationRequested) throw;
                await story.FailAsync(e);
            }
            if (parsed.GetValue(json)) Terminal.PrintJson(new { ok = story.Ok, steps = story.Steps.Select(s => new { name = s.Name, ok = s.Ok, ms = s.Milliseconds }) });
            else Console.Out.WriteLine(story.Ok ? "\nEvery step held. Run your own with `./claw up`." : "\nThe demo failed at the step marked ✗.");
            return story.ExitCode;
        });
        return command;
    }

    private static async Task TellAsync(Story story, CancellationToken cancellationToken)
    {
        LocalStack? stack = null;
        try
        {
            await story.StepAsync("start", "A fresh stack: PostgreSQL, all five services, TLS between all of them.", async () =>
            {
                stack = await LocalStack.StartAsync(new StackOptions { Database = AdminDatabase.Read(), PlainHttp = true }, line => story.Say(line), cancellationToken);
                return null;
            });
            using var issuing = PeerChannel.Create(stack!.Issuer.Address, stack.Peer);
            using var introspecting = PeerChannel.Create(stack.Introspector.Address, stack.Peer);
            using var verifying = PeerChannel.Create(stack.First("verifier").Address, stack.Peer);
            using var auditing = PeerChannel.Create(stack.First("audit-sink").Address, stack.Peer);
            using var edge = new HttpClient { BaseAddress = stack.EdgeHttp, Timeout = Patience };
            var issuance = new IssuanceService.IssuanceServiceClient(issuing.Calls);
            var revocation = new RevocationService.RevocationServiceClient(issuing.Calls);
            var introspection = new IntrospectionService.IntrospectionServiceClient(introspecting.Calls);
            var feed = new FeedService.FeedServiceClient(introspecting.Calls);
            var verification = new VerificationService.VerificationServiceClient(verifying.Calls);
            var audit = new AuditService.AuditServiceClient(auditing.Calls);

            // What an OpenClaw plugin asks for.
            var request = new IssueTokenRequest
            {
                Sub = "did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC",
                Aud = new Audience { Values = { "clawproxy.example" } },
                Scope = { "clawproxy:call" },
                Ttl = Duration.FromTimeSpan(TimeSpan.FromMinutes(10)),
                MissionId = "agent:main:dm:whatsapp:+15551234567",
                RunId = "run-1",
                IdempotencyKey = "demo-1",
            };
            IssueTokenResponse issued = null!;
            await story.StepAsync("issue", "The plugin asks for a token: this agent, this service, this scope, this mission, ten minutes.", async () =>
            {
                issued = await issuance.IssueTokenAsync(request, cancellationToken: cancellationToken);
                return $"token {issued.TokenHash[..16]}…  seq {issued.Seq}  kid {issued.Kid}  policy {issued.PolicyVersion}";
            });
            await story.StepAsync("retry", "Its answer got lost, it asks again under the same idempotency key: the same token, not a second one.", async () =>
            {
                var again = await issuance.IssueTokenAsync(request, cancellationToken: cancellationToken);
                Require(again.Token == issued.Token && again.Seq == issued.Seq && again.Repeated, "the retry got another token");
                return $"the same token, still seq {again.Seq}";
            });
            await story.StepAsync("refuse", "It asks for more than the policy allows: refused, with a reason it can act on.", async () =>
            {
                var greedy = request.Clone();
                (greedy.IdempotencyKey, greedy.Scope[0]) = ("", "admin:everything");
                try
                {
                    await issuance.IssueTokenAsync(greedy, cancellationToken: cancellationToken);
                }
                catch (Refusal refusal) when (refusal.Reason == Reason.ScopeNotAllowed)
                {
                    return $"{ReasonCatalog.Of(refusal.Reason).Code}: {refusal.Sentence}";
                }
                throw new StepFailed("a scope outside the policy was granted");
            });
            await story.StepAsync("introspect", "The service asks whether the token is good: yes, and for what.", async () =>
            {
                var answer = await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Token }, cancellationToken: cancellationToken);
                Require(answer.Active && !answer.Revoked, $"the token is not active: {answer.InactiveSentence}");
                return $"active, for {answer.Claims.Aud.Values[0]}, scope {answer.Claims.Scope[0]}, mission {answer.Claims.MissionId}";
            });
            await story.StepAsync("verify", "Another one asks the Verifier, which holds the keys and follows the revocations.", async () =>
            {
                var answer = await verification.VerifyTokenAsync(new VerifyTokenRequest { Token = issued.Token }, cancellationToken: cancellationToken);
                Require(answer.Verdict.Status == VerificationStatus.Valid, $"the token is not valid: {answer.Verdict.Sentence}");
                return $"valid, decided {(answer.Confidence.Source == VerificationSource.Offline ? "offline" : "by introspection")} on revocations {answer.Confidence.RevocationAge.ToTimeSpan().TotalMilliseconds:0} ms old";
            });

            using var watch = feed.WatchRevocations(cancellationToken: cancellationToken);
            Task<(Events Events, long At)> streamed = null!;
            await story.StepAsync("watch", "Another service follows the feed of revocations.", async () =>
            {
                await watch.RequestStream.WriteAsync(new WatchRevocationsRequest { Start = new Start() }, cancellationToken);
                var hello = (await NextAsync(watch, WatchRevocationsResponse.FrameOneofCase.Hello, cancellationToken)).Hello;
                await NextAsync(watch, WatchRevocationsResponse.FrameOneofCase.CaughtUp, cancellationToken);
                streamed = ReceiveAsync(watch, cancellationToken);
                return $"following from revocation {hello.HeadRevocationSeq}, a sign of life every {hello.HeartbeatInterval.ToTimeSpan().TotalSeconds:0} s";
            });
            var answered = 0L;
            await story.StepAsync("revoke", "The operator takes the token back.", async () =>
            {
                var revoked = (await revocation.RevokeTokensAsync(
                    new RevokeTokensRequest { Targets = { new RevocationTarget { Token = issued.Token } }, Reason = "laptop stolen" }, cancellationToken: cancellationToken)).Results[0].Revocation;
                answered = Stopwatch.GetTimestamp();
                Require(revoked?.Status == RevocationStatus.Revoked, "the token was not revoked");
                return $"committed as seq {revoked!.Seq}, revocation {revoked.RevocationSeq}";
            });
            await story.StepAsync("revoked", "An introspection that starts now says so. Nothing is cached, nothing has to expire first.", async () =>
            {
                var answer = await introspection.IntrospectTokenAsync(new IntrospectTokenRequest { Token = issued.Token }, cancellationToken: cancellationToken);
                Require(!answer.Active && answer.Revoked, "the revoked token is still active");
                return "active: false, revoked: true";
            });
            await story.StepAsync("streamed", "And the follower has it.", async () =>
            {
                var (events, at) = await streamed;
                Require(Convert.ToHexStringLower(events.Revocations[0].Token.TokenHash.Span) == issued.TokenHash, "the stream carries another token");
                var delay = Stopwatch.GetElapsedTime(answered, at).TotalMilliseconds;
                return $"revocation {events.FirstRevocationSeq}, {(delay < 0 ? "before the operator had his answer" : $"{delay:0.#} ms after the operator had his answer")}";
            });
            await story.StepAsync("verify-revoked", "Over HTTP, the runbook's last step: the verifier refuses the token from now on.", async () =>
            {
                using var answer = await edge.PostAsJsonAsync("/v1/verify/token-control", new { token = issued.Token }, cancellationToken);
                var verdict = await answer.Content.ReadFromJsonAsync<JsonElement>(cancellationToken);
                var code = verdict.TryGetProperty("error", out var error) ? error.GetProperty("code").GetString() : "none";
                Require(code == "REVOKED", $"the verifier answers {(int)answer.StatusCode} {code}");
                return $"POST {edge.BaseAddress}v1/verify/token-control: {(int)answer.StatusCode} {code}";
            });
            await story.StepAsync("audit", "The auditor reads what happened, in the audit log.", async () =>
            {
                var entries = await ReadAuditAsync(audit, issued.TokenHash, cancellationToken);
                return string.Join("\n    ", entries.Select(e => $"entry {e.Index}: {e.Source} seq {e.Seq} {e.Kind}"));
            });
        }
        finally
        {
            if (stack is not null)
            {
                await story.StepAsync("stop", "Everything is taken down again.", async () =>
                {
                    await stack.DisposeAsync();
                    return null;
                });
            }
        }
    }

    private static async Task<(Events Events, long At)> ReceiveAsync(
        Grpc.Core.AsyncDuplexStreamingCall<WatchRevocationsRequest, WatchRevocationsResponse> watch, CancellationToken cancellationToken)
    {
        var frame = await NextAsync(watch, WatchRevocationsResponse.FrameOneofCase.Events, cancellationToken);
        return (frame.Events, Stopwatch.GetTimestamp());
    }

    /// <summary>The acts about the token; the log has them a moment after the ledger.</summary>
    private static async Task<IReadOnlyList<Entry>> ReadAuditAsync(AuditService.AuditServiceClient audit, string tokenHash, CancellationToken cancellationToken)
    {
        var request = new ListEventsRequest { Filter = new EventFilter { TokenHash = tokenHash }, Ascending = true };
        var started = Stopwatch.StartNew();
        while (true)
        {
            var entries = (await audit.ListEventsAsync(request, cancellationToken: cancellationToken)).Entries;
            if (entries.Select(e => e.Kind).SequenceEqual(["token.issued", "token.revoked"])) return entries;
            Require(started.Elapsed < Patience, $"the audit log has {(entries.Count == 0 ? "nothing" : string.Join(", ", entries.Select(e => e.Kind)))} of the token");
            await Task.Delay(20, cancellationToken);
        }
    }

    private static async Task<WatchRevocationsResponse> NextAsync(
        Grpc.Core.AsyncDuplexStreamingCall<WatchRevocationsRequest, WatchRevocationsResponse> watch, WatchRevocationsResponse.FrameOneofCase wanted, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        while (await watch.ResponseStream.MoveNext(patience.Token))
        {
            if (watch.ResponseStream.Current.FrameCase == wanted) return watch.ResponseStream.Current;
        }
        throw new StepFailed("the stream ended");
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds) throw new StepFailed(otherwise);
    }
}

/// <summary>Tells the steps as a person would want to read them, and keeps count.</summary>
internal sealed class Story(bool quiet)
{
    private readonly List<(string Name, bool Ok, double Milliseconds)> _steps = [];

    public IReadOnlyList<(string Name, bool Ok, double Milliseconds)> Steps => _steps;
    public bool Ok => _steps.Count > 0 && _steps.All(s => s.Ok);
    public int ExitCode { get; private set; } = Cli.ExitCode.Done;

    public async Task StepAsync(string name, string sentence, Func<Task<string?>> step)
    {
        if (!quiet) Console.Out.WriteLine($"\n{_steps.Count + 1,2}. {sentence}");
        long started = Stopwatch.GetTimestamp();
        bool ok = false;
        string? said = null;
        try
        {
            said = await step();
            ok = true;
        }
        finally
        {
            double ms = Math.Round(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 1);
            _steps.Add((name, ok, ms));
            if (said is not null) Say(said);
            if (!quiet) Console.Out.WriteLine($"    {(ok ? "✓" : "✗")} {name} {ms:0.#} ms");
        }
    }

    public void Say(string line)
    {
        if (!quiet) Console.Out.WriteLine("    " + line);
    }

    public Task FailAsync(Exception why)
    {
        if (Ok) _steps.Add(("demo", false, 0));         // it failed between two steps
        var failure = Failure.Of(why);
        ExitCode = failure.ExitCode;
        return failure.ReportAsync();
    }
}
