using System.Text;
using System.Text.RegularExpressions;
using Google.Protobuf.Reflection;

namespace ClawBureau.Protos.Tests;

/// <summary>The wire contract is frozen: names and numbers stay, additions are recorded in frozen-wire.txt.</summary>
public sealed partial class SurfaceTests
{
    private static readonly string[] Frozen =
    [
        "clawbureau.audit.v1.AuditService: AppendEvents GetSourceCursor ListEvents GetCheckpoint GetInclusionProof GetConsistencyProof ExportBundle",
        "clawbureau.control.v1.BindingService: CreateBindingChallenge BindDid RevokeBinding",
        "clawbureau.control.v1.BootstrapService: CreateTokenChallenge ExchangeToken BootstrapDelegation",
        "clawbureau.control.v1.ControllerService: CreateControlChallenge RegisterController RegisterAgent UpdateSensitivePolicy ConfirmRotation RequestTransfer ConfirmTransfer CancelTransfer GetController ListAgents GetControlChain",
        "clawbureau.control.v1.PortabilityService: ExportIdentity ImportIdentity",
        "clawbureau.feed.v1.FeedService: WatchRevocations GetSnapshot ListRevocations ReadIndex AckApplied",
        "clawbureau.introspection.v1.IntrospectionService: IntrospectToken BatchIntrospectTokens GetTransitionMatrix",
        "clawbureau.issuance.v1.IssuanceService: IssueToken",
        "clawbureau.keys.v1.KeyService: GetKeySet RotateKey RevokeKey GetTransparencySnapshot CreateTransparencySnapshot ListTransparencySnapshots",
        "clawbureau.policy.v1.PolicyService: GetPolicy PutPolicy ListPolicyVersions CheckPolicy",
        "clawbureau.revocation.v1.RevocationService: RevokeTokens BlockGroup LiftBlock",
        "clawbureau.verification.v1.VerificationService: VerifyToken BatchVerifyTokens VerifyTokenControl VerifyControlChain",
    ];

    [Fact]
    public void Services_and_RPCs_are_the_frozen_ones()
    {
        var actual = Contract.Services
            .Select(service => $"{service.FullName}: {string.Join(' ', service.Methods.Select(rpc => rpc.Name))}")
            .Order(StringComparer.Ordinal);

        Assert.Equal(Frozen, actual);
    }

