using System.CommandLine;
using System.Text;
using System.Text.Json;
using ClawBureau.Hosting.Policies;
using ClawBureau.Hosting.Refusals;
using ClawBureau.Protos.Issuance.V1;
using ClawBureau.Protos.Policy.V1;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using Audience = ClawBureau.Protos.Types.V1.Audience;
using PolicyVersion = ClawBureau.Protos.Policy.V1.PolicyVersion;
using Reason = ClawBureau.Tokens.Reason;
using TokenLane = ClawBureau.Protos.Types.V1.TokenLane;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw policy get | put | history | check`: docs/policy.md.</summary>
internal static class PolicyVerbs
{
    public static Command Create() => new("policy", "What may be granted: read it, put it, try it.") { Get(), Put(), History(), Check() };

    private static Command Get()
    {
        var version = new Argument<string?>("version") { Description = "Which one; default: the one that judges now.", Arity = ArgumentArity.ZeroOrOne };
        var connection = new Connection("issuer");
        var command = new Command("get", "Print a policy's document. Only the document goes to stdout; the rest goes to stderr.") { version };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new GetPolicyRequest { Version = parsed.GetValue(version) ?? "" };
            var answer = await connection.CallAsync(parsed, c => new PolicyService.PolicyServiceClient(c.Calls).GetPolicyAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            Console.Out.WriteLine(Indented(PolicyMapping.FromWire(answer.PolicyVersion.Policy).ToDocument()));
            await Console.Error.WriteLineAsync($"  {"version",-14} {answer.PolicyVersion.Policy.Version}{(answer.PolicyVersion.Current ? ", judges now" : "")}\n  {"put",-14} {PutOf(answer.PolicyVersion)}\n  {"hash",-14} {answer.PolicyVersion.PolicyHashB64U}");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Put()
    {
        var file = new Argument<string>("file") { Description = "The document, or - to read it from standard input." };
        var expect = new Option<string?>("--expect") { Description = "Only if this version judges now." };
        var reason = new Option<string?>("--reason") { Description = "Why, for people and for the audit log." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var connection = new Connection("issuer");
        var command = new Command("put", "Make a policy the one that judges, on every replica. Tokens issued before keep what they have.") { file, expect, reason, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new PutPolicyRequest
            {
                Policy = ReadPolicy(parsed.GetValue(file)!, needsVersion: true),
                ExpectedVersion = parsed.GetValue(expect) ?? "",
                Reason = parsed.GetValue(reason) ?? "",
            };
            var answer = await connection.CallAsync(parsed, c => new PolicyService.PolicyServiceClient(c.Calls).PutPolicyAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(ToJson(answer.PolicyVersion));
                return ExitCode.Done;
            }
            Console.Out.WriteLine(answer.PolicyVersion.Current ? "judges now" : "put before; another one judges now");
            Print(answer.PolicyVersion);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command History()
    {
        var count = new Option<int>("--count") { Description = "At most this many; default 20.", DefaultValueFactory = _ => 20 };
        var json = new Option<bool>("--json") { Description = "Print each as one JSON object on a line." };
        var connection = new Connection("issuer");
        var command = new Command("history", "List the versions, newest first; the configured one is last.") { count, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            int left = parsed.GetValue(count);
            if (left < 1) throw new UsageException("--count must be at least 1.");
            var request = new ListPolicyVersionsRequest();
            do
            {
                request.PageSize = Math.Min(left, 100);
                var page = await connection.CallAsync(parsed, c => new PolicyService.PolicyServiceClient(c.Calls).ListPolicyVersionsAsync(request, cancellationToken: cancellationToken).ResponseAsync);
                foreach (var version in page.PolicyVersions.Take(left))
                {
                    if (parsed.GetValue(json)) Terminal.PrintJson(ToJson(version));
                    else Console.Out.WriteLine($"{(version.Current ? "*" : " ")} {version.Policy.Version}  {PutOf(version)}{(version.Reason.Length > 0 ? $"  {version.Reason}" : "")}");
                }
                left -= page.PolicyVersions.Count;
                request.PageToken = page.NextPageToken;
            }
            while (left > 0 && request.PageToken.Length > 0);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Check()
    {
        var policy = new Option<string?>("--policy") { Description = "A document that need not be put, or - for standard input; default: the one that judges now." };
        var version = new Option<string?>("--version-of") { Description = "An earlier version instead." };
        var file = new Option<string?>("--file") { Description = "Requests as /v1/tokens/issue takes them: a JSON array, or one object per line; at most 1,000." };
        var sub = new Option<string?>("--sub") { Description = "Who the token would be for." };
        var aud = new Option<string[]>("--aud") { Description = "For whom; repeat for several." };
        var scope = new Option<string[]>("--scope") { Description = "What for; repeat for several." };
        var ttl = new Option<string?>("--ttl") { Description = "How long: 90s, 10m, 1h." };
        var tier = new Option<string?>("--tier") { Description = "Policy tier." };
        var json = new Option<bool>("--json") { Description = "Print each decision as one JSON object on a line." };
        var connection = new Connection("issuer");
        var command = new Command("check", "Try requests against a policy, without minting anything. Exit code 0: all allowed, 1: not.") { policy, version, file, sub, aud, scope, ttl, tier, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new CheckPolicyRequest();
            if (parsed.GetValue(policy) is { } document) request.Candidate = ReadPolicy(document, needsVersion: false);
            else if (parsed.GetValue(version) is { } earlier) request.Version = earlier;
            if (parsed.GetValue(file) is { } requests)
            {
                request.Grants.AddRange(ReadRequests(requests));
            }
            else
            {
                var audiences = parsed.GetValue(aud) ?? [];
                var grant = new IssueTokenRequest
                {
                    Sub = parsed.GetValue(sub) ?? throw new UsageException("Say what to check: --file, or --sub, --aud and --scope."),
                    Aud = new Audience { Values = { audiences }, AsArray = audiences.Length > 1 },
                    Scope = { parsed.GetValue(scope) ?? [] },
                    Tier = parsed.GetValue(tier) ?? "",
                };
                if (parsed.GetValue(ttl) is { } span) grant.Ttl = Duration.FromTimeSpan(TokenVerbs.ToTimeSpan(span));
                request.Grants.Add(grant);
            }
            var answer = await connection.CallAsync(parsed, c => new PolicyService.PolicyServiceClient(c.Calls).CheckPolicyAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            foreach (var (grant, result) in request.Grants.Zip(answer.Results))
            {
                var code = result.Refusal is null ? null : ReasonCatalog.Of((Reason)result.Refusal.Reason).Code;
                if (parsed.GetValue(json))
                {
                    Terminal.PrintJson(new { allowed = result.Allowed, version = answer.Version, tier = result.Tier, rule = result.Rule, reason = code, sentence = result.Refusal?.Sentence, ttl_sec = result.Ttl?.Seconds });
                    continue;
                }
                Console.Out.WriteLine(result.Allowed ? "allowed" : $"refused: {result.Refusal!.Sentence} ({code})");
                Terminal.Print("request", $"{grant.Sub} for {string.Join(", ", grant.Aud?.Values ?? [])}: {string.Join(", ", grant.Scope)}");
                Terminal.Print("tier", result.Tier);
                Terminal.Print("rule", result.Rule);
                if (result.Ttl is { } lifetime) Terminal.Print("lifetime", $"{lifetime.Seconds} s");
            }
            if (!parsed.GetValue(json)) await Console.Error.WriteLineAsync($"{answer.Results.Count(r => r.Allowed)} of {answer.Results.Count} allowed by version {answer.Version}");
            return answer.Results.All(r => r.Allowed) ? ExitCode.Done : ExitCode.Refused;
        });
        return command;
    }

    /// <exception cref="UsageException">No file, or not the document of a policy.</exception>
    private static Policy ReadPolicy(string file, bool needsVersion)
    {
        var text = ReadText(file);
        try
        {
            var policy = PolicyMapping.ToWire(ScopePolicy.ParseDocument(text));
            // The document of a file must say its own; that of the configuration may leave it out.
            if (needsVersion && !HasVersion(text)) throw new UsageException($"{file} names no version: add \"version\", one that was never used.");
            return policy;
        }
        catch (Refusal refusal)
        {
            throw new UsageException($"{file} is no policy: look at {refusal.Metadata.GetValueOrDefault("rule", "document")} (docs/policy.md).");
        }
    }

    private static bool HasVersion(string text)
    {
        using var document = JsonDocument.Parse(text);
        return document.RootElement.TryGetProperty("version", out _);
    }

    /// <exception cref="UsageException">No file, or no requests.</exception>
    private static List<IssueTokenRequest> ReadRequests(string file)
    {
        var text = ReadText(file);
        try
        {
            var isArray = text.AsSpan().TrimStart().StartsWith("[");
            var documents = isArray ? [text] : text.Split('\n').Where(line => !string.IsNullOrWhiteSpace(line));
            var requests = documents.Select(document => JsonElement.Parse(document)).SelectMany(root => isArray ? root.EnumerateArray().ToArray() : [root]).Select(ToRequest).ToList();
            return requests.Count > 0 ? requests : throw new UsageException($"{file} holds no request.");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new UsageException($"{file}: requests are a JSON array of objects, or one object per line.");
        }
    }

    /// <summary>The members that policy looks at; what has another type is as if absent, as with /v1/tokens/issue.</summary>
    private static IssueTokenRequest ToRequest(JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Object) throw new JsonException("a request is an object");
        var request = new IssueTokenRequest
        {
            Sub = Text("sub") ?? "",
            Aud = Text("aud") is { } one ? new() { Values = { one } } : Texts("aud") is { } several ? new() { Values = { several }, AsArray = true } : null,
            Scope = { Texts("scope") ?? [] },
            Tier = Text("tier") ?? "",
            Lane = Text("token_lane") == "canonical" ? TokenLane.Canonical : TokenLane.Legacy,
            OwnerDid = Text("owner_did") ?? "",
            ControllerDid = Text("controller_did") ?? "",
            AgentDid = Text("agent_did") ?? "",
        };
        if (Number("ttl_sec") is { } ttl) request.Ttl = Duration.FromTimeSpan(TimeSpan.FromSeconds(Math.Clamp(ttl, -1, 1e9)));
        if (Number("exp") is { } exp) request.ExpiresAt = new Timestamp { Seconds = (long)Math.Clamp(exp, -1, TokenLimits.MaxEpochSeconds) };
        if (Text("mission_id") is { } mission) request.MissionId = mission;
        return request;

        string? Text(string name) => json.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.String ? member.GetString() : null;

        double? Number(string name) => json.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.Number ? member.GetDouble() : null;

        string[]? Texts(string name) => json.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.Array && member.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
            ? [.. member.EnumerateArray().Select(item => item.GetString()!)]
            : null;
    }

    private static string ReadText(string file)
    {
        if (file == "-") return Console.In.ReadToEnd();
        return File.Exists(file) ? File.ReadAllText(file) : throw new UsageException($"{file} does not exist.");
    }

    private static string Indented(string document)
    {
        using var parsed = JsonDocument.Parse(document);
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new() { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping })) parsed.WriteTo(writer);
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static string PutOf(PolicyVersion version) =>
        version.Configured ? "by the configuration" : $"{Terminal.Time(version.PutAt.Seconds)} by {version.PutBy}, seq {version.Seq}";

    private static void Print(PolicyVersion version)
    {
        Terminal.Print("version", version.Policy.Version);
        Terminal.Print("put", PutOf(version));
        Terminal.Print("reason", version.Reason);
        Terminal.Print("hash", version.PolicyHashB64U);
    }

    private static object ToJson(PolicyVersion version) => new
    {
        version = version.Policy.Version,
        current = version.Current,
        configured = version.Configured,
        seq = version.Seq,
        put_by = version.Configured ? null : version.PutBy,
        put_at = version.PutAt?.Seconds,
        reason = version.Reason.Length > 0 ? version.Reason : null,
        policy_hash_b64u = version.PolicyHashB64U,
    };
}
