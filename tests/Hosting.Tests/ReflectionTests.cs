using ClawBureau.Hosting.Tests.Processes;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Reflection.V1;

namespace ClawBureau.Hosting.Tests;

public sealed class ReflectionTests
{
    [Fact]
    public async Task A_foreign_client_learns_services_and_messages_without_a_credential()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect(adminKey: null);
        var ask = Asking(channel.Calls);

        var services = (await ask(new() { ListServices = "" })).ListServicesResponse.Service.Select(s => s.Name);
        Assert.Equal(["clawbureau.probe.v1.ProbeService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"], services);

        var answer = (await ask(new() { FileContainingSymbol = "clawbureau.issuance.v1.IssuanceService.IssueToken" })).FileDescriptorResponse;
        // The files build: each import is there too, and stands after what needs it.
        var files = FileDescriptor.BuildFromByteStrings(answer.FileDescriptorProto.Reverse());
        Assert.Equal("IssueToken", files.Single(f => f.Name.EndsWith("issuance.proto", StringComparison.Ordinal)).Services[0].Methods[0].Name);
        Assert.Contains(files, f => f.Name == "google/protobuf/timestamp.proto");
    }

    [Theory]
    [InlineData("clawbureau.types.v1.TokenClaims")]
    [InlineData("clawbureau.types.v1.Reason")]
    [InlineData("clawbureau.types.v1.Consistency.Linearizable")]
    [InlineData("clawbureau.issuance.v1.IssueTokenRequest.sub")]
    [InlineData("google.protobuf.Duration")]
    public async Task Every_kind_of_symbol_is_found(string symbol)
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect(adminKey: null);
        var answer = await Asking(channel.Calls)(new() { FileContainingSymbol = symbol });
        Assert.NotEmpty(answer.FileDescriptorResponse.FileDescriptorProto);
        Assert.Equal(symbol, answer.OriginalRequest.FileContainingSymbol);
    }

    [Fact]
    public async Task Extensions_of_the_reasons_are_found_by_number()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect(adminKey: null);
        var ask = Asking(channel.Calls);
        Assert.Equal([50701], (await ask(new() { AllExtensionNumbersOfType = "google.protobuf.EnumValueOptions" })).AllExtensionNumbersResponse.ExtensionNumber);
        var file = await ask(new() { FileContainingExtension = new() { ContainingType = "google.protobuf.EnumValueOptions", ExtensionNumber = 50701 } });
        Assert.NotEmpty(file.FileDescriptorResponse.FileDescriptorProto);
    }

    [Fact]
    public async Task What_is_not_known_is_an_error_in_the_stream_and_the_stream_goes_on()
    {
        await using var process = await RunningProcess.ProbeAsync((_, _) => Task.FromResult(""));
        using var channel = process.Connect(adminKey: null);
        var ask = Asking(channel.Calls);
        Assert.Equal((int)StatusCode.NotFound, (await ask(new() { FileContainingSymbol = "no.such.Symbol" })).ErrorResponse.ErrorCode);
        Assert.Equal((int)StatusCode.NotFound, (await ask(new() { FileByFilename = "../../etc/passwd" })).ErrorResponse.ErrorCode);
        Assert.Equal((int)StatusCode.InvalidArgument, (await ask(new())).ErrorResponse.ErrorCode);
        Assert.NotEmpty((await ask(new() { FileByFilename = "clawbureau/types/v1/types.proto" })).FileDescriptorResponse.FileDescriptorProto);
    }

    private static Func<ServerReflectionRequest, Task<ServerReflectionResponse>> Asking(CallInvoker calls)
    {
        var stream = new ServerReflection.ServerReflectionClient(calls).ServerReflectionInfo(deadline: DateTime.UtcNow.AddSeconds(20));
        return async request =>
        {
            await stream.RequestStream.WriteAsync(request);
            Assert.True(await stream.ResponseStream.MoveNext(CancellationToken.None));
            return stream.ResponseStream.Current;
        };
    }
}
