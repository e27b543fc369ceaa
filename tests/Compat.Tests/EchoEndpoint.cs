using Grpc.Core;

namespace ClawBureau.Compat.Tests;

/// <summary>The echo service as echo.proto describes it. A waiting call shows in <paramref name="signals"/>.</summary>
internal sealed class EchoEndpoint(WaitSignals signals) : EchoService.EchoServiceBase
{
    public const string EchoPrefix = "x-echo";

    public static readonly byte[] RefusalBytes = [0x00, 0x7f, 0x80, 0xff];

    public override async Task<SayResponse> Say(SayRequest request, ServerCallContext context)
    {
        var echoed = new Metadata();
        foreach (var header in context.RequestHeaders.Where(IsEchoed))
        {
            echoed.Add(header);
            context.ResponseTrailers.Add(header);
        }

        await context.WriteResponseHeadersAsync(echoed);

        var response = new SayResponse { Text = request.Text };
        foreach (var header in context.RequestHeaders.Where(header => !header.IsBinary))
        {
            response.Headers[header.Key] = header.Value;
        }

        response.PeerIdentity.AddRange(context.AuthContext.PeerIdentity.Select(property => property.Value));
        return response;
    }

    public override async Task<GatherResponse> Gather(
        IAsyncStreamReader<GatherRequest> requestStream, ServerCallContext context)
    {
        var texts = new List<string>();
        await foreach (var request in requestStream.ReadAllAsync(context.CancellationToken))
        {
            texts.Add(request.Text);
        }

        return new GatherResponse { Text = string.Join(' ', texts) };
    }

    public override async Task Repeat(
        RepeatRequest request, IServerStreamWriter<RepeatResponse> responseStream, ServerCallContext context)
    {
        for (var i = 0; i < request.Times; i++)
        {
            await responseStream.WriteAsync(new RepeatResponse { Text = request.Text }, context.CancellationToken);
        }
    }

    public override async Task Converse(
        IAsyncStreamReader<ConverseRequest> requestStream,
        IServerStreamWriter<ConverseResponse> responseStream,
        ServerCallContext context)
    {
        while (await requestStream.MoveNext(context.CancellationToken))
        {
            var response = new ConverseResponse { Text = requestStream.Current.Text };
            await responseStream.WriteAsync(response, context.CancellationToken);
        }
    }

    public override Task<RefuseResponse> Refuse(RefuseRequest request, ServerCallContext context) =>
        throw new RpcException(
            new Status(StatusCode.FailedPrecondition, request.Detail),
            new Metadata { { "x-reason", "refused" }, { "x-reason-bin", RefusalBytes } });

    public override async Task<WaitResponse> Wait(WaitRequest request, ServerCallContext context)
    {
        signals.Entered.TrySetResult();
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (context.CancellationToken.Register(cancelled.SetResult))
        {
            await cancelled.Task.WaitAsync(Patience.Limit);
        }

        signals.Cancelled.TrySetResult();
        throw new RpcException(Status.DefaultCancelled);
    }

    private static bool IsEchoed(Metadata.Entry header) =>
        header.Key.StartsWith(EchoPrefix, StringComparison.Ordinal);
}