    [Fact]
    public void Every_name_and_number_of_the_wire_is_the_frozen_one()
    {
        var frozen = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "frozen-wire.txt"));
        var actual = Wire().Order(StringComparer.Ordinal).ToList();
        var gone = frozen.Except(actual).ToList();
        var added = actual.Except(frozen).ToList();

        Assert.True(gone.Count == 0, "Changed or removed; add another name instead:\n" + string.Join('\n', gone));
        Assert.True(added.Count == 0, "Added; put these lines, sorted, into frozen-wire.txt:\n" + string.Join('\n', added));
        Assert.Equal(actual, frozen);
    }

    [Fact]
    public void Packages_folders_and_namespaces_agree()
    {
        foreach (var file in Contract.Files)
        {
            Assert.Matches(@"^clawbureau\.[a-z]+\.v1$", file.Package);
            Assert.StartsWith(file.Package.Replace('.', '/') + "/", file.Name, StringComparison.Ordinal);
            var area = file.Package.Split('.')[1];
            Assert.Equal($"ClawBureau.Protos.{char.ToUpperInvariant(area[0])}{area[1..]}.V1", file.GetOptions().CsharpNamespace);
            Assert.DoesNotContain("google.api.http", Contract.TextOf(file), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Each_RPC_is_verb_and_noun_with_a_request_and_response_of_its_own()
    {
        foreach (var rpc in Contract.Rpcs)
        {
            Assert.EndsWith("Service", rpc.Service.Name, StringComparison.Ordinal);
            Assert.Matches("^[A-Z][a-z]+[A-Z]", rpc.Name);
            Assert.Equal(rpc.Name + "Request", rpc.InputType.Name);
            Assert.Equal(rpc.Name + "Response", rpc.OutputType.Name);
        }
    }

    [Fact]
    public void Enum_values_carry_their_type_and_start_unspecified()
    {
        foreach (var type in Contract.Enums)
        {
            var prefix = WordStart().Replace(type.Name, "_").ToUpperInvariant() + "_";
            Assert.Equal(prefix + "UNSPECIFIED", type.FindValueByNumber(0).Name);
            Assert.All(type.Values, value => Assert.StartsWith(prefix, value.Name, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Pages_are_asked_for_and_answered_alike()
    {
        foreach (var rpc in Contract.Rpcs.Where(rpc => rpc.OutputType.FindFieldByName("next_page_token") is not null))
        {
            Assert.Equal(FieldType.Int32, rpc.InputType.FindFieldByName("page_size")?.FieldType);
            Assert.Equal(FieldType.String, rpc.InputType.FindFieldByName("page_token")?.FieldType);
        }
        Assert.All(Contract.Rpcs.Where(rpc => rpc.Name.StartsWith("List", StringComparison.Ordinal)),
            rpc => Assert.NotNull(rpc.OutputType.FindFieldByName("next_page_token")));
    }

    [Fact]
    public void Batches_answer_each_item_with_a_result_or_an_error()
    {
        foreach (var rpc in Contract.Rpcs.Where(rpc => rpc.OutputType.FindFieldByName("results") is not null && rpc.Name != "CheckPolicy"))
        {
            var result = rpc.OutputType.FindFieldByName("results").MessageType;
            Assert.Equal("result", result.Oneofs.Single().Name);
            Assert.Equal("clawbureau.types.v1.Error", result.FindFieldByName("error").MessageType.FullName);
        }
    }

    [Fact]
    public void Times_are_timestamps()
    {
        foreach (var field in Contract.Messages.SelectMany(message => message.Fields.InDeclarationOrder())
                     .Where(field => field.Name.EndsWith("_at", StringComparison.Ordinal) || field.Name is "iat" or "exp" or "not_after" or "cut"))
            Assert.Equal("google.protobuf.Timestamp", field.FieldType == FieldType.Message ? field.MessageType.FullName : field.FullName);
    }

    /// <summary>One line for each name on the wire: RPCs, fields, enum values, oneofs, extensions.</summary>
    private static IEnumerable<string> Wire()
    {
        foreach (var rpc in Contract.Rpcs)
            yield return $"rpc {rpc.FullName} {(rpc.IsClientStreaming ? "stream " : "")}{rpc.InputType.FullName} -> {(rpc.IsServerStreaming ? "stream " : "")}{rpc.OutputType.FullName}";
        foreach (var type in Contract.Enums)
            foreach (var value in type.Values)
                yield return $"value {type.FullName} {value.Name} = {value.Number}";
        foreach (var message in Contract.Messages)
        {
            yield return $"message {message.FullName}";
            foreach (var field in message.Fields.InDeclarationOrder())
                yield return $"field {message.FullName}.{field.Name} = {field.FieldNumber} {TypeOf(field)}";
        }
        foreach (var extension in Contract.Files.SelectMany(file => file.Extensions.UnorderedExtensions))
            yield return $"extension {extension.FullName} = {extension.FieldNumber} {TypeOf(extension)} of {extension.ExtendeeType.FullName}";
    }

    private static string TypeOf(FieldDescriptor field)
    {
        var text = new StringBuilder();
        if (field.IsMap)
            return $"map {TypeOf(field.MessageType.FindFieldByNumber(1))} {TypeOf(field.MessageType.FindFieldByNumber(2))}";
        if (field.IsRepeated)
            text.Append("repeated ");
        else if (field.RealContainingOneof is { } oneof)
            text.Append("oneof ").Append(oneof.Name).Append(' ');
        else if (field.HasPresence && field.FieldType != FieldType.Message)
            text.Append("optional ");
        text.Append(field.FieldType switch
        {
            FieldType.Message => field.MessageType.FullName,
            FieldType.Enum => field.EnumType.FullName,
            var scalar => scalar.ToString().ToLowerInvariant(),
        });
        return text.ToString();
    }

    [GeneratedRegex("(?<=[a-z0-9])(?=[A-Z])")]
    private static partial Regex WordStart();
}
