using System.CommandLine;
using ClawBureau.Protos.Control.V1;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw did new | bind | revoke`.</summary>
internal static class DidVerbs
{
    public static Command Create() => new("did", "Keys of your own, and the proof that you hold them.") { New(), Bind(), Revoke() };

    /// <summary>The option that every signing verb has.</summary>
    public static Option<string> Key(string description = "File with the key that signs.") => new("--key") { Description = description, Required = true };

    private static Command New()
    {
        var key = Key("File to write the new key to; it must not exist.");
        var command = new Command("new", "Make a key and name its DID. Only the DID goes to stdout.") { key };
        command.SetAction(parsed =>
        {
            Console.Out.WriteLine(DidKeyFile.Create(parsed.GetValue(key)!).Did);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Bind()
    {
        var key = Key();
        var connection = new Connection("issuer");
        var command = new Command("bind", "Prove to the Issuer that you hold the key of a DID.") { key };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var signer = DidKeyFile.Read(parsed.GetValue(key)!);
            var bound = await connection.CallAsync(parsed, async c =>
            {
                var client = new BindingService.BindingServiceClient(c.Calls);
                var challenge = await client.CreateBindingChallengeAsync(new() { Did = signer.Did, Purpose = BindingPurpose.Bind }, cancellationToken: cancellationToken);
                return await client.BindDidAsync(new() { Did = signer.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = signer.Sign(challenge.Message) }, cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(bound.AlreadyBound ? "bound before" : "bound", bound.Act);
            Terminal.Print("did", bound.Did);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Revoke()
    {
        var key = Key();
        var reason = new Option<string?>("--reason") { Description = "Why, for people and for the audit log." };
        var connection = new Connection("issuer");
        var command = new Command("revoke", "End a DID's binding for ever; every token that names the DID is dead.") { key, reason };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var signer = DidKeyFile.Read(parsed.GetValue(key)!);
            var revoked = await connection.CallAsync(parsed, async c =>
            {
                var client = new BindingService.BindingServiceClient(c.Calls);
                var challenge = await client.CreateBindingChallengeAsync(new() { Did = signer.Did, Purpose = BindingPurpose.Revoke }, cancellationToken: cancellationToken);
                return await client.RevokeBindingAsync(
                    new() { Did = signer.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = signer.Sign(challenge.Message), Reason = parsed.GetValue(reason) ?? "" },
                    cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(revoked.AlreadyRevoked ? "revoked before" : "revoked", revoked.Act);
            Terminal.Print("did", revoked.Did);
            Terminal.Print("at", Terminal.Time(revoked.RevokedAt.Seconds));
            return ExitCode.Done;
        });
        return command;
    }
}
