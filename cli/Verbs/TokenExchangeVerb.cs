using System.CommandLine;
using ClawBureau.Protos.Control.V1;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw token exchange`: a token for a signature, without a long-lived secret.</summary>
internal static class TokenExchangeVerb
{
    public static Command Create()
    {
        var key = DidVerbs.Key("File with the owner's key.");
        var aud = new Option<string[]>("--aud") { Description = "For whom; repeat for several.", Required = true };
        var scope = new Option<string[]>("--scope") { Description = "What for, such as clawproxy:call; repeat for several.", Required = true };
        var ttl = new Option<string?>("--ttl") { Description = "How long: 30s to 1h (default 5m)." };
        var mission = new Option<string?>("--mission") { Description = "The job; OpenClaw's session key." };
        var controller = new Option<string?>("--controller") { Description = "With --agent: a canonical token, the agent its subject." };
        var agent = new Option<string?>("--agent") { Description = "The agent under the controller." };
        var connection = new Connection("issuer");
        var command = new Command("exchange", "Sign for a token and get it. Only the token goes to stdout; the rest goes to stderr.") { key, aud, scope, ttl, mission, controller, agent };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var request = new CreateTokenChallengeRequest
            {
                OwnerDid = owner.Did,
                Aud = { parsed.GetValue(aud)! },
                Scope = { parsed.GetValue(scope)! },
                ControllerDid = parsed.GetValue(controller) ?? "",
                AgentDid = parsed.GetValue(agent) ?? "",
            };
            if (parsed.GetValue(ttl) is { } span) request.Ttl = Duration.FromTimeSpan(TokenVerbs.ToTimeSpan(span));
            if (parsed.GetValue(mission) is { } missionId) request.MissionId = missionId;
            var exchanged = await connection.CallAsync(parsed, async c =>
            {
                var client = new BootstrapService.BootstrapServiceClient(c.Calls);
                var challenge = await client.CreateTokenChallengeAsync(request, cancellationToken: cancellationToken);
                return await client.ExchangeTokenAsync(
                    new() { OwnerDid = owner.Did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message) }, cancellationToken: cancellationToken);
            });
            var issued = exchanged.Issued;
            Console.Out.WriteLine(issued.Token);
            await Console.Error.WriteLineAsync($"  {"hash",-14} {issued.TokenHash}\n  {"expires",-14} {Terminal.Time(issued.ExpiresAt.Seconds)}\n  {"recorded",-14} seq {issued.Seq}");
            return ExitCode.Done;
        });
        return command;
    }
}
