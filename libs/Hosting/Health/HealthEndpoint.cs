using System.Collections.Frozen;
using ClawBureau.Tokens;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Health.V1;
using Microsoft.AspNetCore.Routing;
using Status = Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus;

namespace ClawBureau.Hosting.Health;

/// <summary>
/// grpc.health.v1 over <see cref="Readiness"/>: the process ("") and each of its services have the same state.
/// </summary>
internal sealed class HealthEndpoint(Readiness readiness, EndpointDataSource endpoints) : Grpc.Health.V1.Health.HealthBase
{
    // Read on first use: the endpoints are mapped by then.
    private readonly Lazy<FrozenSet<string>> services = new(() => endpoints.Endpoints
        .Select(endpoint => endpoint.Metadata.GetMetadata<GrpcMethodMetadata>()?.Method.ServiceName ?? "")
        .Append("")
        .ToFrozenSet(StringComparer.Ordinal));

    public override Task<HealthCheckResponse> Check(HealthCheckRequest request, ServerCallContext context) =>
        services.Value.Contains(request.Service)
            ? Task.FromResult(Response(readiness.IsReady))
            : throw new Refusal(Reason.NotFound, "This process has no such service");

    public override async Task Watch(HealthCheckRequest request, IServerStreamWriter<HealthCheckResponse> responseStream, ServerCallContext context)
    {
        if (!services.Value.Contains(request.Service))
        {
            // It will not come to be known, but the protocol wants the stream to stay open.
            await responseStream.WriteAsync(new HealthCheckResponse { Status = Status.ServiceUnknown }, context.CancellationToken);
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        }

        bool? told = null;
        while (true)
        {
            var (isReady, changed) = readiness.Observe();
            if (isReady != told) await responseStream.WriteAsync(Response(isReady), CancellationToken.None);
            told = isReady;
            // Cancelled by shutdown: one more look, so that the last word is NOT_SERVING.
            if (context.CancellationToken.IsCancellationRequested && readiness.IsReady == told) context.CancellationToken.ThrowIfCancellationRequested();
            await changed.WaitAsync(context.CancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static HealthCheckResponse Response(bool isReady) => new() { Status = isReady ? Status.Serving : Status.NotServing };
}
