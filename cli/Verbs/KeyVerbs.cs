using System.CommandLine;
using System.Text;
using System.Text.Json;
using ClawBureau.Hosting.Keys;
using ClawBureau.Protos.Keys.V1;
using ClawBureau.Stack;
using ClawBureau.Tokens;
using Google.Protobuf.WellKnownTypes;
using KeyState = ClawBureau.Protos.Keys.V1.KeyState;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw keys list | generate | rotate | revoke | contract | jwks | smoke`.</summary>
internal static class KeyVerbs
{
    private static readonly JsonSerializerOptions LaidOut = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Create() => new("keys", "Look at the signing keys, rotate and revoke them.")
    {
        List(), Generate(), Rotate(), Revoke(), Document("contract", "Print the rotation contract: which key signs, which are accepted, until when.", KeyContract), Document("jwks", "Print the JWKS: the public keys that are accepted.", KeyDocuments.Jwks), KeySmokeVerb.Create(),
    };

    private static Command List()
    {
        var all = new Option<bool>("--all") { Description = "Retired keys too." };
        var json = new Option<bool>("--json") { Description = "Print the keys as one JSON object." };
        var connection = new Connection("issuer");
        var command = new Command("list", "List the keys and what each may do.") { all, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var keys = await ReadAsync(connection, parsed, parsed.GetValue(all), cancellationToken);
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    active_kid = keys.ActiveKid,
                    keys = keys.Keys.Select(key => new
                    {
                        kid = key.Kid,
                        state = NameOf(key.State),
                        public_key_b64u = Base64UrlText.Encode(key.PublicKey.Span),
                        published_at = key.PublishedAt?.Seconds,
                        activates_at = key.ActivatesAt?.Seconds,
                        not_after = key.NotAfter?.Seconds,
                        foreign = key.Foreign,
                        can_sign = key.CanSign,
                        revoked = key.Revoked,
                        seq = key.Seq,
                    }),
                    overlap_seconds = keys.Overlap.Seconds,
                    jws_alg = keys.JwsAlg,
                    jws_alg_mixed = keys.JwsAlgMixed,
                    epoch = keys.Epoch,
                    seq = keys.Seq,
                });
                return ExitCode.Done;
            }
            foreach (var key in keys.Keys) Console.Out.WriteLine($"{key.Kid}  {NameOf(key.State),-11}  {Told(key)}".TrimEnd());
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Generate()
    {
        var folder = new Option<string?>("--folder") { Description = "The Issuers' key folder (CLAW_KEY_FOLDER; default that of the local stack)." };
        var state = new Option<string?>("--state") { Description = "State folder of a running local stack (default .claw/state)." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var command = new Command("generate", "Make a key in a key folder. The Issuers publish it within a second; `claw keys rotate` makes it sign.") { folder, state, json };
        command.SetAction(parsed =>
        {
            var path = parsed.GetValue(folder) ?? Environment.GetEnvironmentVariable("CLAW_KEY_FOLDER") ?? StackDescription.Read(parsed.GetValue(state) ?? Connection.DefaultStateFolder)?.KeyFolder
                ?? throw new UsageException("No key folder: say --folder DIR (CLAW_KEY_FOLDER), or start a stack with `claw up`.");
            var keys = new KeyFolder(path);
            keys.Read();            // what is wrong in the folder is told before another key lies in it
            using var key = keys.Generate();
            var file = Path.Combine(keys.Path, key.KeyId + ".seed");
            if (parsed.GetValue(json)) Terminal.PrintJson(new { kid = key.KeyId.ToString(), file });
            else
            {
                Console.Out.WriteLine(key.KeyId);
                Console.Error.WriteLine($"  {"seed",-14} {file}");
            }
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Rotate()
    {
        var overlap = new Option<string?>("--overlap") { Description = "How long the active key stays accepted after it: 1h, 30m (default until the longest token it signed has expired)." };
        var emergency = new Option<bool>("--emergency") { Description = "At once, without waiting for copies of the JWKS to expire." };
        var expect = new Option<string?>("--expect") { Description = "Only while this key is active, so that a repeated command does not rotate twice." };
        var reason = new Option<string?>("--reason") { Description = "Why, for people and for the audit log." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var connection = new Connection("issuer");
        var command = new Command("rotate", "Publish the next key, and have it sign once everybody can know it. Answers at once, with the time of the change.") { overlap, emergency, expect, reason, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new RotateKeyRequest { Emergency = parsed.GetValue(emergency), ExpectedActiveKid = parsed.GetValue(expect) ?? "", Reason = parsed.GetValue(reason) ?? "" };
            if (parsed.GetValue(overlap) is { } span) request.Overlap = Duration.FromTimeSpan(TokenVerbs.ToTimeSpan(span));
            var rotated = await connection.CallAsync(parsed, c => new KeyService.KeyServiceClient(c.Calls).RotateKeyAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            bool isActive = rotated.KeySet.ActiveKid == rotated.Kid;
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    kid = rotated.Kid,
                    active = isActive,
                    activates_at = rotated.ActivatesAt.Seconds,
                    active_kid = rotated.KeySet.ActiveKid,
                    accepted_kids = KeyDocuments.Contract(rotated.KeySet, TimeProvider.System.GetUtcNow()).AcceptedKids.Select(kid => kid.ToString()),
                    seq = rotated.KeySet.Seq,
                });
                return ExitCode.Done;
            }
            Console.Out.WriteLine(isActive ? "rotated" : "rotation begun");
            Terminal.Print("next", isActive ? null : rotated.Kid);
            Terminal.Print("activates", isActive ? null : Terminal.Time(rotated.ActivatesAt.Seconds));
            Terminal.Print("active", rotated.KeySet.ActiveKid);
            foreach (var key in rotated.KeySet.Keys.Where(key => key.NotAfter is not null)) Terminal.Print("accepted", $"{key.Kid} until {Terminal.Time(key.NotAfter.Seconds)}");
            Terminal.Print("recorded", $"seq {rotated.KeySet.Seq}");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Revoke()
    {
        var kid = new Argument<string>("kid") { Description = "The key: 16 hex digits, as `claw keys list` shows it." };
        var allowLast = new Option<bool>("--allow-last") { Description = "Also where nothing can sign afterwards." };
        var reason = new Option<string?>("--reason") { Description = "Why, for people and for the audit log." };
        var json = new Option<bool>("--json") { Description = "Print the answer as one JSON object." };
        var connection = new Connection("issuer");
        var command = new Command("revoke", "Retire a key at once and revoke every token it signed, in one act.") { kid, allowLast, reason, json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var request = new RevokeKeyRequest { Kid = parsed.GetValue(kid), AllowLast = parsed.GetValue(allowLast), Reason = parsed.GetValue(reason) ?? "" };
            var revoked = await connection.CallAsync(parsed, c => new KeyService.KeyServiceClient(c.Calls).RevokeKeyAsync(request, cancellationToken: cancellationToken).ResponseAsync);
            if (parsed.GetValue(json))
            {
                Terminal.PrintJson(new
                {
                    kid = request.Kid,
                    status = revoked.AlreadyRevoked ? "already_revoked" : "revoked",
                    active_kid = revoked.KeySet?.ActiveKid,
                    revision = new { epoch = revoked.Revision.Epoch, seq = revoked.Revision.Seq, revocation_seq = revoked.Revision.RevocationSeq },
                });
                return ExitCode.Done;
            }
            Console.Out.WriteLine(revoked.AlreadyRevoked ? "revoked before" : "revoked");
            Terminal.Print("key", $"{request.Kid}, and every token it signed");
            Terminal.Print("active", revoked.KeySet?.ActiveKid ?? "none: nothing is issued until a key is rotated in");
            Terminal.Print("as of", $"seq {revoked.Revision.Seq}, revocation {revoked.Revision.RevocationSeq}");
            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>A verb that prints a document as it is published.</summary>
    private static Command Document(string name, string description, Func<KeySet, DateTimeOffset, byte[]> write)
    {
        var json = new Option<bool>("--json") { Description = "On one line." };
        var connection = new Connection("issuer");
        var command = new Command(name, description) { json };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var text = write(await ReadAsync(connection, parsed, includeRetired: false, cancellationToken), TimeProvider.System.GetUtcNow());
            using var document = JsonDocument.Parse(text);
            Console.Out.WriteLine(parsed.GetValue(json) ? Encoding.UTF8.GetString(text) : JsonSerializer.Serialize(document, LaidOut));
            return ExitCode.Done;
        });
        return command;
    }

    private static byte[] KeyContract(KeySet keys, DateTimeOffset now) => KeyDocuments.Contract(keys, now).ToJson();

    private static async Task<KeySet> ReadAsync(Connection connection, ParseResult parsed, bool includeRetired, CancellationToken cancellationToken) =>
        (await connection.CallAsync(parsed, c => new KeyService.KeyServiceClient(c.Calls)
            .GetKeySetAsync(new GetKeySetRequest { IncludeRetired = includeRetired }, cancellationToken: cancellationToken).ResponseAsync)).KeySet;

    private static string NameOf(KeyState state) => state switch
    {
        KeyState.Next => "next",
        KeyState.Active => "active",
        KeyState.VerifyOnly => "verify-only",
        _ => "retired",
    };

    private static string Told(Key key)
    {
        var told = new List<string>();
        if (key.ActivatesAt is { } begins) told.Add($"signs from {Terminal.Time(begins.Seconds)}");
        else if (key.State == KeyState.Next) told.Add("waits for `claw keys rotate`");
        if (key.Revoked) told.Add("revoked, with every token it signed");
        else if (key.State != KeyState.Retired && key.NotAfter is { } end) told.Add($"accepted until {Terminal.Time(end.Seconds)}");
        if (key.Foreign) told.Add("foreign: never signed here");
        return string.Join(", ", told);
    }
}
