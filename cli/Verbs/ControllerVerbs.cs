using System.CommandLine;
using ClawBureau.Hosting.Peers;
using ClawBureau.Protos.Control.V1;
using Google.Protobuf.WellKnownTypes;

namespace ClawBureau.Cli.Verbs;

/// <summary>`claw controller register | agents | policy | transfer | show`: the runbook's section 3 by hand (docs/operating.md).</summary>
internal static class ControllerVerbs
{
    public static Command Create() => new("controller", "Controllers, the agents under them, what they may be granted, whose they are.")
    {
        Register(), Agents(), Policy(), Transfer(), Show(),
    };

    private static Argument<string> Controller() => new("controller") { Description = "The controller's DID, present or former." };

    private static Option<string[]> Scope() => new("--scope") { Description = "A sensitive scope it may be granted, such as control:token:revoke; repeat for several." };

    private static Command Register()
    {
        var controller = Controller();
        var key = DidVerbs.Key("File with the owner's key.");
        var scope = Scope();
        var consent = new Option<string?>("--controller-key") { Description = "File with the controller's own key: its consent, which displaces who only claims the DID." };
        var connection = new Connection("issuer");
        var command = new Command("register", "Register a controller under its owner.") { controller, key, scope, consent };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var did = parsed.GetValue(controller)!;
            var agreeing = parsed.GetValue(consent) is { } file ? DidKeyFile.Read(file) : null;
            var scopes = ScopesOf(parsed.GetValue(scope));
            var answer = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.RegisterController, ControllerDid = did, AllowedSensitiveScopes = scopes }, cancellationToken);
                return await ClientOf(c).RegisterControllerAsync(
                    new()
                    {
                        OwnerDid = owner.Did,
                        ControllerDid = did,
                        ChallengeId = challenge.ChallengeId,
                        SignatureB64U = owner.Sign(challenge.Message),
                        ControllerSignatureB64U = agreeing?.Sign(challenge.Message) ?? "",
                        AllowedSensitiveScopes = scopes,
                    },
                    cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(answer.AlreadyRegistered ? "registered before" : "registered", answer.Act);
            ControlPrint.Controller(answer.Controller);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Agents()
    {
        var controller = Controller();
        var add = new Option<string?>("--add") { Description = "DID of an agent to register; without it the agents are listed." };
        var key = new Option<string?>("--key") { Description = "With --add: file with the owner's key." };
        var consent = new Option<string?>("--agent-key") { Description = "With --add: file with the agent's own key, its consent." };
        var connection = new Connection("issuer");
        var command = new Command("agents", "List the agents of a controller, or register one.") { controller, add, key, consent };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var did = parsed.GetValue(controller)!;
            if (parsed.GetValue(add) is not { } agent) return await ListAsync(connection, parsed, did, cancellationToken);
            var owner = DidKeyFile.Read(parsed.GetValue(key) ?? throw new UsageException("--add needs --key FILE: the owner signs."));
            var agreeing = parsed.GetValue(consent) is { } file ? DidKeyFile.Read(file) : null;
            var answer = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.RegisterAgent, ControllerDid = did, AgentDid = agent }, cancellationToken);
                return await ClientOf(c).RegisterAgentAsync(
                    new()
                    {
                        OwnerDid = owner.Did,
                        ControllerDid = did,
                        AgentDid = agent,
                        ChallengeId = challenge.ChallengeId,
                        SignatureB64U = owner.Sign(challenge.Message),
                        AgentSignatureB64U = agreeing?.Sign(challenge.Message) ?? "",
                    },
                    cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(answer.AlreadyRegistered ? "registered before" : "registered", answer.Act);
            Terminal.Print("agent", answer.Binding.AgentDid);
            Terminal.Print("controller", answer.Binding.ControllerDid);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Policy()
    {
        var controller = Controller();
        var key = DidVerbs.Key("File with the owner's key.");
        var scope = Scope();
        var connection = new Connection("issuer");
        var command = new Command("policy", "Replace the sensitive scopes a controller may be granted; the owner's signature covers them.") { controller, key, scope };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var did = parsed.GetValue(controller)!;
            var scopes = ScopesOf(parsed.GetValue(scope)) ?? throw new UsageException("Say which scopes: --scope, once for each.");
            var answer = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.UpdateSensitivePolicy, ControllerDid = did, AllowedSensitiveScopes = scopes }, cancellationToken);
                return await ClientOf(c).UpdateSensitivePolicyAsync(
                    new() { OwnerDid = owner.Did, ControllerDid = did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message), AllowedSensitiveScopes = scopes },
                    cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome("updated", answer.Act);
            ControlPrint.Controller(answer.Controller);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Transfer() => new("transfer", "Hand a controller to another owner.") { Request(), Confirm(), Cancel() };

    private static Command Request()
    {
        var controller = Controller();
        var key = DidVerbs.Key("File with the present owner's key.");
        var to = new Option<string>("--to") { Description = "DID of the new owner.", Required = true };
        var deadline = new Option<string?>("--deadline") { Description = "How long it may stay pending: 10m, 1h, 2d (default, and most, as the Issuer is configured)." };
        var connection = new Connection("issuer");
        var command = new Command("request", "Ask for it. From now on the controller neither mints nor changes, until it is confirmed, cancelled or too late.") { controller, key, to, deadline };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var (did, target) = (parsed.GetValue(controller)!, parsed.GetValue(to)!);
            var answer = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.TransferControllerRequest, ControllerDid = did, TransferToOwnerDid = target }, cancellationToken);
                var request = new RequestTransferRequest { OwnerDid = owner.Did, ControllerDid = did, TransferToOwnerDid = target, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message) };
                if (parsed.GetValue(deadline) is { } span) request.Deadline = Duration.FromTimeSpan(TokenVerbs.ToTimeSpan(span));
                return await ClientOf(c).RequestTransferAsync(request, cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(answer.AlreadyPending ? "pending before" : "pending", answer.Act);
            ControlPrint.Controller(answer.Controller);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Confirm()
    {
        var controller = Controller();
        var key = DidVerbs.Key("File with the new owner's key.");
        var connection = new Connection("issuer");
        var command = new Command("confirm", "Take it over. The old owner's tokens under the controller are dead.") { controller, key };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var did = parsed.GetValue(controller)!;
            var answer = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.TransferControllerConfirm, ControllerDid = did, TransferToOwnerDid = owner.Did }, cancellationToken);
                return await ClientOf(c).ConfirmTransferAsync(
                    new() { OwnerDid = owner.Did, ControllerDid = did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message) }, cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome(answer.AlreadyTransferred ? "transferred before" : "transferred", answer.Act);
            ControlPrint.Controller(answer.Controller);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Cancel()
    {
        var controller = Controller();
        var key = DidVerbs.Key("File with the present owner's key.");
        var connection = new Connection("issuer");
        var command = new Command("cancel", "End a pending transfer; the controller stays with its owner.") { controller, key };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var owner = DidKeyFile.Read(parsed.GetValue(key)!);
            var did = parsed.GetValue(controller)!;
            var answer = await connection.CallAsync(parsed, async c =>
            {
                var challenge = await ChallengeAsync(c, new() { OwnerDid = owner.Did, Purpose = ControlPurpose.TransferControllerCancel, ControllerDid = did }, cancellationToken);
                return await ClientOf(c).CancelTransferAsync(
                    new() { OwnerDid = owner.Did, ControllerDid = did, ChallengeId = challenge.ChallengeId, SignatureB64U = owner.Sign(challenge.Message) }, cancellationToken: cancellationToken);
            });
            ControlPrint.Outcome("cancelled", answer.Act);
            ControlPrint.Controller(answer.Controller);
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Show()
    {
        var controller = Controller();
        var connection = new Connection("issuer");
        var command = new Command("show", "Show a controller as the ledger has it.") { controller };
        connection.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var answer = await connection.CallAsync(parsed, c =>
                ClientOf(c).GetControllerAsync(new() { ControllerDid = parsed.GetValue(controller) }, cancellationToken: cancellationToken).ResponseAsync);
            Console.Out.WriteLine(answer.Aliases.Count == 0 ? "found" : $"found under the new name of {answer.RequestedControllerDid}");
            ControlPrint.Controller(answer.Controller);
            return ExitCode.Done;
        });
        return command;
    }

    private static async Task<int> ListAsync(Connection connection, ParseResult parsed, string did, CancellationToken cancellationToken)
    {
        var agents = await connection.CallAsync(parsed, async c =>
        {
            var listed = new List<AgentBinding>();
            var request = new ListAgentsRequest { ControllerDid = did, PageSize = 200 };
            do
            {
                var page = await ClientOf(c).ListAgentsAsync(request, cancellationToken: cancellationToken);
                listed.AddRange(page.Bindings);
                request.PageToken = page.NextPageToken;
            }
            while (request.PageToken.Length > 0);
            return listed;
        });
        foreach (var agent in agents) Console.Out.WriteLine($"{agent.AgentDid}{(agent.Active ? "" : "  inactive")}");
        return ExitCode.Done;
    }

    /// <summary>What a signing verb of the control plane begins with.</summary>
    public static Task<CreateControlChallengeResponse> ChallengeAsync(PeerChannel channel, CreateControlChallengeRequest request, CancellationToken cancellationToken) =>
        ClientOf(channel).CreateControlChallengeAsync(request, cancellationToken: cancellationToken).ResponseAsync;

    private static ControllerService.ControllerServiceClient ClientOf(PeerChannel channel) => new(channel.Calls);

    private static SensitiveScopes? ScopesOf(string[]? scopes) => scopes is { Length: > 0 } ? new SensitiveScopes { Scopes = { scopes } } : null;
}
