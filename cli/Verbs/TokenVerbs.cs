using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Introspection.V1;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Audience = ClawBureau.Protos.Types.V1.Audience;
using Reason = ClawBureau.Tokens.Reason;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw token issue | introspect | inspect | exchange`.</summary>
internal static class TokenVerbs
{
    public static Command Create() => new("token", "Issue tokens and look at them.") { Issue(), Introspect(), Inspect(), TokenExchangeVerb.Create() };

    private static Command Issue()
    {
        var sub = new Option<string>("--sub") { Description = "Who the token is for, usually a DID.", Required = true };
        var aud = new Option<string[]>("--aud") { Description = "For whom; repeat for several.", Required = true };
        var scope = new Option<string[]>("--scope") { Description = "What for, such as clawproxy:call; repeat for several.", Required = true };
        var ttl = new Option<string?>("--ttl") { Description = "How long: 90s, 10m, 1h (default 10m)." };
        var tier = new Option<string?>("--tier") { Description = "Policy tier." };
        var mission = new Option<string?>("--mission") { Description = "The job; OpenClaw's session key." };
        var run = new Option<string?>("--run") { Description = "The run inside the mission; recorded, not in the token." };
        var key = new Option<string?>("--idempotency-key") { Description = "The same key and request give the same token again." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var connection = new Connection("issuer");
        var command = new Command("issue", "Issue a token. Only the token goes to stdout; the rest goes to stderr.") { sub, aud, scope, ttl, tier, mission, run, key, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var audiences = parsed.GetValue(aud)!;
            var request = new IssueTokenRequest
            {
                Sub = parsed.GetValue(sub),
                Aud = new Audience { Values = { audiences }, AsArray = audiences.Length > 1 },
                Scope = { parsed.GetValue(scope)! },
                Tier = parsed.GetValue(tier) ?? "",
                IdempotencyKey = parsed.GetValue(key) ?? "",
            };
            if (parsed.GetValue(ttl) is { } span) request.Ttl = Duration.FromTimeSpan(ToTimeSpan(span));
            if (parsed.GetValue(mission) is { } missionId) request.MissionId = missionId;
            if (parsed.GetValue(run) is { } runId) request.RunId = runId;

            var issued = await connection.CallAsync(parsed, c =>
                new IssuanceService.IssuanceServiceClient(c.Calls).IssueTokenAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    token = issued.Token,
                    token_hash = issued.TokenHash,
                    token_scope_hash_b64u = issued.TokenScopeHashB64U,
                    policy_version = issued.PolicyVersion,
                    policy_tier = issued.PolicyTier,
                    kid = issued.Kid,
                    seq = issued.Seq,
                    iat = issued.IssuedAt.Seconds,
                    exp = issued.ExpiresAt.Seconds,
                    repeated = issued.Repeated,
                });
                return ExitCode.Done;
            }
            Console.Out.WriteLine(issued.Token);
            await Console.Error.WriteLineAsync($"  {"hash",-14} {issued.TokenHash}\n  {"expires",-14} {Terminal.Time(issued.ExpiresAt.Seconds)}\n  {"policy",-14} version {issued.PolicyVersion}, tier {issued.PolicyTier}\n  {"recorded",-14} seq {issued.Seq}{(issued.Repeated ? ", by an earlier request under this key" : "")}");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Introspect()
    {
        var token = new Argument<string>("token") { Description = "The token, or - to read it from standard input." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var connection = new Connection("introspector");
        var command = new Command("introspect", "Ask whether a token is good now. Exit code 0: active, 1: not.") { token, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new IntrospectTokenRequest { Token = Terminal.ReadToken(parsed.GetValue(token)!) };
            var answer = await connection.CallAsync(parsed, c =>
                new IntrospectionService.IntrospectionServiceClient(c.Calls).IntrospectTokenAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            var reason = answer.Active ? null : ReasonCatalog.Of((Reason)answer.InactiveReason).Code;
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    active = answer.Active,
                    revoked = answer.Revoked,
                    token_hash = answer.TokenHash,
                    reason,
                    sub = answer.Claims?.Sub,
                    aud = answer.Claims?.Aud.Values,
                    scope = answer.Claims?.Scope,
                    mission_id = answer.Claims is { HasMissionId: true } ? answer.Claims.MissionId : null,
                    exp = answer.Claims?.Exp.Seconds,
                    kid = answer.Claims is null ? null : answer.Kid,
                    revoked_at = answer.RevokedAt?.Seconds,
                    revision = new { epoch = answer.Revision.Epoch, seq = answer.Revision.Seq, revocation_seq = answer.Revision.RevocationSeq },
                    age_ms = answer.Age.ToTimeSpan().TotalMilliseconds,
                });
                return answer.Active ? ExitCode.Done : ExitCode.Refused;
            }
            Console.Out.WriteLine(answer.Active ? "active" : answer.Revoked ? "revoked" : $"not active: {answer.InactiveSentence} ({reason})");
            Terminal.Print("hash", answer.TokenHash);
            if (answer.RevokedAt is { } revokedAt) Terminal.Print("revoked", Terminal.Time(revokedAt.Seconds));
            if (answer.Claims is { } claims) Print(claims.Sub, claims.Aud.Values, claims.Scope, claims.HasMissionId ? claims.MissionId : null, claims.Iat.Seconds, claims.Exp.Seconds);
            Terminal.Print("as of", $"revocation {answer.Revision.RevocationSeq}, {answer.Age.ToTimeSpan().TotalMilliseconds:0.0} ms old");
            return answer.Active ? ExitCode.Done : ExitCode.Refused;
        });
        return command;
    }

    private static Command Inspect()
    {
        var token = new Argument<string>("token") { Description = "The token, or - to read it from standard input." };
        var json = new Option<bool>("--json") { Description = "Print header, payload and hash as one JSON object." };
        var command = new Command("inspect", "Take a token apart, offline. Nothing is verified: neither signature, nor expiry, nor revocation.") { token, json };
        command.SetAction(parsed =>
        {
            var compact = Terminal.ReadToken(parsed.GetValue(token)!);
            var taken = TokenParser.Parse(compact);
            if (parsed.GetValue(json))
            {
                var parts = compact.Split('.');
                Terminal.PrintJson(new { verified = false, token_hash = taken.TokenHash.ToString(), header = Decode(parts[0]), payload = Decode(parts[1]) });
                return ExitCode.Done;
            }
            Console.Out.WriteLine("well-formed; signature, expiry and revocation were not checked");
            Terminal.Print("hash", taken.TokenHash.ToString());
            Terminal.Print("kid", taken.KeyId?.ToString());
            var claims = taken.Claims;
            Print(claims.Sub, claims.Audience.Values, claims.Scope, claims.MissionId, claims.IssuedAt, claims.ExpiresAt);
            Terminal.Print("lane", claims.Lane?.ToClaim());
            return ExitCode.Done;
        });
        return command;
    }

    private static void Print(string sub, IEnumerable<string> aud, IEnumerable<string> scope, string? mission, long issuedAt, long expiresAt)
    {
        Terminal.Print("sub", sub);
        Terminal.Print("aud", string.Join(", ", aud));
        Terminal.Print("scope", string.Join(", ", scope));
        Terminal.Print("mission", mission);
        Terminal.Print("issued", Terminal.Time(issuedAt));
        Terminal.Print("expires", Terminal.Time(expiresAt));
    }

    private static JsonElement Decode(string part)
    {
        var padded = part.Replace('-', '+').Replace('_', '/').PadRight((part.Length + 3) / 4 * 4, '=');
        using var document = JsonDocument.Parse(Encoding.UTF8.GetString(Convert.FromBase64String(padded)));
        return document.RootElement.Clone();
    }

    internal static TimeSpan ToTimeSpan(string text)
    {
        double unit = text.Length == 0 ? 0 : text[^1] switch { 's' => 1, 'm' => 60, 'h' => 3600, 'd' => 86400, _ => 0 };
        return unit > 0 && double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number * unit < Duration.MaxSeconds
            ? TimeSpan.FromSeconds(number * unit)
            : throw new UsageException($"'{text}' is no span of time: write 90s, 10m or 1h.");
    }
}
