using System.CommandLine;
using System.Text.Json;
using ClawBureau.Protos.Control.V1;
using Google.Protobuf;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw identity export | import`: the runbook's section 4 by hand (docs/operating.md).</summary>
internal static class IdentityVerbs
{
    public static Command Create() => new("identity", "Carry a controller with its agents and names from one issuer to another.") { Export(), Import() };

    private static Command Export()
    {
        var controller = new Argument<string>("controller") { Description = "The controller's DID, present or former." };
        var key = DidVerbs.Key("File with the owner's key.");
        var agent = new Option<string?>("--agent") { Description = "Only this agent; default: all active ones." };
        var hmac = new Option<bool>("--v1") { Description = "A version 1 bundle, signed with the issuer's shared key, for readers that know no other." };
        var connection = new Connection("issuer");
        var command = new Command("export", "Print a signed bundle. Only the bundle goes to stdout; keep it byte for byte.") { controller, key, agent, hmac };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var (did, only) = (parsed.GetValue(controller)!, parsed.GetValue(agent) ?? "");
            var exported = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ControllerVerbs.ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.ExportIdentity, ControllerDid = did, AgentDid = only }, cancellationToken);
                return await new PortabilityService.PortabilityServiceClient(c.Calls).ExportIdentityAsync(
                    new()
                    {
                        OwnerDid = owner.Did,
                        ControllerDid = did,
                        AgentDid = only,
                        ChallengeId = challenge.ChallengeId,
                        SignatureB64U = owner.Sign(challenge.Message),
                        BundleVersion = parsed.GetValue(hmac) ? BundleVersion.Hmac : BundleVersion.Ed25519,
                    },
                    cancellationToken: cancellationToken);
            });
            Console.Out.WriteLine(exported.BundleJson.ToStringUtf8());
            await Console.Error.WriteLineAsync($"  {"hash",-14} {exported.BundleHashB64U}\n  {"recorded",-14} seq {exported.Act.Revision.Seq}");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Import()
    {
        var file = new Argument<string>("file") { Description = "The bundle, or - to read it from standard input." };
        var key = DidVerbs.Key("File with the owner's key.");
        var connection = new Connection("issuer");
        var command = new Command("import", "Import a bundle, all of it or nothing. A refused one is not worth a retry.") { file, key };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var bundle = Read(parsed.GetValue(file)!);
            var hash = HashOf(bundle);
            var imported = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ControllerVerbs.ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.ImportIdentity, BundleHashB64U = hash }, cancellationToken);
                return await new PortabilityService.PortabilityServiceClient(c.Calls).ImportIdentityAsync(
                    new() { OwnerDid = owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message), BundleJson = ByteString.CopyFromUtf8(bundle) },
                    cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(imported.AlreadyImported ? "imported before" : "imported", imported.Act);
            Terminal.Print("controller", imported.ControllerDid);
            Terminal.Print("hash", imported.BundleHashB64U);
            return ExitCode.Done;
        });
        return command;
    }

    private static string Read(string file)
    {
        if (file == "-") return Console.In.ReadToEnd();
        return File.Exists(file) ? File.ReadAllText(file) : throw new UsageException($"The bundle {file} does not exist.");
    }

    private static string HashOf(string bundle)
    {
        try
        {
            using var document = JsonDocument.Parse(bundle);
            return document.RootElement.GetProperty("bundle_hash_b64u").GetString() ?? throw new KeyNotFoundException();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new UsageException("That is no bundle: it has no bundle_hash_b64u.");
        }
    }
}
