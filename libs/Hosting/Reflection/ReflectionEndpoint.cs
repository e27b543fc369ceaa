using ClawBureau.Protos.Types.V1;
using Google.Protobuf.Reflection;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Reflection.V1;
using Microsoft.AspNetCore.Routing;

namespace ClawBureau.Hosting.Reflection;

/// <summary>
/// grpc.reflection.v1: tells foreign clients (grpcurl, python) what this process serves and how its messages look. The
/// contracts are public anyway; who may call what is decided elsewhere.
/// </summary>
internal sealed class ReflectionEndpoint(EndpointDataSource endpoints) : ServerReflection.ServerReflectionBase
{
    // Every .proto file this build knows, by name: the suite's, the vendored ones, and what they import.
    private static readonly Lazy<IReadOnlyDictionary<string, FileDescriptor>> Files = new(ReadFiles);

    // Read on first use: the endpoints are mapped by then.
    private readonly Lazy<IReadOnlyList<string>> _services = new(() =>
    [
        .. endpoints.Endpoints
            .Select(e => e.Metadata.GetMetadata<GrpcMethodMetadata>()?.Method.ServiceName)
            .OfType<string>().Distinct().Order(StringComparer.Ordinal),
    ]);

    public override async Task ServerReflectionInfo(
        IAsyncStreamReader<ServerReflectionRequest> requestStream, IServerStreamWriter<ServerReflectionResponse> responseStream, ServerCallContext context)
    {
        while (await requestStream.MoveNext(context.CancellationToken))
        {
            var answer = Answer(requestStream.Current);
            answer.ValidHost = requestStream.Current.Host;
            answer.OriginalRequest = requestStream.Current;
            await responseStream.WriteAsync(answer, context.CancellationToken);
        }
    }

    private ServerReflectionResponse Answer(ServerReflectionRequest request)
    {
        switch (request.MessageRequestCase)
        {
            case ServerReflectionRequest.MessageRequestOneofCase.ListServices:
                var list = new ListServiceResponse();
                list.Service.AddRange(_services.Value.Select(s => new ServiceResponse { Name = s }));
                return new ServerReflectionResponse { ListServicesResponse = list };
            case ServerReflectionRequest.MessageRequestOneofCase.FileByFilename:
                return FileOf(Files.Value.GetValueOrDefault(request.FileByFilename), request.FileByFilename);
            case ServerReflectionRequest.MessageRequestOneofCase.FileContainingSymbol:
                return FileOf(Files.Value.Values.FirstOrDefault(f => Declares(f, request.FileContainingSymbol)), request.FileContainingSymbol);
            case ServerReflectionRequest.MessageRequestOneofCase.FileContainingExtension:
                var wanted = request.FileContainingExtension;
                return FileOf(
                    Files.Value.Values.FirstOrDefault(f => f.Extensions.UnorderedExtensions.Any(e =>
                        e.ExtendeeType.FullName == wanted.ContainingType && e.FieldNumber == wanted.ExtensionNumber)),
                    $"{wanted.ContainingType} {wanted.ExtensionNumber}");
            case ServerReflectionRequest.MessageRequestOneofCase.AllExtensionNumbersOfType:
                var numbers = new ExtensionNumberResponse { BaseTypeName = request.AllExtensionNumbersOfType };
                numbers.ExtensionNumber.AddRange(Files.Value.Values.SelectMany(f => f.Extensions.UnorderedExtensions)
                    .Where(e => e.ExtendeeType.FullName == request.AllExtensionNumbersOfType).Select(e => e.FieldNumber).Distinct());
                return new ServerReflectionResponse { AllExtensionNumbersResponse = numbers };
            default:
                return Error(StatusCode.InvalidArgument, "the request asks for nothing");
        }
    }

    /// <summary>The file and everything it imports, so that a client needs one question.</summary>
    private static ServerReflectionResponse FileOf(FileDescriptor? file, string asked)
    {
        if (file is null) return Error(StatusCode.NotFound, $"'{asked}' is not known here");
        var answer = new FileDescriptorResponse();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        Add(file);
        return new ServerReflectionResponse { FileDescriptorResponse = answer };

        void Add(FileDescriptor next)
        {
            if (!seen.Add(next.Name)) return;
            answer.FileDescriptorProto.Add(next.SerializedData);
            foreach (var imported in next.Dependencies) Add(imported);
        }
    }

    private static bool Declares(FileDescriptor file, string symbol) =>
        (file.Package.Length == 0 || symbol.StartsWith(file.Package + ".", StringComparison.Ordinal))
        && (file.Services.Any(s => s.FullName == symbol || s.Methods.Any(m => m.FullName == symbol))
            || file.EnumTypes.Any(e => e.FullName == symbol)
            || file.Extensions.UnorderedExtensions.Any(e => e.FullName == symbol)
            || file.MessageTypes.Any(m => Declares(m, symbol)));

    private static bool Declares(MessageDescriptor message, string symbol) =>
        message.FullName == symbol
        || message.EnumTypes.Any(e => e.FullName == symbol)
        || message.Fields.InDeclarationOrder().Any(f => f.FullName == symbol)
        || message.NestedTypes.Any(m => Declares(m, symbol));

    private static Dictionary<string, FileDescriptor> ReadFiles()
    {
        var files = new Dictionary<string, FileDescriptor>(StringComparer.Ordinal);
        // Generated code has one class a file, with its descriptor in a static property.
        foreach (var type in typeof(ReasonsReflection).Assembly.GetTypes().Where(t => t.IsAbstract && t.IsSealed && t.Name.EndsWith("Reflection", StringComparison.Ordinal)))
            if (type.GetProperty("Descriptor")?.GetValue(null) is FileDescriptor file) Add(file);
        return files;

        void Add(FileDescriptor file)
        {
            if (!files.TryAdd(file.Name, file)) return;
            foreach (var imported in file.Dependencies) Add(imported);
        }
    }

    private static ServerReflectionResponse Error(StatusCode code, string message) =>
        new() { ErrorResponse = new ErrorResponse { ErrorCode = (int)code, ErrorMessage = message } };
}
