using Grpc.Core;

namespace ClawBureau.Hosting.Tests.Processes;

/// <summary>Runs what a test gives it; every kind of call reads one request and answers once.</summary>
internal sealed class ProbeEndpoint(Func<ProbeRequest, ServerCallContext, Task<string>> act) : ProbeService.ProbeServiceBase
{
    public override async Task<ProbeResponse> Unary(ProbeRequest request, ServerCallContext context) =>
        new() { Text = await act(request, context) };

    public override async Task<ProbeResponse> ClientStream(IAsyncStreamReader<ProbeRequest> requestStream, ServerCallContext context)
    {
        await requestStream.MoveNext(context.CancellationToken);
        return new() { Text = await act(requestStream.Current, context) };
    }

    public override async Task ServerStream(ProbeRequest request, IServerStreamWriter<ProbeResponse> responseStream, ServerCallContext context)
    {
        await responseStream.WriteAsync(new ProbeResponse { Text = "before" }, context.CancellationToken);
        await responseStream.WriteAsync(new ProbeResponse { Text = await act(request, context) }, context.CancellationToken);
    }

    public override async Task Duplex(
        IAsyncStreamReader<ProbeRequest> requestStream, IServerStreamWriter<ProbeResponse> responseStream, ServerCallContext context)
    {
        await responseStream.WriteAsync(new ProbeResponse { Text = "before" }, context.CancellationToken);
        await requestStream.MoveNext(context.CancellationToken);
        await responseStream.WriteAsync(new ProbeResponse { Text = await act(requestStream.Current, context) }, context.CancellationToken);
    }
}
